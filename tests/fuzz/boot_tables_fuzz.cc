// Fuzzes memory maps, ACPI and SMBIOS with any configuration: the tables stay in their area and in
// order.
#include <vector>

#include "boot/acpi/acpi_tables.h"
#include "boot/memory_map.h"
#include "boot/smbios.h"
#include "boot/x86_64/pvh.h"
#include "boot/x86_64/zero_page.h"
#include "tests/fuzz/boot_fuzz_input.h"

namespace {

std::vector<boot::MemoryRange> TakeRanges(FuzzInput& input) {
  std::vector<boot::MemoryRange> ranges;
  for (auto count = input.Take<uint8_t>() % 160; count > 0 && !input.empty(); --count) {
    ranges.push_back({input.TakeScaled(), input.TakeScaled()});
  }
  return ranges;
}

void FuzzMemoryMap(FuzzInput& input) {
  const auto ram = TakeRanges(input);
  const auto reserved = TakeRanges(input);
  const auto map = boot::BuildE820(ram, reserved);
  if (!map.ok()) return;
  Require(map->size() <= boot::kMaxE820Entries);
  for (size_t i = 0; i < map->size(); ++i) {
    Require((*map)[i].range.size > 0 && !(*map)[i].range.Wraps());
    Require(i == 0 || (*map)[i - 1].range.end() <= (*map)[i].range.start);
  }
  boot::PvhConfig pvh;
  pvh.info.memory_map = *map;
  Require(boot::BuildZeroPage({}, pvh.info)->size() == 4096);
  pvh.start_info_addr = input.TakeScaled();
  pvh.limit = input.TakeScaled();
  pvh.info.initrd.size = input.Take<uint8_t>();
  const auto start_info = boot::BuildPvhStartInfo(pvh);
  if (start_info.ok()) Require(start_info->size() <= pvh.limit - pvh.start_info_addr);
}

void FuzzAcpi(FuzzInput& input) {
  boot::AcpiConfig config;
  const auto vcpus = input.Take<uint8_t>();
  config.apic_ids.resize(vcpus, input.Take<uint32_t>());
  config.table_base = input.TakeScaled();
  config.table_limit = input.TakeScaled();
  config.ecam = {input.TakeScaled(), input.TakeScaled()};
  config.pci_mmio32 = {input.TakeScaled(), input.TakeScaled()};
  config.pci_mmio64 = {input.TakeScaled(), input.TakeScaled()};
  config.event_gsi = input.Take<uint32_t>();
  config.cmos_rtc = input.Take<uint8_t>() % 2 != 0;
  if (input.Take<uint8_t>() % 2 != 0) {
    config.serial = boot::AcpiSerialPort{input.Take<uint16_t>(), input.Take<uint8_t>()};
  }
  const auto tables = boot::BuildAcpiTables(config);
  if (!tables.ok()) return;
  Require(tables->bytes.size() <= config.table_limit - config.table_base);
  Require(tables->rsdp_addr == config.table_base);
}

void FuzzSmbios(FuzzInput& input) {
  boot::SmbiosConfig config;
  config.area = {input.TakeScaled(), input.TakeScaled()};
  config.serial_number = input.TakeString();
  config.family = input.TakeString();
  while (!input.empty()) config.oem_strings.push_back(input.TakeString());
  const auto bytes = boot::BuildSmbios(config);
  if (bytes.ok()) Require(bytes->size() <= config.area.size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  switch (input.Take<uint8_t>() % 3) {
    case 0:
      FuzzMemoryMap(input);
      break;
    case 1:
      FuzzAcpi(input);
      break;
    default:
      FuzzSmbios(input);
      break;
  }
  return 0;
}
