// The ACPI tables of the machine. It is a hardware-reduced platform, so it has no PM timer, no SCI
// and no FACS.
#ifndef BOOT_ACPI_ACPI_TABLES_H_
#define BOOT_ACPI_ACPI_TABLES_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "boot/memory_map.h"

namespace boot {

// The sleep type of power-off (S5). The guest writes it, shifted left by 2 and with bit 5 (SLP_EN)
// set, to the sleep control register. [ACPI 6.5 §4.8.3.7]
inline constexpr uint8_t kAcpiSleepTypeS5 = 5;
// The value that the guest writes to the reset register.
inline constexpr uint8_t kAcpiResetValue = 1;
// Bits of the event register. A read returns the pending events and clears them.
inline constexpr uint8_t kAcpiEventPowerButton = 1 << 0;

struct AcpiSerialPort {
  uint16_t port = 0x3F8;  // 8 ports
  uint8_t irq = 4;        // edge triggered, below 16
};

struct AcpiConfig {
  uint64_t table_base = 0xE0000;   // 16-byte aligned; the RSDP comes first
  uint64_t table_limit = 0xF0000;  // the tables end at or below this address, below 4 GiB
  std::vector<uint32_t> apic_ids;  // one per vCPU; the index is the processor's _UID
  uint32_t local_apic_addr = 0;
  uint32_t ioapic_addr = 0;
  uint32_t ioapic_gsi_base = 0;
  MemoryRange ecam;        // of bus 0: 1 MiB, below 4 GiB
  MemoryRange pci_mmio32;  // below 4 GiB
  MemoryRange pci_mmio64;  // empty for none
  uint32_t event_gsi = 0;  // edge interrupt of the generic event device
  uint16_t sleep_control_port = 0x600;
  uint16_t sleep_status_port = 0x601;
  uint16_t reset_port = 0x602;
  uint16_t event_port = 0x604;
  std::optional<AcpiSerialPort> serial;
  bool cmos_rtc = true;  // ports 0x70 and 0x71
};

struct AcpiTables {
  std::vector<uint8_t> bytes;  // to be placed at AcpiConfig::table_base
  uint64_t rsdp_addr = 0;
};

// Returns RSDP, XSDT, DSDT, FADT, MADT and MCFG. Fails if they do not fit below table_limit or an
// address in `config` does not fit its field. [ACPI 6.5 §5.2]
absl::StatusOr<AcpiTables> BuildAcpiTables(const AcpiConfig& config);

}  // namespace boot

#endif  // BOOT_ACPI_ACPI_TABLES_H_
