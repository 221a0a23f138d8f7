#include "boot/acpi/acpi_tables.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <span>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/endian.h"
#include "base/status.h"
#include "boot/acpi/dsdt.h"
#include "boot/wire.h"

namespace boot {
namespace {

using base::Le16;
using base::Le32;
using base::Le64;

constexpr char kOemId[] = "VMM   ";
constexpr char kOemTableId[] = "VMM     ";
constexpr char kCreatorId[] = "VMM ";
constexpr uint64_t kTableAlignment = 16;
constexpr uint64_t kEcamBytesPerBus = 1 << 20;
constexpr size_t kMaxProcessors = 4096;  // names C000 to CFFF in the DSDT

struct Rsdp {  // [ACPI 6.5 §5.2.5.3]
  char signature[8];
  uint8_t checksum;  // of the first 20 bytes
  char oem_id[6];
  uint8_t revision;
  Le32 rsdt_addr;
  Le32 length;
  Le64 xsdt_addr;
  uint8_t extended_checksum;
  uint8_t reserved[3];
};
static_assert(sizeof(Rsdp) == 36);

struct TableHeader {  // [ACPI 6.5 §5.2.6]
  char signature[4];
  Le32 length;
  uint8_t revision;
  uint8_t checksum;
  char oem_id[6];
  char oem_table_id[8];
  Le32 oem_revision;
  char creator_id[4];
  Le32 creator_revision;
};
static_assert(sizeof(TableHeader) == 36);

struct GenericAddress {  // [ACPI 6.5 §5.2.3.2]
  uint8_t address_space = 0;
  uint8_t bit_width = 0;
  uint8_t bit_offset = 0;
  uint8_t access_size = 0;
  Le64 address;
};
static_assert(sizeof(GenericAddress) == 12);

// The FADT after its header. A hardware-reduced platform leaves all other fields zero. [ACPI 6.5
// §5.2.9]
struct FadtBody {
  uint8_t legacy_registers[109 - 36];
  Le16 boot_architecture;
  uint8_t reserved;
  Le32 flags;
  GenericAddress reset_register;
  uint8_t reset_value;
  Le16 arm_boot_architecture;
  uint8_t minor_version;
  Le64 facs_addr;
  Le64 dsdt_addr;
  GenericAddress legacy_blocks[8];
  GenericAddress sleep_control;
  GenericAddress sleep_status;
  char hypervisor_vendor[8];
};
static_assert(sizeof(FadtBody) == 276 - sizeof(TableHeader));
static_assert(offsetof(FadtBody, flags) == 112 - sizeof(TableHeader));
static_assert(offsetof(FadtBody, dsdt_addr) == 140 - sizeof(TableHeader));
static_assert(offsetof(FadtBody, sleep_control) == 244 - sizeof(TableHeader));

struct MadtBody {  // [ACPI 6.5 §5.2.12]
  Le32 local_apic_addr;
  Le32 flags;  // PCAT_COMPAT is clear: there is no 8259
};

struct LocalApic {  // type 0
  uint8_t type;
  uint8_t length;
  uint8_t processor_uid;
  uint8_t apic_id;
  Le32 flags;
};
static_assert(sizeof(LocalApic) == 8);

struct IoApic {  // type 1
  uint8_t type;
  uint8_t length;
  uint8_t id;
  uint8_t reserved;
  Le32 addr;
  Le32 gsi_base;
};
static_assert(sizeof(IoApic) == 12);

struct LocalX2Apic {  // type 9
  uint8_t type;
  uint8_t length;
  Le16 reserved;
  Le32 apic_id;
  Le32 flags;
  Le32 processor_uid;
};
static_assert(sizeof(LocalX2Apic) == 16);

struct McfgBody {  // one allocation [PCI Firmware 3.3 §4.1.2]
  Le64 reserved;
  Le64 ecam_addr;
  Le16 segment;
  uint8_t first_bus;
  uint8_t last_bus;
  Le32 reserved2;
};
static_assert(sizeof(McfgBody) == 24);

constexpr uint32_t kMadtEnabled = 1 << 0;

template <size_t kSize>
void CopyText(char (&out)[kSize], absl::string_view text) {
  std::memcpy(out, text.data(), std::min(kSize, text.size()));
}

// Returns a table with its header, length and checksum filled in.
Bytes MakeTable(absl::string_view signature, uint8_t revision, std::span<const uint8_t> body) {
  TableHeader header = {};
  CopyText(header.signature, signature);
  header.length = static_cast<uint32_t>(sizeof(header) + body.size());
  header.revision = revision;
  CopyText(header.oem_id, kOemId);
  CopyText(header.oem_table_id, kOemTableId);
  header.oem_revision = 1u;
  CopyText(header.creator_id, kCreatorId);
  header.creator_revision = 1u;
  Bytes table;
  table.reserve(sizeof(header) + body.size());
  AppendWire(table, header);
  AppendBytes(table, body);
  table[offsetof(TableHeader, checksum)] = ZeroSumChecksum(table);
  return table;
}

template <typename T>
Bytes ToBytes(const T& value) {
  Bytes out;
  AppendWire(out, value);
  return out;
}

GenericAddress IoRegister(uint16_t port) {
  constexpr uint8_t kSystemIo = 1;
  constexpr uint8_t kByteAccess = 1;
  return {kSystemIo, 8, 0, kByteAccess, port};
}

Bytes MakeFadt(const AcpiConfig& config, uint64_t dsdt_addr) {
  constexpr uint8_t kMajorVersion = 6;
  constexpr uint8_t kMinorVersion = 3;
  // Boot architecture flags [ACPI 6.5 §5.2.9.3]. The 8042 flag stays clear and the flag for a
  // missing VGA is set, so that the guest does not probe for either.
  constexpr uint16_t kVgaNotPresent = 1 << 2;
  constexpr uint16_t kCmosRtcNotPresent = 1 << 5;
  // Feature flags [ACPI 6.5 §5.2.9, table 5.10]. Both button flags are set, which says that no
  // button is in fixed registers.
  constexpr uint32_t kWbinvd = 1 << 0;
  constexpr uint32_t kPowerButton = 1 << 4;
  constexpr uint32_t kSleepButton = 1 << 5;
  constexpr uint32_t kResetRegister = 1 << 10;
  constexpr uint32_t kHardwareReduced = 1 << 20;
  FadtBody fadt = {};
  fadt.boot_architecture =
      static_cast<uint16_t>(kVgaNotPresent | (config.cmos_rtc ? 0 : kCmosRtcNotPresent));
  fadt.flags = kWbinvd | kPowerButton | kSleepButton | kResetRegister | kHardwareReduced;
  fadt.reset_register = IoRegister(config.reset_port);
  fadt.reset_value = kAcpiResetValue;
  fadt.minor_version = kMinorVersion;
  fadt.dsdt_addr = dsdt_addr;
  fadt.sleep_control = IoRegister(config.sleep_control_port);
  fadt.sleep_status = IoRegister(config.sleep_status_port);
  CopyText(fadt.hypervisor_vendor, "vmm");
  return MakeTable("FACP", kMajorVersion, ToBytes(fadt));
}

Bytes MakeMadt(const AcpiConfig& config) {
  constexpr uint8_t kRevision = 5;
  // 8-bit ids end below it; larger ids get x2APIC entries
  constexpr uint32_t kBroadcastApicId = 255;
  Bytes body = ToBytes(MadtBody{config.local_apic_addr, 0u});
  for (size_t uid = 0; uid < config.apic_ids.size(); ++uid) {
    const uint32_t apic_id = config.apic_ids[uid];
    if (apic_id < kBroadcastApicId && uid < kBroadcastApicId) {
      AppendWire(body, LocalApic{0, sizeof(LocalApic), static_cast<uint8_t>(uid),
                                 static_cast<uint8_t>(apic_id), kMadtEnabled});
    } else {
      AppendWire(
          body, LocalX2Apic{
                    9, sizeof(LocalX2Apic), {}, apic_id, kMadtEnabled, static_cast<uint32_t>(uid)});
    }
  }
  AppendWire(body,
             IoApic{1, sizeof(IoApic), /*id=*/0, 0, config.ioapic_addr, config.ioapic_gsi_base});
  return MakeTable("APIC", kRevision, body);
}

Bytes MakeMcfg(const AcpiConfig& config) {
  constexpr uint8_t kRevision = 1;
  McfgBody body = {};
  body.ecam_addr = config.ecam.start;
  return MakeTable("MCFG", kRevision, ToBytes(body));
}

Bytes MakeDsdt(const AcpiConfig& config) {
  constexpr uint8_t kRevision = 2;  // makes integers 64 bits wide
  return MakeTable("DSDT", kRevision, BuildDsdtBody(config));
}

Bytes MakeXsdt(std::initializer_list<uint64_t> table_addrs) {
  constexpr uint8_t kRevision = 1;
  Bytes body;
  for (const uint64_t addr : table_addrs) AppendWire(body, Le64(addr));
  return MakeTable("XSDT", kRevision, body);
}

Rsdp MakeRsdp(uint64_t xsdt_addr) {
  constexpr size_t kFirstPartBytes = 20;
  Rsdp rsdp = {};
  CopyText(rsdp.signature, "RSD PTR ");
  CopyText(rsdp.oem_id, kOemId);
  rsdp.revision = 2;
  rsdp.length = uint32_t{sizeof(rsdp)};
  rsdp.xsdt_addr = xsdt_addr;
  rsdp.checksum = ZeroSumChecksum(std::span<const uint8_t>(ToBytes(rsdp)).first(kFirstPartBytes));
  rsdp.extended_checksum = ZeroSumChecksum(ToBytes(rsdp));
  return rsdp;
}

bool EndsBelow4GiB(const MemoryRange& range) {
  constexpr uint64_t kFourGiB = uint64_t{1} << 32;
  return !range.Wraps() && range.size != 0 && range.end() <= kFourGiB;
}

absl::Status CheckConfig(const AcpiConfig& config) {
  if (config.apic_ids.empty() || config.apic_ids.size() > kMaxProcessors) {
    return absl::InvalidArgumentError(absl::StrFormat("ACPI: %d vCPUs, 1 to %d can be described",
                                                      config.apic_ids.size(), kMaxProcessors));
  }
  if (!EndsBelow4GiB(config.ecam) || config.ecam.size < kEcamBytesPerBus) {
    return absl::InvalidArgumentError(
        absl::StrFormat("ACPI: ECAM at %#x of %#x bytes is not 1 MiB or more below 4 GiB",
                        config.ecam.start, config.ecam.size));
  }
  if (!EndsBelow4GiB(config.pci_mmio32) || config.pci_mmio64.Wraps()) {
    return absl::InvalidArgumentError("ACPI: a PCI memory window is outside its address range");
  }
  if (config.serial && config.serial->irq > 15) {
    return absl::InvalidArgumentError(
        absl::StrFormat("ACPI: serial interrupt %d is above 15", config.serial->irq));
  }
  if (config.table_base % kTableAlignment != 0 || config.table_limit < config.table_base) {
    return absl::InvalidArgumentError(absl::StrFormat("ACPI: tables cannot be between %#x and %#x",
                                                      config.table_base, config.table_limit));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AcpiTables> BuildAcpiTables(const AcpiConfig& config) {
  RETURN_IF_ERROR(CheckConfig(config));
  AcpiTables tables;
  tables.rsdp_addr = config.table_base;
  tables.bytes.resize(sizeof(Rsdp));
  const auto place = [&](const Bytes& table) {
    tables.bytes.resize((tables.bytes.size() + kTableAlignment - 1) & ~(kTableAlignment - 1));
    const uint64_t addr = config.table_base + tables.bytes.size();
    AppendBytes(tables.bytes, table);
    return addr;
  };
  const uint64_t dsdt_addr = place(MakeDsdt(config));
  const uint64_t fadt_addr = place(MakeFadt(config, dsdt_addr));
  const uint64_t madt_addr = place(MakeMadt(config));
  const uint64_t mcfg_addr = place(MakeMcfg(config));
  const uint64_t xsdt_addr = place(MakeXsdt({fadt_addr, madt_addr, mcfg_addr}));
  StoreWire(std::span<uint8_t>(tables.bytes), 0, MakeRsdp(xsdt_addr));
  if (tables.bytes.size() > config.table_limit - config.table_base) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "ACPI: the tables for %d vCPUs need %d bytes, %d are there; lower cpus.boot_vcpus",
        config.apic_ids.size(), tables.bytes.size(), config.table_limit - config.table_base));
  }
  return tables;
}

}  // namespace boot
