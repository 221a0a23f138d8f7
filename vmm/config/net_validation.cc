#include "vmm/config/net_validation.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "net/mac_address.h"
#include "vmm/config/key_path.h"

namespace vmm {
namespace {

absl::Status CheckMac(const std::string& key, const std::string& mac) {
  const std::optional<net::MacAddress> parsed = net::ParseMac(mac);
  if (!parsed.has_value()) {
    return Invalid(key, absl::StrCat("\"", Printable(mac),
                                     "\" is no Ethernet address; write it as 02:00:5e:10:00:01"));
  }
  if (net::IsMulticast(*parsed) || *parsed == net::MacAddress()) {
    return Invalid(key, absl::StrCat("\"", mac, "\" is ",
                                     net::IsMulticast(*parsed) ? "a group's address" : "all zeros",
                                     ", which no interface can have; choose one that starts with "
                                     "02, or leave it out"));
  }
  return absl::OkStatus();
}

// Fills in the addresses of the guest's interfaces.
absl::Status CompleteMacs(VmConfig& c) {
  for (size_t i = 0; i < c.net.size(); ++i) {
    NetConfig& device = c.net[i];
    const std::string key = absl::StrCat(JoinIndex("net", i), ".mac");
    if (device.mac.empty()) {
      if (!device.macvtap.empty()) continue;
      const std::optional<std::string>& name = c.name.has_value() ? c.name : c.platform.uuid;
      if (!name.has_value()) {
        return Invalid(key,
                       "missing; give it, or set name, from which vmm derives an address that "
                       "stays the same");
      }
      device.mac = net::FormatMac(net::DeriveMac(*name, i));
    }
    RETURN_IF_ERROR(CheckMac(key, device.mac));
    for (size_t j = 0; j < i; ++j) {
      if (c.net[j].mac.empty()) continue;
      if (net::ParseMac(device.mac) == net::ParseMac(c.net[j].mac)) {
        return Invalid(key, absl::StrCat("\"", device.mac, "\" is also the address of net[", j,
                                         "]; give each device its own"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckInterfaceName(absl::string_view key, const std::string& name) {
  constexpr size_t kMaxName = 15;  // IFNAMSIZ without the NUL
  if (name.size() <= kMaxName && name.find_first_of("/: %") == std::string::npos) {
    return absl::OkStatus();
  }
  return Invalid(
      key, absl::StrCat("\"", Printable(name), "\" is no name of an interface; ",
                        name.size() > kMaxName ? "use at most 15 characters"
                                               : "use no slash, colon, percent sign or space"));
}

absl::Status CheckPairs(absl::string_view path, const NetConfig& device, const CpusConfig& cpus) {
  const std::string key = absl::StrCat(path, ".num_queues");
  if (device.num_queues % 2 != 0) {
    return Invalid(key, absl::StrCat(device.num_queues, " is odd; give two for each pair"));
  }
  if (device.num_queues / 2 > cpus.boot_vcpus) {
    return Invalid(key, absl::StrCat(device.num_queues / 2, " pairs are more than the ",
                                     cpus.boot_vcpus, " of cpus.boot_vcpus; at most one per vCPU"));
  }
  return absl::OkStatus();
}

// A key that belongs to one way to the outside only.
struct OnlyKey {
  const char* name;
  bool given;
};

// Refuses the keys that set up a TAP interface, for a device that goes another way.
absl::Status RefuseTapKeys(absl::string_view path, const NetConfig& device, absl::string_view way,
                           absl::string_view why) {
  for (const OnlyKey& key :
       {OnlyKey{"host_mac", device.host_mac.has_value()}, OnlyKey{"ip", device.ip.has_value()},
        OnlyKey{"mask", device.mask.has_value()}}) {
    if (!key.given) continue;
    return Invalid(JoinKey(path, key.name),
                   absl::StrCat("given, and ", path, ".", way, " too, ", why, "; remove one"));
  }
  return absl::OkStatus();
}

absl::Status CheckTap(absl::string_view path, const NetConfig& device, const CpusConfig& cpus) {
  RETURN_IF_ERROR(CheckInterfaceName(JoinKey(path, "tap"), device.tap));
  if (device.host_mac.has_value()) {
    RETURN_IF_ERROR(CheckMac(JoinKey(path, "host_mac"), *device.host_mac));
  }
  return CheckPairs(path, device, cpus);
}

absl::Status CheckMacvtap(absl::string_view path, const NetConfig& device, const CpusConfig& cpus) {
  RETURN_IF_ERROR(CheckInterfaceName(JoinKey(path, "macvtap"), device.macvtap));
  RETURN_IF_ERROR(RefuseTapKeys(path, device, "macvtap", "whose interface is the guest's alone"));
  return CheckPairs(path, device, cpus);
}

absl::Status CheckFds(absl::string_view path, NetConfig& device, const CpusConfig& cpus) {
  RETURN_IF_ERROR(RefuseTapKeys(path, device, "fds", "whose interface vmm does not set up"));
  const auto queues = static_cast<uint32_t>(2 * device.fds.size());
  if (device.num_queues == NetConfig().num_queues) device.num_queues = queues;
  if (device.num_queues != queues) {
    return Invalid(JoinKey(path, "num_queues"),
                   absl::StrCat(device.num_queues, ", but ", path, ".fds has a descriptor for ",
                                queues, "; leave num_queues out"));
  }
  return CheckPairs(path, device, cpus);
}

absl::Status CheckStream(absl::string_view path, absl::string_view way, const NetConfig& device) {
  RETURN_IF_ERROR(RefuseTapKeys(path, device, way, "so that the host has no interface"));
  if (device.num_queues != 2) {
    return Invalid(absl::StrCat(path, ".num_queues"),
                   absl::StrCat(device.num_queues,
                                ", but passt carries one pair; set it to 2 "
                                "or leave it out"));
  }
  if (device.mtu.value_or(0) > kMaxPasstMtu) {
    return Invalid(
        absl::StrCat(path, ".mtu"),
        absl::StrCat(*device.mtu, " is more than passt can carry; at most ", kMaxPasstMtu));
  }
  return absl::OkStatus();
}

absl::Status CheckForwards(absl::string_view path, const std::vector<ForwardConfig>& forwards) {
  for (size_t i = 0; i < forwards.size(); ++i) {
    const ForwardConfig& forward = forwards[i];
    const std::string here = JoinIndex(path, i);
    // Debian 12's passt cannot bind to an address of IPv6.
    in_addr address;
    if (inet_pton(AF_INET, forward.host_address.c_str(), &address) != 1) {
      return Invalid(JoinKey(here, "host_address"),
                     absl::StrCat("\"", Printable(forward.host_address),
                                  "\" is no IPv4 address; 127.0.0.1 is the host alone, 0.0.0.0 is "
                                  "everybody"));
    }
    if (!forward.host_port.has_value() || !forward.guest_port.has_value()) {
      return Invalid(JoinKey(here, forward.host_port.has_value() ? "guest_port" : "host_port"),
                     "missing; give the ports of both sides");
    }
  }
  return absl::OkStatus();
}

// Returns the keys of the ways to the outside that are given.
std::vector<absl::string_view> WaysOf(const NetConfig& device) {
  std::vector<absl::string_view> ways;
  for (const OnlyKey& key :
       {OnlyKey{"tap", !device.tap.empty()}, OnlyKey{"macvtap", !device.macvtap.empty()},
        OnlyKey{"fds", !device.fds.empty()}, OnlyKey{"socket", device.socket.has_value()},
        OnlyKey{"passt", device.passt.has_value()}}) {
    if (key.given) ways.push_back(key.name);
  }
  return ways;
}

absl::Status CheckVhost(absl::string_view path, const NetConfig& device,
                        const std::vector<FsConfig>& shares) {
  if (device.vhost == VhostMode::kFalse) return absl::OkStatus();
  if (device.socket.has_value() || device.passt.has_value()) {
    return Invalid(JoinKey(path, "vhost"),
                   "given, and the device is connected to passt, which the host's kernel cannot "
                   "serve; remove one");
  }
  if (device.rate_limiter_config != RateLimiterConfig()) {
    return Invalid(JoinKey(path, "vhost"),
                   absl::StrCat("given, and ", path,
                                ".rate_limiter_config too, which the host's kernel does not know; "
                                "remove one"));
  }
  // A guest may send pages of a mapped file, which are no RAM. With "auto", vmm moves the frames.
  for (size_t i = 0; i < shares.size(); ++i) {
    if (device.vhost != VhostMode::kTrue || !shares[i].dax_window.has_value()) continue;
    return Invalid(JoinKey(path, "vhost"),
                   absl::StrCat("given, and ", JoinIndex("fs", i),
                                ".dax_window too, which the host's kernel cannot read; remove one, "
                                "or set vhost to \"auto\""));
  }
  return absl::OkStatus();
}

absl::Status CheckWay(absl::string_view path, absl::string_view way, NetConfig& device,
                      const CpusConfig& cpus) {
  if (way == "tap") return CheckTap(path, device, cpus);
  if (way == "macvtap") return CheckMacvtap(path, device, cpus);
  if (way == "fds") return CheckFds(path, device, cpus);
  RETURN_IF_ERROR(CheckStream(path, way, device));
  if (way == "socket") return absl::OkStatus();
  return CheckForwards(JoinKey(path, "passt.forward"), device.passt->forward);
}

// Refuses an interface, a descriptor or a socket that an earlier device has.
absl::Status CheckNotShared(const VmConfig& c, size_t i) {
  const NetConfig& device = c.net[i];
  const std::string path = JoinIndex("net", i);
  const auto refuse = [&](const std::string& key, absl::string_view what, size_t owner) {
    return Invalid(key,
                   absl::StrCat(what, " is already net[", owner, "]; give each device its own"));
  };
  const auto quoted = [](const std::string& text) {
    return absl::StrCat("\"", Printable(text), "\"");
  };
  for (size_t j = 0; j <= i; ++j) {
    const NetConfig& other = c.net[j];
    for (size_t k = 0; k < device.fds.size(); ++k) {
      const auto end = j == i ? other.fds.begin() + static_cast<ptrdiff_t>(k) : other.fds.end();
      if (std::find(other.fds.begin(), end, device.fds[k]) == end) continue;
      return refuse(JoinIndex(JoinKey(path, "fds"), k), absl::StrCat(device.fds[k]), j);
    }
    if (j == i) break;
    if (!device.tap.empty() && device.tap == other.tap) {
      return refuse(JoinKey(path, "tap"), quoted(device.tap), j);
    }
    if (!device.macvtap.empty() && device.macvtap == other.macvtap) {
      return refuse(JoinKey(path, "macvtap"), quoted(device.macvtap), j);
    }
    if (device.socket.has_value() && device.socket == other.socket) {
      return refuse(JoinKey(path, "socket"), quoted(*device.socket), j);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNets(VmConfig& c) {
  for (size_t i = 0; i < c.net.size(); ++i) {
    NetConfig& device = c.net[i];
    const std::string path = JoinIndex("net", i);
    const std::vector<absl::string_view> ways = WaysOf(device);
    if (ways.empty()) {
      return Invalid(absl::StrCat(path, ".tap"),
                     "missing, and no other way to the outside is given; name a TAP interface of "
                     "the host, or use macvtap, fds, socket or passt");
    }
    if (ways.size() > 1) {
      return Invalid(JoinKey(path, ways[1]),
                     absl::StrCat("given, and ", path, ".", ways[0], " too; remove one"));
    }
    RETURN_IF_ERROR(CheckWay(path, ways[0], device, c.cpus));
    RETURN_IF_ERROR(CheckVhost(path, device, c.fs));
    RETURN_IF_ERROR(CheckNotShared(c, i));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CompleteAndValidateNets(VmConfig& config) {
  RETURN_IF_ERROR(CheckNets(config));
  return CompleteMacs(config);
}

}  // namespace vmm
