// The configuration of one virtual machine: the contents of vm.json as plain values.
//
// Names, nesting and enums are those of cloud-hypervisor's VmConfig where it has the same feature.
// The member initialisers are the defaults. config_fields.cc lists every key once, with its limits
// and one sentence of documentation; parsing, printing, the JSON Schema, the docs table and --help
// all follow from that list. Paths in a VmConfig are absolute, unless the caller of the parser
// chose otherwise.
#ifndef VMM_CONFIG_VM_CONFIG_H_
#define VMM_CONFIG_VM_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vmm {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;
// Slot 0 of PCI bus 0 is the host bridge; one bus has 32 slots.
inline constexpr uint32_t kMaxPciSlot = 31;

struct CpusConfig {
  uint32_t boot_vcpus = 1;
  // In an unvalidated config, 0 means "the same as boot_vcpus".
  uint32_t max_vcpus = 0;
  uint32_t max_phys_bits = 46;
  bool nested = false;
  bool operator==(const CpusConfig&) const = default;
};

struct MemoryConfig {
  uint64_t size = 512 * kMiB;  // bytes
  bool thp = true;
  bool hugepages = false;
  std::optional<uint64_t> hugepage_size;  // bytes
  bool prefault = false;
  bool operator==(const MemoryConfig&) const = default;
};

struct PayloadConfig {
  std::string kernel;
  std::optional<std::string> initramfs;
  std::string cmdline;
  bool operator==(const PayloadConfig&) const = default;
};

// A token bucket. In a validated config, all or nothing is given but the burst.
struct TokenBucketConfig {
  std::optional<uint64_t> size;
  std::optional<uint64_t> one_time_burst;
  std::optional<uint64_t> refill_time;  // milliseconds
  bool operator==(const TokenBucketConfig&) const = default;
};
struct BandwidthConfig : TokenBucketConfig {};  // of bytes
struct OpsConfig : TokenBucketConfig {};        // of frames or requests

// How much a device may read and write.
struct RateLimiterConfig {
  BandwidthConfig bandwidth;
  OpsConfig ops;
  bool operator==(const RateLimiterConfig&) const = default;
};

// A limit that disks share.
struct RateLimitGroupConfig {
  std::string id;
  RateLimiterConfig rate_limiter_config;
  bool operator==(const RateLimitGroupConfig&) const = default;
};

enum class ImageType : uint8_t { kUnknown, kRaw };

struct DiskConfig {
  std::string id;  // `_diskN` if not given
  std::string path;
  bool readonly = false;
  bool direct = false;
  bool sparse = true;
  uint32_t logical_block_size = 512;
  uint32_t num_queues = 1;
  uint32_t queue_size = 128;
  std::optional<std::string> serial;
  ImageType image_type = ImageType::kUnknown;
  RateLimiterConfig rate_limiter_config;
  std::optional<std::string> rate_limit_group;
  std::optional<uint32_t> pci_device_id;  // set in every validated config
  std::optional<uint64_t> features_mask;
  bool operator==(const DiskConfig&) const = default;
};

// Of a guest that is connected to passt: the default, and the most that passt carries.
inline constexpr uint32_t kMaxPasstMtu = 65520;

enum class ForwardProtocol : uint8_t { kTcp, kUdp };

// A port of the host that is one of the guest's.
struct ForwardConfig {
  ForwardProtocol proto = ForwardProtocol::kTcp;
  std::string host_address = "127.0.0.1";
  // Both are set in every validated config.
  std::optional<uint32_t> host_port;
  std::optional<uint32_t> guest_port;
  bool operator==(const ForwardConfig&) const = default;
};

// A passt that this process starts.
struct PasstConfig {
  std::vector<ForwardConfig> forward;
  bool restrict = false;
  bool operator==(const PasstConfig&) const = default;
};

// Whether the host's kernel moves the frames (vhost-net). Auto: if it can.
enum class VhostMode : uint8_t { kFalse, kTrue, kAuto };

struct NetConfig {
  std::string id;  // `_netN` if not given
  // Exactly one of these five is given.
  std::string tap;
  std::string macvtap;
  std::vector<uint64_t> fds;
  std::optional<std::string> socket;
  std::optional<PasstConfig> passt;
  // If not given, derived from the VM's name or UUID; with `macvtap` it stays empty and is the
  // interface's.
  std::string mac;
  std::optional<std::string> host_mac;
  std::optional<uint32_t> mtu;
  std::optional<std::string> ip;
  std::optional<std::string> mask;
  uint32_t num_queues = 2;
  uint32_t queue_size = 256;
  VhostMode vhost = VhostMode::kFalse;
  RateLimiterConfig rate_limiter_config;  // for each direction
  std::optional<uint32_t> pci_device_id;  // set in every validated config
  std::optional<uint64_t> features_mask;
  bool operator==(const NetConfig&) const = default;
};

// What vm.set-link changes: plugs the cable of a network device in or out.
struct LinkChange {
  std::string id;
  bool up = true;
};

// Maps ids [host, host + count) of the host to ids [guest, guest + count) of the guest.
struct IdRangeConfig {
  uint32_t guest = 0;
  uint32_t host = 0;
  uint32_t count = 1;
  bool operator==(const IdRangeConfig&) const = default;
};

enum class ShareProtocol : uint8_t { kVirtioFs, k9p };

// How long the guest may cache what the share answered. Auto means for ever with a closure,
// otherwise 1 s.
enum class ShareCache : uint8_t { kAuto, kAlways, kNever };

// The limit for all shares together. A process may have 65530 memory mappings by default
// (vm.max_map_count), and each step of a window takes up to two of them.
inline constexpr uint64_t kMaxDaxWindows = uint64_t{32} << 30;
inline constexpr uint64_t kDaxWindowStep = 2 << 20;

// A directory of the host that the guest sees.
struct FsConfig {
  std::string id;  // `_fsN` if not given
  std::string tag;
  std::string path;
  ShareProtocol proto = ShareProtocol::kVirtioFs;
  bool readonly = false;
  std::optional<std::string> closure;
  ShareCache cache = ShareCache::kAuto;
  bool submounts = false;
  std::optional<uint64_t> dax_window;  // bytes
  std::optional<uint32_t> max_open_files;
  std::optional<uint64_t> max_node_memory;  // bytes
  uint32_t num_queues = 1;
  uint32_t queue_size = 1024;
  std::vector<IdRangeConfig> uid_map;
  std::vector<IdRangeConfig> gid_map;
  std::optional<uint32_t> pci_device_id;  // set in every validated config
  std::optional<uint64_t> features_mask;

  // Returns whether the guest may cache for ever, because nothing in the share changes.
  bool NeverChanges() const {
    return cache == ShareCache::kAlways || (cache == ShareCache::kAuto && closure.has_value());
  }
  bool operator==(const FsConfig&) const = default;
};

struct RngConfig {
  std::string id;  // `_rng` if not given
  std::string src = "/dev/urandom";
  std::optional<uint32_t> pci_device_id;  // set in every validated config
  std::optional<uint64_t> features_mask;
  bool operator==(const RngConfig&) const = default;
};

inline constexpr uint64_t kDefaultConsoleFile = 64 * kMiB;

// The destination of a console's bytes. Off: there is no device. Null: the device discards its
// output.
enum class ConsoleMode : uint8_t { kOff, kNull, kTty, kPty, kFile, kSocket };

// The virtio console, hvc0.
struct ConsoleConfig {
  std::string id;  // `_console` if not given
  ConsoleMode mode = ConsoleMode::kTty;
  std::optional<std::string> file;
  std::optional<uint64_t> max_size;  // bytes; set in every validated config of mode File or Tty
  std::optional<std::string> socket;
  std::optional<uint32_t> pci_device_id;  // set in every validated config unless the mode is Off
  std::optional<uint64_t> features_mask;
  bool operator==(const ConsoleConfig&) const = default;
};

// The 16550A serial port, ttyS0.
struct SerialConfig {
  ConsoleMode mode = ConsoleMode::kNull;
  std::optional<std::string> file;
  std::optional<uint64_t> max_size;  // like ConsoleConfig::max_size
  std::optional<std::string> socket;
  bool operator==(const SerialConfig&) const = default;
};

// A secret that the guest's systemd gets. The config has its name and its source only.
struct CredentialConfig {
  std::string name;
  std::optional<std::string> file;  // by default the file `name` in $CREDENTIALS_DIRECTORY
  bool operator==(const CredentialConfig&) const = default;
};

// The values that the guest reads in SMBIOS.
struct PlatformConfig {
  std::optional<std::string> uuid;
  std::optional<std::string> serial_number;
  std::vector<std::string> oem_strings;
  std::vector<CredentialConfig> credentials;  // names differ
  std::optional<std::string> system_manufacturer;
  std::optional<std::string> system_product_name;
  std::optional<std::string> system_version;
  std::optional<std::string> system_family;
  std::optional<std::string> system_sku_number;
  std::optional<std::string> chassis_asset_tag;
  bool operator==(const PlatformConfig&) const = default;
};

// Streams between ports of the guest and Unix sockets of the host.
struct VsockConfig {
  std::string id;               // `_vsock` if not given
  std::optional<uint64_t> cid;  // set in every validated config
  std::string socket;
  std::optional<uint32_t> pci_device_id;  // set in every validated config
  std::optional<uint64_t> features_mask;
  bool operator==(const VsockConfig&) const = default;
};

struct VmConfig {
  std::optional<std::string> name;
  CpusConfig cpus;
  MemoryConfig memory;
  PayloadConfig payload;
  std::vector<RateLimitGroupConfig> rate_limit_groups;
  std::vector<DiskConfig> disks;
  std::vector<FsConfig> fs;
  std::vector<NetConfig> net;
  std::optional<VsockConfig> vsock;
  RngConfig rng;
  ConsoleConfig console;
  SerialConfig serial;
  PlatformConfig platform;
  bool pvpanic = true;
  uint32_t io_threads = 1;

  // The PCI slot of the pvpanic device, which validation sets if `pvpanic`. It is not a key of
  // vm.json.
  uint32_t pvpanic_pci_slot = 0;
  bool operator==(const VmConfig&) const = default;
};

}  // namespace vmm

#endif  // VMM_CONFIG_VM_CONFIG_H_
