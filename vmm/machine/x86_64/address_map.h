// The whole x86_64 address map: every fixed guest physical address, port and interrupt pin, in
// order.
#ifndef VMM_MACHINE_X86_64_ADDRESS_MAP_H_
#define VMM_MACHINE_X86_64_ADDRESS_MAP_H_

#include <cstdint>

namespace vmm::address_map {

// ---- Guest physical memory, ascending ----

// [0, 640 KiB) is RAM. The boot data there is needed only until the kernel has read it.
inline constexpr uint64_t kGdt = 0x500;            // 4 descriptors for the boot vCPU
inline constexpr uint64_t kPvhStartInfo = 0x6000;  // hvm_start_info, module list, memory map
inline constexpr uint64_t kZeroPage = 0x7000;      // struct boot_params, one page
inline constexpr uint64_t kPageTables =
    0x9000;  // PML4, PDPT, page directories: identity map of 4 GiB
inline constexpr uint64_t kCommandLine = 0x20000;  // NUL-terminated
inline constexpr uint64_t kCommandLineMaxBytes = 0x10000;

// [640 KiB, 1 MiB) is RAM in KVM. The memory map of the guest reserves it for firmware tables.
inline constexpr uint64_t kAcpiTables = 0xE0000;
inline constexpr uint64_t kAcpiTablesEnd = 0xF0000;
inline constexpr uint64_t kResetVector = 0xFFFF0;  // F000:FFF0, where a PC's BIOS begins; 16 bytes
inline constexpr uint64_t kSmbios = 0xF0000;       // anchor found by scanning [0xF0000, 0x100000)
inline constexpr uint64_t kSmbiosEnd = kResetVector;

// [1 MiB, 3 GiB) is RAM; kernel and initramfs.
inline constexpr uint64_t kHighRamStart = 0x100000;
inline constexpr uint64_t kHoleStart = 0xC000'0000;  // 3 GiB: the hole for devices begins

inline constexpr uint64_t kPciMmio32 = 0xC000'0000;  // BARs, 512 MiB
inline constexpr uint64_t kPciMmio32End = 0xE000'0000;
inline constexpr uint64_t kEcam = 0xE000'0000;  // PCI configuration space of bus 0, 1 MiB
inline constexpr uint64_t kEcamSize = 0x10'0000;
inline constexpr uint64_t kIoapic = 0xFEC0'0000;
inline constexpr uint64_t kLocalApic = 0xFEE0'0000;  // in KVM; also the MSI address window
// Four pages for KVM on Intel (identity map page, then the task state segment); never seen by the
// guest.
inline constexpr uint64_t kKvmIdentityMap = 0xFFFB'C000;
inline constexpr uint64_t kKvmTss = 0xFFFB'D000;

inline constexpr uint64_t kHoleEnd = 0x1'0000'0000;  // 4 GiB: RAM continues here

// The 64-bit MMIO window starts at the first multiple of this above RAM.
inline constexpr uint64_t kPciMmio64Alignment = 1ULL << 30;
inline constexpr uint64_t kPciMmio64Size = 1ULL << 36;

// ---- I/O ports ----
inline constexpr uint16_t kI8042Port = 0x60;  // 0x60..0x64
inline constexpr uint16_t kRtcPort = 0x70;    // 0x70, 0x71
inline constexpr uint16_t kDebugPort = 0x80;
inline constexpr uint16_t kCom1Port = 0x3F8;  // 0x3F8..0x3FF
inline constexpr uint16_t kSleepControlPort = 0x600;
inline constexpr uint16_t kSleepStatusPort = 0x601;
inline constexpr uint16_t kResetPort = 0x602;
inline constexpr uint16_t kGedEventPort = 0x604;
// No device answers here, but Linux probes all 32 slots through this port before it has read the
// ACPI tables.
inline constexpr uint16_t kPciConfigAddressPort = 0xCF8;

// ---- Interrupts: IOAPIC pins and their global system interrupt numbers ----
// There are only as many pins as interrupt lines: Linux saves and restores every pin at start,
// which takes 8 exits for each pin. COM1 keeps the number that PC software expects.
inline constexpr uint32_t kIoapicGsiBase = 4;  // of pin 0
inline constexpr uint32_t kIoapicPins = 2;
inline constexpr uint32_t kCom1Gsi = 4;
inline constexpr uint32_t kGedGsi = 5;
static_assert(kGedGsi - kIoapicGsiBase < kIoapicPins);

}  // namespace vmm::address_map

#endif  // VMM_MACHINE_X86_64_ADDRESS_MAP_H_
