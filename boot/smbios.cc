#include "boot/smbios.h"

#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/endian.h"
#include "base/status.h"
#include "boot/wire.h"

namespace boot {
namespace {

using base::Le16;
using base::Le32;
using base::Le64;

struct EntryPoint {  // [DSP0134 §5.2.2]
  uint8_t anchor[5];
  uint8_t checksum;
  uint8_t length;
  uint8_t major;
  uint8_t minor;
  uint8_t docrev;
  uint8_t revision;
  uint8_t reserved;
  Le32 table_max_bytes;
  Le64 table_addr;
};
static_assert(sizeof(EntryPoint) == 24);

struct Header {  // [DSP0134 §6.1.2]
  uint8_t type;
  uint8_t length;
  Le16 handle;
};
static_assert(sizeof(Header) == 4);

struct BiosInformation {  // type 0 [DSP0134 §7.1]
  Header header;
  uint8_t vendor;
  uint8_t version;
  Le16 starting_segment;
  uint8_t release_date;
  uint8_t rom_size;
  Le64 characteristics;
  uint8_t characteristics_extension[2];
  uint8_t release_major;
  uint8_t release_minor;
  uint8_t controller_major;
  uint8_t controller_minor;
  Le16 extended_rom_size;
};
static_assert(sizeof(BiosInformation) == 0x1A);

struct SystemInformation {  // type 1 [DSP0134 §7.2]
  Header header;
  uint8_t manufacturer;
  uint8_t product_name;
  uint8_t version;
  uint8_t serial_number;
  uint8_t uuid[16];
  uint8_t wake_up_type;
  uint8_t sku_number;
  uint8_t family;
};
static_assert(sizeof(SystemInformation) == 0x1B);

struct SystemEnclosure {  // type 3, as of version 2.3 [DSP0134 §7.4]
  Header header;
  uint8_t manufacturer;
  uint8_t type;
  uint8_t version;
  uint8_t serial_number;
  uint8_t asset_tag;
  uint8_t boot_up_state;
  uint8_t power_supply_state;
  uint8_t thermal_state;
  uint8_t security_status;
  Le32 oem_defined;
  uint8_t height;
  uint8_t power_cords;
  uint8_t contained_elements;
  uint8_t contained_element_bytes;
};
static_assert(sizeof(SystemEnclosure) == 0x15);

struct EndOfTable {  // type 127 [DSP0134 §7.45]
  Header header;
};

struct OemStrings {  // type 11 [DSP0134 §7.12]
  Header header;
  uint8_t count;
};
static_assert(sizeof(OemStrings) == 5);

constexpr uint64_t kTableOffset = 32;  // size of the entry point, rounded up to a multiple of 16
constexpr size_t kMaxStrings = 255;    // a string number is a byte, and 0 means none
constexpr uint64_t kCharacteristicsNotSupported = 1 << 3;
constexpr uint8_t kExtensionAcpi = 1 << 0;            // first extension byte
constexpr uint8_t kExtensionVirtualMachine = 1 << 4;  // second
constexpr uint8_t kWakeUpPowerSwitch = 6;
constexpr uint8_t kNotPresent = 0xFF;
constexpr uint8_t kEnclosureOther = 1;
constexpr uint8_t kStateUnknown = 2;
// A constant, so that a VM's tables do not change with the build. LINUX: ACPI's PCI windows are
// trusted by default only if the firmware is of 2008 or later.
constexpr char kReleaseDate[] = "01/01/2025";

// The strings of one structure, in order.
class StringSet {
 public:
  // Returns the number that refers to `text`, 0 if it is empty.
  uint8_t Add(const std::string& text) {
    if (text.empty()) return 0;
    AppendBytes(bytes_, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
    bytes_.push_back(0);
    return ++count_;
  }

  // Returns the bytes that follow the structure. If there are no strings, these are two NULs.
  Bytes Finish() {
    if (count_ == 0) bytes_.push_back(0);
    bytes_.push_back(0);
    return std::move(bytes_);
  }

 private:
  Bytes bytes_;
  uint8_t count_ = 0;
};

class TableBuilder {
 public:
  // Appends `structure` and its strings. Of its header only the type must be set.
  template <typename T>
  void Add(T structure, StringSet strings) {
    structure.header.length = sizeof(T);
    structure.header.handle = next_handle_++;
    AppendWire(bytes_, structure);
    AppendBytes(bytes_, strings.Finish());
  }

  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
  uint16_t next_handle_ = 0;
};

// Stores the first three fields little-endian, as SMBIOS requires. [DSP0134 §7.2.1]
void StoreUuid(const std::array<uint8_t, 16>& uuid, uint8_t (&out)[16]) {
  constexpr uint8_t kOrder[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
  for (size_t i = 0; i < uuid.size(); ++i) out[i] = uuid[kOrder[i]];
}

absl::Status CheckString(const std::string& text, absl::string_view key) {
  if (text.find('\0') == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(key, ": has a NUL character; remove it"));
}

absl::Status CheckStrings(const SmbiosConfig& config) {
  RETURN_IF_ERROR(CheckString(config.manufacturer, "SMBIOS manufacturer"));
  RETURN_IF_ERROR(CheckString(config.product_name, "SMBIOS product name"));
  RETURN_IF_ERROR(CheckString(config.version, "SMBIOS version"));
  RETURN_IF_ERROR(CheckString(config.serial_number, "SMBIOS serial number"));
  RETURN_IF_ERROR(CheckString(config.sku_number, "SMBIOS SKU number"));
  RETURN_IF_ERROR(CheckString(config.family, "SMBIOS family"));
  RETURN_IF_ERROR(CheckString(config.chassis_asset_tag, "SMBIOS chassis asset tag"));
  if (config.oem_strings.size() > kMaxStrings) {
    return absl::InvalidArgumentError(
        absl::StrFormat("platform.oem_strings: with the credentials there are %d strings, at most "
                        "%d fit; remove some",
                        config.oem_strings.size(), kMaxStrings));
  }
  for (size_t i = 0; i < config.oem_strings.size(); ++i) {
    const std::string key = absl::StrCat("platform.oem_strings[", i, "]");
    RETURN_IF_ERROR(CheckString(config.oem_strings[i], key));
    if (config.oem_strings[i].empty()) {
      return absl::InvalidArgumentError(absl::StrCat(key, ": is empty; remove it"));
    }
  }
  return absl::OkStatus();
}

void AddBiosInformation(TableBuilder& table) {
  StringSet strings;
  BiosInformation bios = {};
  bios.header.type = 0;
  bios.vendor = strings.Add("vmm");
  bios.version = strings.Add("1");
  bios.release_date = strings.Add(kReleaseDate);
  bios.characteristics = kCharacteristicsNotSupported;
  bios.characteristics_extension[0] = kExtensionAcpi;
  bios.characteristics_extension[1] = kExtensionVirtualMachine;
  bios.release_major = kNotPresent;
  bios.release_minor = kNotPresent;
  bios.controller_major = kNotPresent;
  bios.controller_minor = kNotPresent;
  table.Add(bios, std::move(strings));
}

void AddSystemInformation(const SmbiosConfig& config, TableBuilder& table) {
  StringSet strings;
  SystemInformation system = {};
  system.header.type = 1;
  system.manufacturer = strings.Add(config.manufacturer);
  system.product_name = strings.Add(config.product_name);
  system.version = strings.Add(config.version);
  system.serial_number = strings.Add(config.serial_number);
  StoreUuid(config.uuid, system.uuid);
  system.wake_up_type = kWakeUpPowerSwitch;
  system.sku_number = strings.Add(config.sku_number);
  system.family = strings.Add(config.family);
  table.Add(system, std::move(strings));
}

void AddSystemEnclosure(const SmbiosConfig& config, TableBuilder& table) {
  if (config.chassis_asset_tag.empty()) return;
  StringSet strings;
  SystemEnclosure enclosure = {};
  enclosure.header.type = 3;
  enclosure.manufacturer = strings.Add(config.manufacturer);
  enclosure.type = kEnclosureOther;
  enclosure.asset_tag = strings.Add(config.chassis_asset_tag);
  enclosure.boot_up_state = kStateUnknown;
  enclosure.power_supply_state = kStateUnknown;
  enclosure.thermal_state = kStateUnknown;
  enclosure.security_status = kStateUnknown;
  table.Add(enclosure, std::move(strings));
}

void AddOemStrings(const SmbiosConfig& config, TableBuilder& table) {
  if (config.oem_strings.empty()) return;
  StringSet strings;
  OemStrings oem = {};
  oem.header.type = 11;
  for (const std::string& text : config.oem_strings) oem.count = strings.Add(text);
  table.Add(oem, std::move(strings));
}

EntryPoint MakeEntryPoint(uint64_t table_addr, size_t table_bytes) {
  EntryPoint entry = {};
  std::memcpy(entry.anchor, "_SM3_", sizeof(entry.anchor));
  entry.length = sizeof(entry);
  entry.major = 3;
  entry.minor = 3;
  entry.revision = 1;
  entry.table_max_bytes = static_cast<uint32_t>(table_bytes);
  entry.table_addr = table_addr;
  entry.checksum =
      ZeroSumChecksum(std::span(reinterpret_cast<const uint8_t*>(&entry), sizeof(entry)));
  return entry;
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> BuildSmbios(const SmbiosConfig& config) {
  RETURN_IF_ERROR(CheckStrings(config));
  if (config.area.Wraps()) return absl::InvalidArgumentError("SMBIOS area wraps around");
  TableBuilder table;
  AddBiosInformation(table);
  AddSystemInformation(config, table);
  AddSystemEnclosure(config, table);
  AddOemStrings(config, table);
  table.Add(EndOfTable{{127, 0, {}}}, StringSet());
  const uint64_t needed = kTableOffset + table.bytes().size();
  if (needed > config.area.size || table.bytes().size() > UINT32_MAX) {
    return absl::InvalidArgumentError(
        absl::StrFormat("platform.oem_strings: with the credentials the SMBIOS tables need %d "
                        "bytes, at most %d fit; shorten them",
                        needed, config.area.size));
  }
  Bytes out;
  AppendWire(out, MakeEntryPoint(config.area.start + kTableOffset, table.bytes().size()));
  out.resize(kTableOffset);
  AppendBytes(out, table.bytes());
  return out;
}

}  // namespace boot
