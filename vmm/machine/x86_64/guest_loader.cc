#include "vmm/machine/guest_loader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "boot/acpi/acpi_tables.h"
#include "boot/byte_source.h"
#include "boot/kernel_image.h"
#include "boot/payload.h"
#include "boot/smbios.h"
#include "boot/x86_64/pvh.h"
#include "boot/x86_64/zero_page.h"
#include "vmm/kvm/x86_64/vcpu_state.h"
#include "vmm/machine/huge_page_advice.h"
#include "vmm/machine/parallel_read.h"
#include "vmm/machine/x86_64/address_map.h"

namespace vmm {
namespace {

namespace map = address_map;

// Reads a regular file by position. The size is the size at the time of opening.
class FileByteSource final : public boot::ByteSource {
 public:
  FileByteSource(int fd, uint64_t size) : fd_(fd), size_(size) {}
  uint64_t size() const override { return size_; }
  bool ReadAt(uint64_t offset, std::span<uint8_t> out) const override {
    while (!out.empty()) {
      const ssize_t n = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      out = out.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return true;
  }

 private:
  const int fd_;
  const uint64_t size_;
};

absl::Status OpenError(int error, absl::string_view key, const std::string& path) {
  const bool refused = error == EACCES || error == EPERM;
  return base::Advise(base::ErrnoStatus(error, absl::StrCat(key, ": ", path, ": cannot open")),
                      refused ? "give this user read access to it" : "check what the key names");
}

absl::StatusOr<uint64_t> FileSize(int fd) {
  struct stat stat;
  if (fstat(fd, &stat) != 0) return base::ErrnoStatus(errno, "fstat");
  return static_cast<uint64_t>(stat.st_size);
}

// Adds to `reads` the read that fills `range` of guest RAM from the file.
absl::Status AddRead(int fd, uint64_t offset, boot::MemoryRange range, const std::string& name,
                     base::GuestMemory& memory, HugePageAdvice& huge_pages,
                     std::vector<FileRead>& reads) {
  if (range.size == 0) return absl::OkStatus();
  const auto guest_range = base::GuestRange::Create(range.start, range.size);
  const auto iov = guest_range ? memory.IoVec(*guest_range) : std::nullopt;
  if (!iov) return absl::InternalError("a planned segment lies outside of guest RAM");
  huge_pages.WillFill(range.start, range.size);
  reads.push_back({fd, offset, {static_cast<uint8_t*>(iov->iov_base), iov->iov_len}, name});
  return absl::OkStatus();
}

// Reads kernel and initramfs straight into guest RAM.
absl::Status PlacePayload(const PayloadConfig& config, const PayloadFiles& files,
                          const PayloadPlan& plan, base::GuestMemory& memory,
                          HugePageAdvice& huge_pages) {
  std::vector<FileRead> reads;
  for (const boot::LoadSegment& segment : plan.kernel.segments) {
    // The rest of the segment up to memory_bytes is zero already, since guest RAM is zero at boot
    // and after each reset.
    RETURN_IF_ERROR(
        AddRead(files.kernel.get(), segment.file_offset, {segment.guest_addr, segment.file_bytes},
                absl::StrCat("payload.kernel: ", config.kernel), memory, huge_pages, reads));
  }
  if (files.initramfs.valid()) {
    RETURN_IF_ERROR(AddRead(files.initramfs.get(), 0, plan.initrd,
                            absl::StrCat("payload.initramfs: ", *config.initramfs), memory,
                            huge_pages, reads));
  }
  return ReadInParallel(reads);
}

absl::Status Place(base::GuestMemory& memory, uint64_t addr, std::span<const uint8_t> bytes) {
  if (memory.Write(addr, bytes)) return absl::OkStatus();
  return absl::InvalidArgumentError("memory.size: too small for the boot data; give at least 32M");
}

std::array<uint8_t, 16> ParseUuid(absl::string_view text) {
  std::array<uint8_t, 16> uuid = {};
  size_t nibble = 0;
  for (const char c : text) {
    if (c == '-' || nibble == 32) continue;
    const int value = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;  // the config has checked it
    uuid[nibble / 2] = static_cast<uint8_t>(uuid[nibble / 2] | value << (nibble % 2 == 0 ? 4 : 0));
    ++nibble;
  }
  return uuid;
}

absl::Status PlaceSmbios(const PlatformConfig& platform,
                         const std::vector<std::string>& credentials, base::GuestMemory& memory) {
  boot::SmbiosConfig smbios;
  smbios.area = {map::kSmbios, map::kSmbiosEnd - map::kSmbios};
  if (platform.uuid) smbios.uuid = ParseUuid(*platform.uuid);
  if (platform.system_manufacturer) smbios.manufacturer = *platform.system_manufacturer;
  if (platform.system_product_name) smbios.product_name = *platform.system_product_name;
  smbios.version = platform.system_version.value_or("");
  smbios.serial_number = platform.serial_number.value_or("");
  smbios.sku_number = platform.system_sku_number.value_or("");
  smbios.family = platform.system_family.value_or("");
  smbios.chassis_asset_tag = platform.chassis_asset_tag.value_or("");
  smbios.oem_strings = platform.oem_strings;
  smbios.oem_strings.insert(smbios.oem_strings.end(), credentials.begin(), credentials.end());
  const auto bytes = boot::BuildSmbios(smbios);
  if (!bytes.ok()) return bytes.status();
  return Place(memory, map::kSmbios, *bytes);
}

// LINUX: on hardware-reduced ACPI the kernel does not try the reset register; it prefers an EFI
// reset, and without EFI it returns to real mode and jumps to the BIOS (arch/x86/kernel/reboot.c,
// reboot_init). So this puts code where a BIOS would begin, which only writes the reset register.
absl::Status PlaceResetVector(base::GuestMemory& memory) {
  constexpr uint8_t kCode[] = {
      0xBA,
      map::kResetPort & 0xFF,
      map::kResetPort >> 8,  // mov $kResetPort, %dx
      0xB0,
      boot::kAcpiResetValue,  // mov $kAcpiResetValue, %al
      0xEE,                   // out %al, %dx
      0xF4,                   // hlt
      0xEB,
      0xFD,  // jmp to the hlt
  };
  static_assert(sizeof(kCode) <= map::kHighRamStart - map::kResetVector);
  return Place(memory, map::kResetVector, kCode);
}

absl::StatusOr<uint64_t> PlaceAcpi(const VmConfig& config, const GuestLayout& layout,
                                   base::GuestMemory& memory) {
  boot::AcpiConfig acpi;
  acpi.table_base = map::kAcpiTables;
  acpi.table_limit = map::kAcpiTablesEnd;
  for (uint32_t i = 0; i < config.cpus.boot_vcpus; ++i) acpi.apic_ids.push_back(i);
  acpi.local_apic_addr = static_cast<uint32_t>(map::kLocalApic);
  acpi.ioapic_addr = static_cast<uint32_t>(map::kIoapic);
  acpi.ioapic_gsi_base = map::kIoapicGsiBase;
  acpi.ecam = layout.pci_ecam;
  acpi.pci_mmio32 = layout.pci_mmio32;
  acpi.pci_mmio64 = layout.pci_mmio64;
  acpi.event_gsi = map::kGedGsi;
  acpi.sleep_control_port = map::kSleepControlPort;
  acpi.sleep_status_port = map::kSleepStatusPort;
  acpi.reset_port = map::kResetPort;
  acpi.event_port = map::kGedEventPort;
  if (config.serial.mode != ConsoleMode::kOff) {
    acpi.serial = boot::AcpiSerialPort{.port = map::kCom1Port, .irq = map::kCom1Gsi};
  }
  ASSIGN_OR_RETURN(const boot::AcpiTables tables, boot::BuildAcpiTables(acpi));
  RETURN_IF_ERROR(Place(memory, acpi.table_base, tables.bytes));
  return tables.rsdp_addr;
}

absl::StatusOr<std::vector<boot::E820Entry>> MemoryMap(const GuestLayout& layout) {
  std::vector<boot::MemoryRange> ram;
  for (const auto& region : layout.ram) ram.push_back({region.guest_start, region.size_bytes});
  // ECAM is not RAM, and no device may be placed there. (Linux accepts ECAM because of the PNP0C02
  // device in the DSDT.)
  const boot::MemoryRange reserved[] = {layout.pci_ecam};
  return boot::BuildE820(ram, reserved);
}

absl::StatusOr<boot::EntryState> PlaceBootParameters(const boot::LoadPlan& plan,
                                                     const boot::BootInfo& info,
                                                     base::GuestMemory& memory) {
  if (plan.protocol == boot::BootProtocol::kPvh) {
    RETURN_IF_ERROR(Place(memory, map::kGdt, boot::BuildGdt(/*long_mode=*/false)));
    ASSIGN_OR_RETURN(
        const auto start_info,
        boot::BuildPvhStartInfo(
            {.start_info_addr = map::kPvhStartInfo, .limit = map::kPageTables, .info = info}));
    RETURN_IF_ERROR(Place(memory, map::kPvhStartInfo, start_info));
    return boot::PvhEntryState(plan.entry_addr, map::kPvhStartInfo, map::kGdt);
  }
  RETURN_IF_ERROR(Place(memory, map::kGdt, boot::BuildGdt(/*long_mode=*/true)));
  ASSIGN_OR_RETURN(const auto page_tables, boot::BuildIdentityPageTables(map::kPageTables));
  RETURN_IF_ERROR(Place(memory, map::kPageTables, page_tables));
  ASSIGN_OR_RETURN(const auto zero_page, boot::BuildZeroPage(plan.setup_header, info));
  RETURN_IF_ERROR(Place(memory, map::kZeroPage, zero_page));
  return boot::Linux64EntryState(plan.entry_addr, map::kZeroPage, map::kGdt, map::kPageTables);
}

}  // namespace

absl::StatusOr<base::UniqueFd> OpenRegularFile(absl::string_view key, const std::string& path) {
  // O_NONBLOCK: a FIFO must give the error below, not hang.
  base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return OpenError(errno, key, path);
  struct stat stat;
  if (fstat(fd.get(), &stat) != 0) return base::ErrnoStatus(errno, absl::StrCat(key, ": ", path));
  if (!S_ISREG(stat.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(key, ": ", path, ": not a regular file; give the file itself"));
  }
  return fd;
}

absl::StatusOr<PayloadFiles> OpenPayload(const PayloadConfig& config) {
  PayloadFiles files;
  ASSIGN_OR_RETURN(files.kernel, OpenRegularFile("payload.kernel", config.kernel));
  if (config.initramfs) {
    ASSIGN_OR_RETURN(files.initramfs, OpenRegularFile("payload.initramfs", *config.initramfs));
  }
  return files;
}

absl::StatusOr<GuestLayout> MakeGuestLayout(uint64_t ram_bytes, uint32_t phys_bits) {
  GuestLayout layout;
  layout.pci_ecam = {map::kEcam, map::kEcamSize};
  layout.pci_mmio32 = {map::kPciMmio32, map::kPciMmio32End - map::kPciMmio32};
  const uint64_t low_bytes = std::min(ram_bytes, map::kHoleStart);
  layout.ram.push_back({0, low_bytes, nullptr});
  uint64_t end = map::kHoleEnd;
  if (ram_bytes > low_bytes) {
    layout.ram.push_back({map::kHoleEnd, ram_bytes - low_bytes, nullptr});
    end += ram_bytes - low_bytes;
  }
  const uint64_t limit = 1ULL << phys_bits;
  const uint64_t window = (end + map::kPciMmio64Alignment - 1) & ~(map::kPciMmio64Alignment - 1);
  if (end > limit) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory.size: ends at ", end >> 20, " MiB, but guests here have ", phys_bits,
                     " physical address bits (", limit >> 20, " MiB)"));
  }
  if (window < limit) layout.pci_mmio64 = {window, std::min(map::kPciMmio64Size, limit - window)};
  return layout;
}

absl::StatusOr<PayloadPlan> PlanPayload(const PayloadConfig& config, const PayloadFiles& files,
                                        const GuestLayout& layout) {
  PayloadPlan plan;
  ASSIGN_OR_RETURN(const uint64_t kernel_bytes, FileSize(files.kernel.get()));
  const FileByteSource kernel(files.kernel.get(), kernel_bytes);
  const boot::MemoryRange window = {map::kHighRamStart,
                                    layout.ram[0].size_bytes - map::kHighRamStart};
  auto kernel_plan = boot::PlanKernelLoad(kernel, config.kernel, window);
  if (!kernel_plan.ok()) return base::Annotate(kernel_plan.status(), "payload.kernel");
  plan.kernel = *std::move(kernel_plan);
  if (files.initramfs.valid()) {
    const std::string& path = *config.initramfs;
    ASSIGN_OR_RETURN(const uint64_t bytes, FileSize(files.initramfs.get()));
    if (bytes == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "payload.initramfs: ", path, ": the file is empty; leave the key out or build it again"));
    }
    const auto place = boot::PlaceInitrd(bytes, path, plan.kernel, window);
    if (!place.ok()) return base::Annotate(place.status(), "payload.initramfs");
    plan.initrd = *place;
  }
  auto cmdline = boot::EncodeCommandLine(
      config.cmdline, std::min(plan.kernel.cmdline_max_bytes, map::kCommandLineMaxBytes - 1));
  if (!cmdline.ok()) return base::Annotate(cmdline.status(), "payload.cmdline");
  plan.cmdline = *std::move(cmdline);
  return plan;
}

absl::Status LoadGuest(const VmConfig& config, const PayloadFiles& files,
                       const std::vector<std::string>& credentials, const GuestLayout& layout,
                       base::GuestMemory& memory, const Vcpu& boot_vcpu) {
  ASSIGN_OR_RETURN(const PayloadPlan plan, PlanPayload(config.payload, files, layout));
  HugePageAdvice huge_pages(
      memory, config.memory.thp && !config.memory.hugepages && !config.memory.prefault);
  RETURN_IF_ERROR(Place(memory, map::kCommandLine, plan.cmdline));
  RETURN_IF_ERROR(PlacePayload(config.payload, files, plan, memory, huge_pages));
  ASSIGN_OR_RETURN(const auto memory_map, MemoryMap(layout));
  boot::BootInfo info{
      .memory_map = memory_map, .cmdline_addr = map::kCommandLine, .initrd = plan.initrd};
  ASSIGN_OR_RETURN(info.rsdp_addr, PlaceAcpi(config, layout, memory));
  RETURN_IF_ERROR(PlaceSmbios(config.platform, credentials, memory));
  RETURN_IF_ERROR(PlaceResetVector(memory));
  ASSIGN_OR_RETURN(const boot::EntryState entry, PlaceBootParameters(plan.kernel, info, memory));
  return SetEntryState(boot_vcpu.fd(), entry);
}

}  // namespace vmm
