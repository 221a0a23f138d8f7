#include "vmm/config/config_validation.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "vmm/config/config_fields.h"
#include "vmm/config/key_path.h"
#include "vmm/config/net_validation.h"

namespace vmm {
namespace {

// A PCI device of the config: its path in vm.json, and its members.
struct PciDevice {
  std::string path;
  std::string& id;
  std::optional<uint32_t>& slot;
  bool is_net = false;
};

// Returns the PCI devices in the order in which they get slots.
std::vector<PciDevice> PciDevices(VmConfig& c) {
  std::vector<PciDevice> devices;
  if (c.console.mode != ConsoleMode::kOff) {
    devices.push_back({"console", c.console.id, c.console.pci_device_id});
  }
  devices.push_back({"rng", c.rng.id, c.rng.pci_device_id});
  for (size_t i = 0; i < c.disks.size(); ++i) {
    devices.push_back({JoinIndex("disks", i), c.disks[i].id, c.disks[i].pci_device_id});
  }
  for (size_t i = 0; i < c.fs.size(); ++i) {
    devices.push_back({JoinIndex("fs", i), c.fs[i].id, c.fs[i].pci_device_id});
  }
  if (c.vsock.has_value()) {
    devices.push_back({"vsock", c.vsock->id, c.vsock->pci_device_id});
  }
  for (size_t i = 0; i < c.net.size(); ++i) {
    devices.push_back({JoinIndex("net", i), c.net[i].id, c.net[i].pci_device_id, true});
  }
  return devices;
}

absl::Status CompleteIds(VmConfig& c) {
  if (c.console.id.empty()) c.console.id = "_console";
  if (c.rng.id.empty()) c.rng.id = "_rng";
  if (c.vsock.has_value() && c.vsock->id.empty()) c.vsock->id = "_vsock";
  for (size_t i = 0; i < c.disks.size(); ++i) {
    if (c.disks[i].id.empty()) c.disks[i].id = absl::StrCat("_disk", i);
  }
  for (size_t i = 0; i < c.fs.size(); ++i) {
    if (c.fs[i].id.empty()) c.fs[i].id = absl::StrCat("_fs", i);
  }
  for (size_t i = 0; i < c.net.size(); ++i) {
    if (c.net[i].id.empty()) c.net[i].id = absl::StrCat("_net", i);
  }
  const std::vector<PciDevice> devices = PciDevices(c);
  for (size_t i = 0; i < devices.size(); ++i) {
    const std::string path = absl::StrCat(devices[i].path, ".id");
    if (absl::StartsWith(devices[i].id, "__")) {
      return Invalid(path,
                     absl::StrCat("\"", Printable(devices[i].id),
                                  "\" starts with \"__\", which is reserved; choose another"));
    }
    for (size_t j = 0; j < i; ++j) {
      if (devices[i].id == devices[j].id) {
        return Invalid(path, absl::StrCat("\"", Printable(devices[i].id), "\" is also the id of ",
                                          devices[j].path, "; give each device its own"));
      }
    }
    // vm.set-rate-limit takes the id of either.
    for (size_t j = 0; j < c.rate_limit_groups.size(); ++j) {
      if (devices[i].id == c.rate_limit_groups[j].id) {
        return Invalid(JoinKey(JoinIndex("rate_limit_groups", j), "id"),
                       absl::StrCat("\"", Printable(devices[i].id), "\" is also the id of ",
                                    devices[i].path, "; choose another"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status AssignPciSlots(VmConfig& c) {
  std::array<const PciDevice*, kMaxPciSlot + 1> owners = {};
  std::vector<PciDevice> devices = PciDevices(c);
  for (const PciDevice& device : devices) {
    if (!device.slot.has_value()) continue;
    const PciDevice*& owner = owners.at(*device.slot);
    if (owner != nullptr) {
      return Invalid(absl::StrCat(device.path, ".pci_device_id"),
                     absl::StrCat("slot ", *device.slot, " is taken by ", owner->path,
                                  "; give each device its own"));
    }
    owner = &device;
  }
  // Guests name network interfaces after their slots (enp0s30), so network devices count from the
  // other end: a disk that is added renames none. The highest slot is left to pvpanic.
  uint32_t lowest = 1, highest_net = kMaxPciSlot - 1;
  for (PciDevice& device : devices) {
    if (device.slot.has_value()) continue;
    while (lowest <= kMaxPciSlot && owners.at(lowest) != nullptr) ++lowest;
    while (highest_net > lowest && owners.at(highest_net) != nullptr) --highest_net;
    if (lowest > kMaxPciSlot) {
      return Invalid(device.path, "no PCI slot is free for it: there are 31; remove a device");
    }
    device.slot = device.is_net && owners.at(highest_net) == nullptr ? highest_net : lowest;
    owners.at(*device.slot) = &device;
  }
  c.pvpanic_pci_slot = 0;
  if (!c.pvpanic) return absl::OkStatus();
  uint32_t highest = kMaxPciSlot;
  while (highest > 0 && owners.at(highest) != nullptr) --highest;
  if (highest == 0) {
    return Invalid("pvpanic", "no PCI slot is free for it: there are 31; remove a device");
  }
  c.pvpanic_pci_slot = highest;
  return absl::OkStatus();
}

// The names that systemd accepts: names of files that are printable ASCII without a colon. The name
// ends at the first "=" of the SMBIOS string. [systemd 257, credential_name_valid]
absl::Status CheckCredentials(const PlatformConfig& platform) {
  constexpr size_t kMaxNameBytes = 255;
  for (const CredentialConfig& credential : platform.credentials) {
    const std::string& name = credential.name;
    const std::string path = JoinKey("platform.credentials", name);
    if (name.empty()) return Invalid(path, "the name is empty; give it one");
    if (name.size() > kMaxNameBytes) {
      return Invalid(path, absl::StrCat("the name is ", name.size(), " bytes long; the most is ",
                                        kMaxNameBytes));
    }
    if (name == "." || name == "..") {
      return Invalid(path, "the name is that of a directory; choose another");
    }
    if (!std::all_of(name.begin(), name.end(), [](char c) {
          return c >= 0x20 && c < 0x7f && c != '/' && c != ':' && c != '=';
        })) {
      return Invalid(path, "a name is printable ASCII without \"/\", \":\" and \"=\"; change it");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCpus(CpusConfig& cpus) {
  if (cpus.max_vcpus == 0) cpus.max_vcpus = cpus.boot_vcpus;
  if (cpus.max_vcpus != cpus.boot_vcpus) {
    return Invalid("cpus.max_vcpus",
                   absl::StrCat(cpus.max_vcpus, " is not supported with ", cpus.boot_vcpus,
                                " boot_vcpus, since vCPUs cannot be added later; leave it out"));
  }
  return absl::OkStatus();
}

absl::Status CheckMemory(const MemoryConfig& memory, const CpusConfig& cpus) {
  // Half of the address space is reserved for the hole below 4 GiB and for devices.
  if (memory.size > uint64_t{1} << (cpus.max_phys_bits - 1)) {
    return Invalid("memory.size", absl::StrCat("does not fit into ", cpus.max_phys_bits,
                                               " address bits; raise cpus.max_phys_bits"));
  }
  if (memory.hugepage_size.has_value() && !memory.hugepages) {
    return Invalid("memory.hugepage_size",
                   "given without hugepages; set memory.hugepages to true or remove it");
  }
  const uint64_t page = memory.hugepages ? memory.hugepage_size.value_or(2 * kMiB) : 4096;
  if (memory.size % page != 0) {
    return Invalid("memory.size",
                   absl::StrCat(FormatSize(memory.size), " is no multiple of the page size, ",
                                FormatSize(page), "; round it up to ",
                                FormatSize((memory.size / page + 1) * page)));
  }
  return absl::OkStatus();
}

absl::Status CheckTokenBucket(const std::string& path, const TokenBucketConfig& bucket) {
  if (bucket == TokenBucketConfig()) return absl::OkStatus();
  if (!bucket.size.has_value()) {
    return Invalid(JoinKey(path, "size"), "missing; give what may pass in each refill_time");
  }
  if (!bucket.refill_time.has_value()) {
    return Invalid(JoinKey(path, "refill_time"),
                   "missing; give the milliseconds in which size may pass");
  }
  return absl::OkStatus();
}

absl::Status CheckRateLimiter(const std::string& path, const RateLimiterConfig& limiter) {
  RETURN_IF_ERROR(CheckTokenBucket(JoinKey(path, "bandwidth"), limiter.bandwidth));
  return CheckTokenBucket(JoinKey(path, "ops"), limiter.ops);
}

absl::Status CheckRateLimitGroups(const VmConfig& c) {
  const std::vector<RateLimitGroupConfig>& groups = c.rate_limit_groups;
  for (size_t i = 0; i < groups.size(); ++i) {
    const std::string path = JoinIndex("rate_limit_groups", i);
    if (groups[i].id.empty()) {
      return Invalid(JoinKey(path, "id"), "missing; give the name that disks refer to");
    }
    RETURN_IF_ERROR(
        CheckRateLimiter(JoinKey(path, "rate_limiter_config"), groups[i].rate_limiter_config));
    for (size_t j = 0; j < i; ++j) {
      if (groups[i].id == groups[j].id) {
        return Invalid(JoinKey(path, "id"),
                       absl::StrCat("\"", Printable(groups[i].id), "\" is also rate_limit_groups[",
                                    j, "]; give each group its own"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRateLimitGroup(const std::string& path, const DiskConfig& disk,
                                 const std::vector<RateLimitGroupConfig>& groups) {
  if (!disk.rate_limit_group.has_value()) return absl::OkStatus();
  const std::string key = JoinKey(path, "rate_limit_group");
  if (disk.rate_limiter_config != RateLimiterConfig()) {
    return Invalid(key, "given, and rate_limiter_config too; a disk has one of them");
  }
  if (std::none_of(groups.begin(), groups.end(), [&](const RateLimitGroupConfig& group) {
        return group.id == *disk.rate_limit_group;
      })) {
    return Invalid(key, absl::StrCat("\"", Printable(*disk.rate_limit_group),
                                     "\" is no id of rate_limit_groups; add it there"));
  }
  return absl::OkStatus();
}

absl::Status CheckDisks(const VmConfig& c) {
  for (size_t i = 0; i < c.disks.size(); ++i) {
    const DiskConfig& disk = c.disks[i];
    const std::string path = JoinIndex("disks", i);
    if (disk.path.empty()) {
      return Invalid(absl::StrCat(path, ".path"), "missing; name a raw image or a block device");
    }
    if (disk.num_queues > c.cpus.boot_vcpus) {
      return Invalid(absl::StrCat(path, ".num_queues"),
                     absl::StrCat(disk.num_queues, " queues are more than the ", c.cpus.boot_vcpus,
                                  " of cpus.boot_vcpus; at most one per vCPU"));
    }
    RETURN_IF_ERROR(
        CheckRateLimiter(JoinKey(path, "rate_limiter_config"), disk.rate_limiter_config));
    RETURN_IF_ERROR(CheckRateLimitGroup(path, disk, c.rate_limit_groups));
    for (size_t j = 0; j < i; ++j) {
      const DiskConfig& other = c.disks[j];
      if (disk.path == other.path && !(disk.readonly && other.readonly)) {
        return Invalid(absl::StrCat(path, ".path"),
                       absl::StrCat("\"", Printable(disk.path), "\" is already disks[", j,
                                    "]; two disks can share an image only if both are readonly"));
      }
    }
  }
  return absl::OkStatus();
}

// Several ids of the guest may be one id of the host. But one id of the guest must not be two ids
// of the host: files would be given to one of them and would look like the other's.
absl::Status CheckIdMap(absl::string_view path, const std::vector<IdRangeConfig>& map) {
  for (size_t i = 0; i < map.size(); ++i) {
    if (map[i].count - 1 > UINT32_MAX - std::max(map[i].guest, map[i].host)) {
      return Invalid(JoinIndex(path, i), "reaches beyond the last id, 4294967295; lower its count");
    }
    for (size_t j = 0; j < i; ++j) {
      const uint32_t first = std::max(map[i].guest, map[j].guest);
      if (first - map[i].guest < map[i].count && first - map[j].guest < map[j].count) {
        return Invalid(JoinIndex(path, i),
                       absl::StrCat("the guest's id ", first, " is already in ", JoinIndex(path, j),
                                    "; map each id of the guest once"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDaxWindow(const std::string& path, const FsConfig& fs) {
  if (!fs.dax_window.has_value()) return absl::OkStatus();
  const std::string key = absl::StrCat(path, ".dax_window");
  if (fs.proto != ShareProtocol::kVirtioFs) {
    return Invalid(key, "9p has none; leave it out, or set proto to \"virtiofs\"");
  }
  if (*fs.dax_window % kDaxWindowStep != 0) {
    return Invalid(
        key, absl::StrCat(FormatSize(*fs.dax_window), " is no multiple of 2M; round it up to ",
                          FormatSize((*fs.dax_window / kDaxWindowStep + 1) * kDaxWindowStep)));
  }
  // If a file is truncated while it is mapped, an access to the mapping faults in the guest.
  if (!fs.readonly || !fs.NeverChanges()) {
    return Invalid(key,
                   "is for directories in which nothing changes; set readonly to true and cache to "
                   "\"always\" (\"auto\" will do with a closure)");
  }
  return absl::OkStatus();
}

absl::Status CheckShares(const VmConfig& c) {
  uint64_t windows = 0;
  for (size_t i = 0; i < c.fs.size(); ++i) {
    const FsConfig& fs = c.fs[i];
    const std::string path = JoinIndex("fs", i);
    if (fs.tag.empty()) {
      return Invalid(absl::StrCat(path, ".tag"), "missing; name what the guest mounts");
    }
    if (fs.path.empty()) {
      return Invalid(absl::StrCat(path, ".path"), "missing; name a directory of the host");
    }
    if (!fs.readonly && (fs.closure.has_value() || fs.cache == ShareCache::kAlways)) {
      return Invalid(absl::StrCat(path, ".readonly"),
                     absl::StrCat("false, but a share with ",
                                  fs.closure.has_value() ? "a closure" : "cache \"always\"",
                                  " is one in which nothing changes; set it to true"));
    }
    if (fs.submounts && (fs.closure.has_value() || fs.cache == ShareCache::kAlways)) {
      return Invalid(absl::StrCat(path, ".submounts"),
                     absl::StrCat("true, but a share with ",
                                  fs.closure.has_value() ? "a closure" : "cache \"always\"",
                                  " is one in which nothing changes, and the host may mount and ",
                                  "unmount; set it to false"));
    }
    if (fs.proto == ShareProtocol::k9p && fs.num_queues != 1) {
      return Invalid(absl::StrCat(path, ".num_queues"), "more than 1, and 9p has one; set it to 1");
    }
    RETURN_IF_ERROR(CheckDaxWindow(path, fs));
    windows += fs.dax_window.value_or(0);
    if (windows > kMaxDaxWindows) {
      return Invalid(
          absl::StrCat(path, ".dax_window"),
          absl::StrCat("with those before it ", FormatSize(windows),
                       ", but all shares together may have ", FormatSize(kMaxDaxWindows)));
    }
    RETURN_IF_ERROR(CheckIdMap(absl::StrCat(path, ".uid_map"), fs.uid_map));
    RETURN_IF_ERROR(CheckIdMap(absl::StrCat(path, ".gid_map"), fs.gid_map));
    for (size_t j = 0; j < i; ++j) {
      if (fs.tag == c.fs[j].tag) {
        return Invalid(absl::StrCat(path, ".tag"),
                       absl::StrCat("\"", Printable(fs.tag), "\" is also the tag of fs[", j,
                                    "]; give each share its own"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckVsock(const VmConfig& c) {
  if (!c.vsock.has_value()) return absl::OkStatus();
  if (!c.vsock->cid.has_value()) {
    return Invalid("vsock.cid", "missing; give the guest a number from 3 on");
  }
  if (c.vsock->socket.empty()) {
    return Invalid("vsock.socket", "missing; name a socket for programs of the host");
  }
  for (const auto* other : {&c.console.socket, &c.serial.socket}) {
    if (*other == c.vsock->socket) {
      return Invalid("vsock.socket", "is also the socket of a console; give each its own");
    }
  }
  return absl::OkStatus();
}

// Checks that the file or socket is given if and only if the mode needs it.
absl::Status CheckSink(absl::string_view path, ConsoleMode mode,
                       const std::optional<std::string>& file,
                       const std::optional<std::string>& socket) {
  struct Target {
    const char* key;
    const char* mode_name;
    ConsoleMode mode;
    bool given;
  };
  for (const Target& target :
       {Target{"file", "File", ConsoleMode::kFile, file.has_value()},
        Target{"socket", "Socket", ConsoleMode::kSocket, socket.has_value()}}) {
    const std::string key = JoinKey(path, target.key);
    if (mode == target.mode && !target.given) {
      return Invalid(key, absl::StrCat("missing, and ", path, ".mode is ", target.mode_name,
                                       "; name the ", target.key));
    }
    if (mode != target.mode && target.given) {
      return Invalid(key, absl::StrCat("given, and ", path, ".mode is not ", target.mode_name,
                                       "; change the mode or remove it"));
    }
  }
  return absl::OkStatus();
}

// Sets the limit to its default in modes that may write to a file. In other modes no limit may be
// given.
absl::Status CompleteMaxSize(absl::string_view path, ConsoleMode mode,
                             std::optional<uint64_t>& max_size) {
  if (mode == ConsoleMode::kFile || mode == ConsoleMode::kTty) {
    max_size = max_size.value_or(kDefaultConsoleFile);
  } else if (max_size.has_value()) {
    return Invalid(JoinKey(path, "max_size"),
                   absl::StrCat("given, and ", path,
                                ".mode is neither File nor Tty; change the mode or remove it"));
  }
  return absl::OkStatus();
}

absl::Status CheckConsoles(ConsoleConfig& console, SerialConfig& serial) {
  RETURN_IF_ERROR(CheckSink("console", console.mode, console.file, console.socket));
  RETURN_IF_ERROR(CheckSink("serial", serial.mode, serial.file, serial.socket));
  RETURN_IF_ERROR(CompleteMaxSize("console", console.mode, console.max_size));
  RETURN_IF_ERROR(CompleteMaxSize("serial", serial.mode, serial.max_size));
  if (console.mode != serial.mode) return absl::OkStatus();
  if (console.mode == ConsoleMode::kTty) {
    return Invalid(
        "serial.mode",
        "Tty, and console.mode is Tty too, but there is one terminal; set one of them to "
        "Null or Off (console is Tty by default)");
  }
  if (console.mode == ConsoleMode::kFile && console.file == serial.file) {
    return Invalid("serial.file", "is also console.file; give each its own");
  }
  if (console.mode == ConsoleMode::kFile && (absl::StrCat(*console.file, ".old") == *serial.file ||
                                             absl::StrCat(*serial.file, ".old") == *console.file)) {
    return Invalid("serial.file", "and console.file: one is the other's FILE.old; rename one");
  }
  if (console.mode == ConsoleMode::kSocket && console.socket == serial.socket) {
    return Invalid("serial.socket", "is also console.socket; give each its own");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CompleteAndValidate(VmConfig& config) {
  if (config.payload.kernel.empty()) {
    return Invalid("payload.kernel", "missing; name a bzImage or an ELF vmlinux");
  }
  RETURN_IF_ERROR(CheckCpus(config.cpus));
  RETURN_IF_ERROR(CheckMemory(config.memory, config.cpus));
  RETURN_IF_ERROR(CheckRateLimitGroups(config));
  RETURN_IF_ERROR(CheckDisks(config));
  RETURN_IF_ERROR(CheckShares(config));
  RETURN_IF_ERROR(CompleteAndValidateNets(config));
  for (size_t i = 0; i < config.net.size(); ++i) {
    RETURN_IF_ERROR(CheckRateLimiter(JoinKey(JoinIndex("net", i), "rate_limiter_config"),
                                     config.net[i].rate_limiter_config));
  }
  // A config from vm.info names the pty of that VM. The new pty gets a name of its own.
  if (config.console.mode == ConsoleMode::kPty) config.console.file.reset();
  if (config.serial.mode == ConsoleMode::kPty) config.serial.file.reset();
  RETURN_IF_ERROR(CheckConsoles(config.console, config.serial));
  RETURN_IF_ERROR(CheckVsock(config));
  RETURN_IF_ERROR(CheckCredentials(config.platform));
  RETURN_IF_ERROR(CompleteIds(config));
  return AssignPciSlots(config);
}

absl::Status ValidateRateLimit(const RateLimitGroupConfig& change) {
  if (change.id.empty()) {
    return Invalid("id", "missing; name a device or a group of rate_limit_groups");
  }
  return CheckRateLimiter("rate_limiter_config", change.rate_limiter_config);
}

absl::Status ValidateLinkChange(const LinkChange& change) {
  return change.id.empty() ? Invalid("id", "missing; name a network device") : absl::OkStatus();
}

}  // namespace vmm
