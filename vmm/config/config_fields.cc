#include "vmm/config/config_fields.h"

#include <iterator>

#include "absl/strings/str_cat.h"

namespace vmm {
namespace {

constexpr const char* kImageTypes[] = {"Unknown", "Raw"};
constexpr const char* kForeignImageTypes[] = {"FixedVhd", "Qcow2", "Vhdx", "FlatVmdk"};
constexpr const char* kConsoleModes[] = {"Off", "Null", "Tty", "Pty", "File", "Socket"};

constexpr const char* kVhostModes[] = {"false", "true", "auto"};
constexpr const char* kForwardProtocols[] = {"tcp", "udp"};
constexpr const char* kShareProtocols[] = {"virtiofs", "9p"};
constexpr const char* kShareCaches[] = {"auto", "always", "never"};

// PATH_MAX without the NUL
constexpr TextRules kPathRules = {.kind = TextKind::kPath, .max_bytes = 4095};
// the size of sun_path without the NUL
constexpr TextRules kSocketRules = {.kind = TextKind::kSocketPath, .max_bytes = 107};
// The same, less _PORT at the end.
constexpr TextRules kVsockSocketRules = {.kind = TextKind::kSocketPath, .max_bytes = 96};
constexpr TextRules kIdRules = {.kind = TextKind::kAscii, .max_bytes = 64};
constexpr TextRules kSmbiosRules = {.kind = TextKind::kAscii, .max_bytes = 255};

// Describes the keys that every PCI device of cloud-hypervisor has.
void DescribePciDevice(FieldVisitor& v, std::string& id, std::optional<uint32_t>& pci_device_id,
                       std::optional<uint64_t>& features_mask) {
  v.Text(
      {"id", "Name of the device in messages, counters and the API; unique, `_KIND` by default."},
      kIdRules, id);
  v.Integer({"pci_device_id", "PCI slot; by default a free slot, in a fixed order."},
            {.min = 1, .max = kMaxPciSlot}, pci_device_id);
  v.Integer({"features_mask", "Virtio feature bits that may be offered; for tests only."}, {},
            features_mask);
  v.AtDefaultOnly("iommu", "false");
  v.AtDefaultOnly("pci_segment", "0");
}

template <typename T>
void DescribeSink(FieldVisitor& v, const char* mode_doc, T& c) {
  v.Enum({"mode", mode_doc}, {.names = kConsoleModes}, c.mode);
  v.Text({"file", "File that output is written to; needed for mode File."}, kPathRules, c.file);
  v.Integer({"max_size",
             "Most bytes in the file, 64M by default. A full file is renamed to FILE.old, and a "
             "new one begins. In mode Tty, output beyond this number of bytes is dropped if "
             "standard output is a file."},
            {.min = kMiB / 16, .max = 1024 * kGiB, .is_size = true}, c.max_size);
  v.Text({"socket", "Unix socket on which vmm listens; needed for mode Socket."}, kSocketRules,
         c.socket);
}

}  // namespace

std::string FormatSize(uint64_t bytes) {
  constexpr const char* kSuffixes[] = {"", "K", "M", "G", "T"};
  size_t suffix = 0;
  while (bytes != 0 && bytes % 1024 == 0 && suffix + 1 < std::size(kSuffixes)) {
    bytes /= 1024;
    ++suffix;
  }
  return absl::StrCat(bytes, kSuffixes[suffix]);
}

void Describe(FieldVisitor& v, CpusConfig& c) {
  v.Integer({"boot_vcpus", "Number of virtual CPUs."}, {.min = 1, .max = 254}, c.boot_vcpus);
  v.Integer({"max_vcpus", "The same number as boot_vcpus, since vCPUs cannot be added later."},
            {.min = 1, .max = 254}, c.max_vcpus);
  v.Integer({"max_phys_bits", "Most bits of a guest physical address; the host may have fewer."},
            {.min = 36, .max = 52}, c.max_phys_bits);
  v.Bool({"nested", "Let the guest run virtual machines of its own (VMX or SVM)."}, c.nested);
  v.AtDefaultOnly("topology", "null");
  v.AtDefaultOnly("kvm_hyperv", "false");
  v.AtDefaultOnly("affinity", "null");
  v.AtDefaultOnly("features", R"({"amx": false})");
  v.AtDefaultOnly("core_scheduling", R"("Vm")");
  v.AtDefaultOnly("profile", R"("Host")");
}

void Describe(FieldVisitor& v, MemoryConfig& c) {
  v.Integer(
      {"size", "Guest memory; a multiple of 4 KiB, or of the huge page size with huge pages."},
      {.min = 32 * kMiB, .max = 8192 * kGiB, .is_size = true}, c.size);
  v.Bool({"thp", "Let the host back guest memory with transparent huge pages."}, c.thp);
  v.Bool({"hugepages", "Take guest memory from the host's reserved huge pages."}, c.hugepages);
  v.Integer({"hugepage_size", "Size of those huge pages; by default the host's default size."},
            {.min = 2 * kMiB, .max = kGiB, .power_of_two = true, .is_size = true}, c.hugepage_size);
  v.Bool({"prefault", "Allocate all guest memory before the guest starts."}, c.prefault);
  v.AtDefaultOnly("mergeable", "false");
  v.AtDefaultOnly("hotplug_method", R"("Acpi")");
  v.AtDefaultOnly("hotplug_size", "null");
  v.AtDefaultOnly("hotplugged_size", "null");
  v.AtDefaultOnly("shared", "false");
  v.AtDefaultOnly("reserve", "false");
  v.AtDefaultOnly("zones", "null");
}

void Describe(FieldVisitor& v, PayloadConfig& c) {
  v.Text({.name = "kernel",
          .doc = "Kernel to boot: a bzImage, or an ELF vmlinux with a PVH note.",
          .required = true},
         kPathRules, c.kernel);
  v.Text({"initramfs", "Initial RAM disk."}, kPathRules, c.initramfs);
  // LINUX: silently cuts longer command lines: COMMAND_LINE_SIZE is 2048, including the NUL, on
  // x86.
  v.Text({"cmdline", "Kernel command line."}, {.max_bytes = 2047, .may_be_empty = true}, c.cmdline);
  v.AtDefaultOnly("firmware", "null");
  v.AtDefaultOnly("igvm", "null");
  v.AtDefaultOnly("host_data", "null");
  v.AtDefaultOnly("fw_cfg_config", "null");
}

void Describe(FieldVisitor& v, BandwidthConfig& c) {
  v.Integer({.name = "size", .doc = "Bytes in each refill_time.", .required = true},
            {.min = 1, .is_size = true}, c.size);
  v.Integer({"one_time_burst", "Bytes at the start beyond the size, once."}, {.is_size = true},
            c.one_time_burst);
  v.Integer(
      {.name = "refill_time", .doc = "Milliseconds in which size may pass.", .required = true},
      {.min = 1}, c.refill_time);
}

void Describe(FieldVisitor& v, OpsConfig& c) {
  v.Integer({.name = "size", .doc = "Operations in each refill_time.", .required = true},
            {.min = 1}, c.size);
  v.Integer({"one_time_burst", "Operations at the start beyond the size, once."}, {},
            c.one_time_burst);
  v.Integer(
      {.name = "refill_time", .doc = "Milliseconds in which size may pass.", .required = true},
      {.min = 1}, c.refill_time);
}

void Describe(FieldVisitor& v, RateLimiterConfig& c) {
  v.Object({"bandwidth", "Most bytes."}, c.bandwidth);
  v.Object({"ops", "Most operations."}, c.ops);
}

void Describe(FieldVisitor& v, RateLimitGroupConfig& c) {
  v.Text({.name = "id", .doc = "Name of the group.", .required = true}, kIdRules, c.id);
  v.Object({"rate_limiter_config", "Limits of all disks of the group together."},
           c.rate_limiter_config);
}

void Describe(FieldVisitor& v, DiskConfig& c) {
  v.Text({.name = "path", .doc = "Raw image file or block device.", .required = true}, kPathRules,
         c.path);
  v.Bool({"readonly", "Refuse writes. The lock on the image is then shared, not exclusive."},
         c.readonly);
  v.Bool({"direct", "Bypass the host's page cache (O_DIRECT)."}, c.direct);
  v.Bool({"sparse", "Give discarded and zeroed ranges back to the host's file system."}, c.sparse);
  v.Integer({"logical_block_size",
             "Bytes of the guest's sectors, whatever the host's disk has; must fit the image's "
             "partitions."},
            {.min = 512, .max = 4096, .power_of_two = true}, c.logical_block_size);
  v.Integer({"num_queues", "Number of request queues, at most boot_vcpus."}, {.min = 1, .max = 254},
            c.num_queues);
  v.Integer({"queue_size", "Descriptors per queue."},
            {.min = 4, .max = 32768, .power_of_two = true}, c.queue_size);
  v.Text({"serial", "Serial number that the guest sees, as in /dev/disk/by-id/virtio-SERIAL."},
         {.kind = TextKind::kAscii, .max_bytes = 20}, c.serial);
  v.Enum({"image_type", "Format of the image. Unknown means Raw; the format is never detected."},
         {.names = kImageTypes, .not_supported = kForeignImageTypes}, c.image_type);
  v.Object({"rate_limiter_config", "Limits of what the guest reads and writes."},
           c.rate_limiter_config);
  v.Text({"rate_limit_group", "Group of disks that share a limit: an id of rate_limit_groups."},
         kIdRules, c.rate_limit_group);
  DescribePciDevice(v, c.id, c.pci_device_id, c.features_mask);
  v.AtDefaultOnly("vhost_user", "false");
  v.AtDefaultOnly("vhost_socket", "null");
  v.AtDefaultOnly("queue_affinity", "null");
  v.AtDefaultOnly("backing_files", "false");
  v.AtDefaultOnly("lock_granularity", R"("ByteRange")");
  v.AtDefaultOnly("disable_io_uring", "false");
  v.AtDefaultOnly("disable_aio", "false");
}

void Describe(FieldVisitor& v, ForwardConfig& c) {
  v.Enum({"proto", "Protocol."}, {.names = kForwardProtocols}, c.proto);
  v.Text({"host_address", "IPv4 address of the host that accepts."}, kIdRules, c.host_address);
  v.Integer({.name = "host_port", .doc = "Port of the host.", .required = true},
            {.min = 1, .max = 65535}, c.host_port);
  v.Integer({.name = "guest_port", .doc = "Port of the guest.", .required = true},
            {.min = 1, .max = 65535}, c.guest_port);
}

void Describe(FieldVisitor& v, PasstConfig& c) {
  v.List({"forward", "Ports of the host that are ports of the guest."}, 64, c.forward);
  v.Bool(
      {"restrict",
       "Isolate the guest: it reaches nobody, and answers those who reach it through `forward`."},
      c.restrict);
}

void Describe(FieldVisitor& v, NetConfig& c) {
  v.Text({"tap",
          "TAP interface of the host; made if it does not exist. One of `tap`, `macvtap`, `fds`, "
          "`socket` and `passt` is needed."},
         kIdRules, c.tap);
  v.Text({"macvtap", "Macvtap interface of the host."}, kIdRules, c.macvtap);
  v.IntegerList({"fds",
                 "Descriptors that `vmm` inherits: one queue of a TAP or macvtap interface each, "
                 "opened with `IFF_VNET_HDR`."},
                {.min = 3, .max = INT32_MAX}, 32, c.fds);
  v.Text({"socket", "Unix socket of a running passt, which is the network then."}, kSocketRules,
         c.socket);
  v.Object({"passt", "Starts a passt of its own, which is the network then."}, c.passt);
  v.Text({"mac",
          "Address of the guest's interface; derived from `name` or `platform.uuid` if not "
          "given, and with `macvtap` the interface's."},
         kIdRules, c.mac);
  v.Text({"host_mac", "Address to give to the host's interface."}, kIdRules, c.host_mac);
  v.Integer(
      {"mtu",
       "MTU to give to the host's interface; the guest learns the interface's. With `fds` the "
       "guest's MTU. With `socket` or `passt` the guest's MTU, 65520 by default and at "
       "most."},
      {.min = 68, .max = 65535}, c.mtu);
  v.Text({"ip", "IPv4 address to give to the host's interface."}, kIdRules, c.ip);
  v.Text({"mask", "IPv4 network mask to give to the host's interface."}, kIdRules, c.mask);
  v.Integer({"num_queues", "Receive and transmit queues together: two for each pair."},
            {.min = 2, .max = 64}, c.num_queues);
  v.Integer({"queue_size", "Descriptors per queue."},
            {.min = 64, .max = 32768, .power_of_two = true}, c.queue_size);
  v.Enum({"vhost",
          "Whether the host's kernel moves the frames (vhost-net), with `tap`, `macvtap` or `fds`; "
          "`auto`: if it can."},
         {.names = kVhostModes}, c.vhost);
  v.Object({"rate_limiter_config",
            "Limits of what the guest sends, and the same limits of what the guest receives."},
           c.rate_limiter_config);
  DescribePciDevice(v, c.id, c.pci_device_id, c.features_mask);
  v.AtDefaultOnly("vhost_user", "false");
  v.AtDefaultOnly("vhost_socket", "null");
  v.AtDefaultOnly("vhost_mode", R"("Client")");
  v.AtDefaultOnly("offload_tso", "true");
  v.AtDefaultOnly("offload_ufo", "true");
  v.AtDefaultOnly("offload_csum", "true");
}

void Describe(FieldVisitor& v, LinkChange& c) {
  v.Text({.name = "id", .doc = "Id of the network device.", .required = true}, kIdRules, c.id);
  v.Bool({"up", "Whether the link is up."}, c.up);
}

void Describe(FieldVisitor& v, IdRangeConfig& c) {
  v.Integer({"guest", "First id in the guest."}, {.max = UINT32_MAX}, c.guest);
  v.Integer({"host", "First id on the host."}, {.max = UINT32_MAX}, c.host);
  v.Integer({"count", "Number of ids."}, {.min = 1, .max = UINT32_MAX}, c.count);
}

void Describe(FieldVisitor& v, FsConfig& c) {
  v.Text({.name = "tag", .doc = "Name by which the guest mounts the share.", .required = true},
         {.max_bytes = 36}, c.tag);
  v.Text({.name = "path", .doc = "Directory of the host.", .required = true}, kPathRules, c.path);
  v.Enum({"proto", "Protocol of the share: the file system type that the guest mounts."},
         {.names = kShareProtocols}, c.proto);
  v.Bool({"readonly", "Refuse every change; must be true with a closure or with cache always."},
         c.readonly);
  v.Text({"closure",
          "File that lists the store paths to show, one in each line, or a Nix registration; "
          "nothing else is in the share. SIGHUP reads the file again."},
         kPathRules, c.closure);
  v.Enum({"cache",
          "How long the guest may cache: always is for directories in which nothing changes; auto "
          "is always with a closure, else 1 s; with never the guest asks each time."},
         {.names = kShareCaches}, c.cache);
  v.Bool({"submounts",
          "Show what is mounted below the directory, too: disks, tmpfs, overlays, network file "
          "systems and FUSE, but never procfs and similar file systems. Not with a closure or "
          "cache always."},
         c.submounts);
  v.Integer({"num_queues", "Number of request queues; Linux before 6.10 uses one, 9p has one."},
            {.min = 1, .max = 64}, c.num_queues);
  v.Integer({"queue_size", "Descriptors per queue; reads of 1 MiB take 260."},
            {.min = 8, .max = 32768, .power_of_two = true}, c.queue_size);
  v.Integer({"dax_window",
             "Size of the guest address space through which the guest reads files of 1 MiB and "
             "more in the host's page cache, without copies (virtiofs with a closure or cache "
             "always). A multiple of 2M; takes 1/64 of this size from the guest's memory. By "
             "default there is no window."},
            {.min = 2 * kMiB, .max = kMaxDaxWindows, .is_size = true}, c.dax_window);
  v.Integer(
      {"max_open_files",
       "Files that the guest can have open at a time, in a readonly share, too; opening more is "
       "ENFILE. With a closure or cache always, and by 9p, files are closed and opened again "
       "instead. Each open file takes a descriptor of this process. By default half of the share's "
       "part of the descriptors, at most 8192 (1024 with a closure or cache always)."},
      {.min = 16, .max = 1 << 20}, c.max_open_files);
  v.Integer({"max_node_memory",
             "Most memory for what the guest knows of the share, about 200 bytes for each file; "
             "beyond it, further files are ENFILE. By default a quarter of the guest's memory, at "
             "least 64M and at most 1G."},
            {.min = kMiB, .max = 64 * 1024 * kMiB, .is_size = true}, c.max_node_memory);
  v.List(
      {"uid_map",
       "Which user of the guest is which user of the host. Users without an entry look like 65534, "
       "and the guest cannot give files to them. Without a map, ids are the same on both sides."},
      64, c.uid_map);
  v.List({"gid_map", "The same for groups."}, 64, c.gid_map);
  DescribePciDevice(v, c.id, c.pci_device_id, c.features_mask);
  v.AtDefaultOnly("socket", "null");
}

void Describe(FieldVisitor& v, VsockConfig& c) {
  // 0 to 2 are addresses of hosts, and the last is everybody's. [VIRTIO 1.2 §5.10.4]
  v.Integer({.name = "cid", .doc = "Address of the guest.", .required = true},
            {.min = 3, .max = UINT32_MAX - 1}, c.cid);
  v.Text({.name = "socket",
          .doc = "Unix socket where programs of the host ask for a port of the guest. The guest's "
                 "connections to the host's port N go to the socket with _N at the end.",
          .required = true},
         kVsockSocketRules, c.socket);
  DescribePciDevice(v, c.id, c.pci_device_id, c.features_mask);
}

void Describe(FieldVisitor& v, RngConfig& c) {
  v.Text({"src", "File that entropy is read from."}, kPathRules, c.src);
  DescribePciDevice(v, c.id, c.pci_device_id, c.features_mask);
}

void Describe(FieldVisitor& v, ConsoleConfig& c) {
  DescribeSink(v, "Where hvc0 is connected: Tty is this terminal, Off leaves the device out.", c);
  DescribePciDevice(v, c.id, c.pci_device_id, c.features_mask);
}

void Describe(FieldVisitor& v, SerialConfig& c) {
  DescribeSink(v, "Where ttyS0 is connected: Tty is this terminal, Off leaves the port out.", c);
  v.AtDefaultOnly("iommu", "false");  // a key of older cloud-hypervisors
}

void Describe(FieldVisitor& v, CredentialConfig& c) {
  v.Text({"file",
          "File with the credential's content; by default the file of the same name in "
          "`$CREDENTIALS_DIRECTORY`, where systemd puts what `LoadCredential=` names."},
         kPathRules, c.file);
}

void Describe(FieldVisitor& v, PlatformConfig& c) {
  v.Text({"uuid", "UUID of the machine in SMBIOS.", "system_uuid"},
         {.kind = TextKind::kUuid, .max_bytes = 36}, c.uuid);
  v.Text({"serial_number", "Serial number of the machine in SMBIOS.", "system_serial_number"},
         kSmbiosRules, c.serial_number);
  v.TextList({"oem_strings", "SMBIOS type 11 strings. For secrets use credentials."},
             {.max_bytes = 16384}, 255, c.oem_strings);
  v.Map({"credentials", "Credentials of the guest's systemd, by name. Never printed."}, 255,
        c.credentials);
  v.Text({"system_manufacturer", "Manufacturer in SMBIOS."}, kSmbiosRules, c.system_manufacturer);
  v.Text({"system_product_name", "Product name in SMBIOS."}, kSmbiosRules, c.system_product_name);
  v.Text({"system_version", "Version in SMBIOS."}, kSmbiosRules, c.system_version);
  v.Text({"system_family", "Family in SMBIOS."}, kSmbiosRules, c.system_family);
  v.Text({"system_sku_number", "SKU number in SMBIOS."}, kSmbiosRules, c.system_sku_number);
  v.Text({"chassis_asset_tag", "Asset tag of the chassis in SMBIOS."}, kSmbiosRules,
         c.chassis_asset_tag);
  v.AtDefaultOnly("num_pci_segments", "1");
  v.AtDefaultOnly("iommu_segments", "null");
  v.AtDefaultOnly("iommu_address_width", "64");
  v.AtDefaultOnly("iommu_address_width_bits", "64");
  v.AtDefaultOnly("iommufd", "false");
  v.AtDefaultOnly("vfio_p2p_dma", "true");
  v.AtDefaultOnly("tdx", "false");
  v.AtDefaultOnly("sev_snp", "false");
}

void Describe(FieldVisitor& v, VmConfig& c) {
  v.Text({"name", "Name of the VM, from which the addresses of its network devices are derived."},
         kIdRules, c.name);
  v.Object({"cpus", "Virtual CPUs."}, c.cpus);
  v.Object({"memory", "Guest memory."}, c.memory);
  v.Object({.name = "payload", .doc = "What is booted.", .required = true}, c.payload);
  v.List({"rate_limit_groups", "Limits that disks share."}, kMaxPciSlot, c.rate_limit_groups);
  v.List({"disks", "Virtio block devices, vda first."}, kMaxPciSlot, c.disks);
  v.List({"fs", "Directories of the host, shared by virtio-fs or 9p."}, kMaxPciSlot, c.fs);
  v.List({"net", "Virtio network devices."}, kMaxPciSlot, c.net);
  v.Object({"vsock", "Virtio socket device."}, c.vsock);
  v.Object({"rng", "Virtio entropy device."}, c.rng);
  v.Object({"console", "Virtio console, hvc0 in the guest."}, c.console);
  v.Object({"serial", "Serial port (16550A), ttyS0 in the guest."}, c.serial);
  v.Object({"platform", "What the guest reads in SMBIOS."}, c.platform);
  v.Bool({"pvpanic", "Add the device through which a guest reports its panic."}, c.pvpanic);
  v.Integer({"io_threads", "Threads that serve the devices' queues."}, {.min = 1, .max = 64},
            c.io_threads);
  for (const char* name :
       {"pmem", "generic_vhost_user", "devices", "user_devices", "vdpa", "balloon", "rtc", "tpm",
        "numa", "pci_segments", "landlock_rules", "pvmemcontrol", "ivshmem", "preserved_fds"}) {
    v.AtDefaultOnly(name, "null");
  }
  v.AtDefaultOnly("debug_console", R"({"mode": "Off", "file": null, "iobase": 233})");
  v.AtDefaultOnly("iommu", "false");
  v.AtDefaultOnly("watchdog", "false");
  v.AtDefaultOnly("landlock_enable", "false");
  v.AtDefaultOnly("gdb", "false");
}

}  // namespace vmm
