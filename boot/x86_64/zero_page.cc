#include "boot/x86_64/zero_page.h"

#include <asm/bootparam.h>

#include <algorithm>

#include "boot/wire.h"

namespace boot {
namespace {

static_assert(sizeof(boot_params) == 4096);
static_assert(offsetof(boot_params, acpi_rsdp_addr) == 0x70);
static_assert(offsetof(boot_params, ext_ramdisk_image) == 0xC0);
static_assert(offsetof(boot_params, e820_entries) == 0x1E8);
static_assert(offsetof(boot_params, hdr) == 0x1F1);
static_assert(offsetof(boot_params, e820_table) == 0x2D0);
static_assert(kMaxE820Entries == E820_MAX_ENTRIES_ZEROPAGE);

constexpr uint8_t kLoaderUnknown = 0xFF;  // type_of_loader of loaders that have no assigned number

uint32_t LowHalf(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t HighHalf(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

}  // namespace

absl::StatusOr<std::vector<uint8_t>> BuildZeroPage(std::span<const uint8_t> setup_header,
                                                   const BootInfo& info) {
  // The header may be longer than this struct knows. It has room up to the next field.
  constexpr size_t kHeaderRoom =
      offsetof(boot_params, edd_mbr_sig_buffer) - offsetof(boot_params, hdr);
  if (setup_header.size() > kHeaderRoom) {
    return absl::InvalidArgumentError("zero page: the kernel's setup header is too long");
  }
  if (info.memory_map.size() > kMaxE820Entries) {
    return absl::InvalidArgumentError("zero page: the memory map has too many entries");
  }
  Bytes page(sizeof(boot_params));
  std::copy(setup_header.begin(), setup_header.end(), page.begin() + offsetof(boot_params, hdr));

  auto params = LoadWire<boot_params>(page, 0);
  params.hdr.type_of_loader = kLoaderUnknown;
  params.hdr.cmd_line_ptr = LowHalf(info.cmdline_addr);
  params.ext_cmd_line_ptr = HighHalf(info.cmdline_addr);
  params.hdr.ramdisk_image = LowHalf(info.initrd.start);
  params.hdr.ramdisk_size = LowHalf(info.initrd.size);
  params.ext_ramdisk_image = HighHalf(info.initrd.start);
  params.ext_ramdisk_size = HighHalf(info.initrd.size);
  params.acpi_rsdp_addr = info.rsdp_addr;
  params.e820_entries = static_cast<uint8_t>(info.memory_map.size());
  for (size_t i = 0; i < info.memory_map.size(); ++i) {
    const E820Entry& entry = info.memory_map[i];
    params.e820_table[i] = {entry.range.start, entry.range.size, static_cast<uint32_t>(entry.type)};
  }
  StoreWire(std::span<uint8_t>(page), 0, params);
  return page;
}

}  // namespace boot
