#include "vmm/machine/devices/net.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "base/unix_listener.h"
#include "net/guest_filter.h"
#include "net/mac_address.h"
#include "net/passt_launcher.h"
#include "net/stream_port.h"
#include "net/tap.h"
#include "net/vhost_net.h"
#include "virtio/net/net_device.h"
#include "vmm/machine/devices/net_host_side.h"
#include "vmm/machine/devices/net_link.h"
#include "vmm/machine/devices/rate_limits.h"

namespace vmm {
namespace {

constexpr std::chrono::seconds kConnectPatience{1};

// The ports of the guest to which UDP is forwarded.
std::vector<uint16_t> UdpPorts(const std::vector<ForwardConfig>& forwards) {
  std::vector<uint16_t> ports;
  for (const ForwardConfig& forward : forwards) {
    if (forward.proto == ForwardProtocol::kUdp) {
      ports.push_back(static_cast<uint16_t>(*forward.guest_port));
    }
  }
  return ports;
}

virtio::NetDevice::Options OptionsOf(const NetConfig& config) {
  virtio::NetDevice::Options options;
  options.id = config.id;
  if (!config.mac.empty()) options.mac = *net::ParseMac(config.mac);
  options.queue_size = static_cast<uint16_t>(config.queue_size);
  options.rate_limits = MakeRateLimits(config.rate_limiter_config);
  return options;
}

absl::StatusOr<net::Tap> OpenInterface(const NetConfig& config, size_t index) {
  const std::string key = absl::StrCat("net[", index, "]");
  if (!config.fds.empty()) return net::AdoptTap(absl::StrCat(key, ".fds"), config.fds);
  net::TapOptions options;
  options.queues = config.num_queues / 2;
  options.mtu = config.mtu;
  if (!config.macvtap.empty()) {
    options.key = absl::StrCat(key, ".macvtap");
    options.name = config.macvtap;
    return net::OpenMacvtap(options);
  }
  options.key = absl::StrCat(key, ".tap");
  options.name = config.tap;
  if (config.host_mac.has_value()) options.mac = net::ParseMac(*config.host_mac);
  options.ip = config.ip;
  options.mask = config.mask;
  return net::OpenTap(options);
}

// Opens the host's kernel's data path for each pair. Returns an empty list if this process shall
// move the frames.
absl::StatusOr<std::vector<std::unique_ptr<net::VhostNet>>> OpenVhosts(const NetConfig& config,
                                                                       const DeviceContext& context,
                                                                       size_t pairs) {
  std::vector<std::unique_ptr<net::VhostNet>> vhosts;
  if (config.vhost == VhostMode::kFalse) return vhosts;
  if (context.memory.has_windows()) {  // which vhost-net cannot read
    CHECK(config.vhost == VhostMode::kAuto);
    // UNLIMITED: once at the start.
    LOG(Info) << config.id << ": vmm moves the frames itself: a share has a dax_window";
    return vhosts;
  }
  for (size_t i = 0; i < pairs; ++i) {
    auto vhost = net::VhostNet::Open(context.memory);
    if (vhost.ok()) {
      vhosts.push_back(*std::move(vhost));
      continue;
    }
    if (config.vhost == VhostMode::kTrue) {
      return base::Annotate(vhost.status(), absl::StrCat("net[", context.index, "].vhost"));
    }
    // UNLIMITED: once at the start.
    LOG(Info) << config.id << ": vmm moves the frames itself: " << vhost.status().message();
    vhosts.clear();
    return vhosts;
  }
  if (config.vhost == VhostMode::kAuto) {
    // UNLIMITED: once at the start.
    LOG(Info) << config.id << ": the host's kernel moves the frames (vhost-net)";
  }
  return vhosts;
}

absl::StatusOr<PlacedDevice> CreateTapNet(const NetConfig& config, const DeviceContext& context) {
  ASSIGN_OR_RETURN(net::Tap tap, OpenInterface(config, context.index));
  virtio::NetDevice::Options options = OptionsOf(config);
  if (config.mac.empty()) options.mac = *tap.guest_mac;
  if (tap.guest_mac.has_value() && options.mac != *tap.guest_mac) {
    const std::string interface_mac = net::FormatMac(*tap.guest_mac);
    return absl::InvalidArgumentError(
        absl::StrCat("net[", context.index, "].mac: ", config.mac, " is not the address of ",
                     tap.name, ", so that no frame would arrive; set it to ", interface_mac,
                     ", or `ip link set ", tap.name, " address ", config.mac, "`"));
  }
  // Only of descriptors the MTU is not the interface's: the interface may be out of reach.
  options.mtu = static_cast<uint16_t>(config.fds.empty() ? tap.mtu : config.mtu.value_or(tap.mtu));
  options.has_uso = tap.has_uso;
  ASSIGN_OR_RETURN(std::vector<std::unique_ptr<net::VhostNet>> vhosts,
                   OpenVhosts(config, context, tap.ports.size()));
  const bool has_vhost = !vhosts.empty();
  options.has_filters = !has_vhost;
  if (has_vhost && tap.in_this_namespace) options.host_interface = tap.name;
  base::EventLoop* loop = nullptr;
  std::vector<virtio::NetDevice::Pair> pairs;
  for (size_t i = 0; i < tap.ports.size(); ++i) {
    if (loop == nullptr || !has_vhost) loop = &context.next_loop();
    pairs.push_back({std::move(tap.ports[i]), *loop, has_vhost ? std::move(vhosts[i]) : nullptr});
  }
  ASSIGN_OR_RETURN(auto device,
                   virtio::NetDevice::Create(options, std::move(pairs), context.memory));
  auto host_side = std::make_unique<NetHostSide>(*device, !has_vhost);
  return Place(std::move(device), config, std::move(host_side));
}

// Makes a device whose far end is passt. `socket` is connected to it, and `open` connects again.
absl::StatusOr<PlacedDevice> CreateStreamNet(const NetConfig& config, const DeviceContext& context,
                                             const std::string& name, base::UniqueFd socket,
                                             NetLink::Open open) {
  ASSIGN_OR_RETURN(auto owned_port, net::StreamPort::Create());
  net::StreamPort& port = *owned_port;
  if (config.passt.has_value() && config.passt->restrict) {
    port.SetFilter(net::GuestFilter(UdpPorts(config.passt->forward)));
  }
  port.Connect(std::move(socket));
  if (!port.connected()) {
    return absl::ResourceExhaustedError(absl::StrCat(config.id, ": cannot poll its socket"));
  }
  virtio::NetDevice::Options options = OptionsOf(config);
  options.mtu = static_cast<uint16_t>(config.mtu.value_or(kMaxPasstMtu));
  options.has_offloads = false;
  std::vector<virtio::NetDevice::Pair> pairs;
  pairs.push_back({std::move(owned_port), context.next_loop()});
  ASSIGN_OR_RETURN(auto device,
                   virtio::NetDevice::Create(options, std::move(pairs), context.memory));
  ASSIGN_OR_RETURN(auto link, NetLink::Create(*device, port, name, std::move(open)));
  return Place(std::move(device), config, std::move(link));
}

absl::StatusOr<PlacedDevice> CreateSocketNet(const NetConfig& config,
                                             const DeviceContext& context) {
  auto socket = base::ConnectUnix(*config.socket, kConnectPatience);
  if (!socket.ok()) {
    const bool denied = absl::IsPermissionDenied(socket.status());
    return base::Annotate(
        base::Advise(socket.status(), denied ? "let this user write to the socket"
                                             : "start passt --socket with this path"),
        absl::StrCat("net[", context.index, "].socket"));
  }
  return CreateStreamNet(
      config, context, absl::StrCat("passt at ", *config.socket), *std::move(socket),
      [path = *config.socket] { return base::ConnectUnix(path, kConnectPatience); });
}

absl::StatusOr<PlacedDevice> CreatePasstNet(const NetConfig& config, const DeviceContext& context,
                                            std::unique_ptr<net::PasstLauncher> launcher) {
  auto socket = launcher->Launch();
  if (!socket.ok()) {
    return base::Annotate(socket.status(), absl::StrCat("net[", context.index, "].passt"));
  }
  return CreateStreamNet(config, context, "passt", *std::move(socket),
                         [launcher = std::move(launcher)] { return launcher->Launch(); });
}

}  // namespace

absl::StatusOr<PasstLaunchers> StartPasstLaunchers(const VmConfig& config) {
  PasstLaunchers launchers;
  for (size_t i = 0; i < config.net.size(); ++i) {
    if (!config.net[i].passt.has_value()) continue;
    auto launcher = net::PasstLauncher::Start("passt", PasstArguments(*config.net[i].passt));
    if (!launcher.ok()) {
      return base::Annotate(launcher.status(), absl::StrCat("net[", i, "].passt"));
    }
    launchers.emplace(i, *std::move(launcher));
  }
  return launchers;
}

std::vector<std::string> PasstArguments(const PasstConfig& config) {
  std::vector<std::string> arguments;
  for (const ForwardProtocol protocol : {ForwardProtocol::kTcp, ForwardProtocol::kUdp}) {
    const std::string option = protocol == ForwardProtocol::kTcp ? "--tcp-ports" : "--udp-ports";
    bool any = false;
    for (const ForwardConfig& forward : config.forward) {
      if (forward.proto != protocol) continue;
      any = true;
      arguments.push_back(option);
      arguments.push_back(
          absl::StrCat(forward.host_address, "/", *forward.host_port, ":", *forward.guest_port));
    }
    if (!any) arguments.insert(arguments.end(), {option, "none"});
  }
  return arguments;
}

absl::StatusOr<PlacedDevice> CreateNet(const NetConfig& config, const DeviceContext& context,
                                       PasstLaunchers& launchers) {
  if (config.passt.has_value()) {
    const auto launcher = launchers.find(context.index);
    CHECK(launcher != launchers.end());
    return CreatePasstNet(config, context, std::move(launcher->second));
  }
  return config.socket.has_value() ? CreateSocketNet(config, context)
                                   : CreateTapNet(config, context);
}

}  // namespace vmm
