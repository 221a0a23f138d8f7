#include "boot/x86_64/pvh.h"

#include "absl/strings/str_format.h"
#include "base/endian.h"
#include "boot/wire.h"

namespace boot {
namespace {

using base::Le32;
using base::Le64;

constexpr uint32_t kStartMagic = 0x336ec578;  // XEN_HVM_START_MAGIC_VALUE, "xEn3" with bit 7 set
constexpr uint32_t kVersion = 1;              // the first version with a memory map

struct StartInfo {
  Le32 magic;
  Le32 version;
  Le32 flags;
  Le32 nr_modules;
  Le64 modlist_paddr;
  Le64 cmdline_paddr;
  Le64 rsdp_paddr;
  Le64 memmap_paddr;
  Le32 memmap_entries;
  Le32 reserved;
};
static_assert(sizeof(StartInfo) == 56);

struct ModuleEntry {
  Le64 paddr;
  Le64 size;
  Le64 cmdline_paddr;
  Le64 reserved;
};
static_assert(sizeof(ModuleEntry) == 32);

struct MemoryMapEntry {
  Le64 addr;
  Le64 size;
  Le32 type;
  Le32 reserved;
};
static_assert(sizeof(MemoryMapEntry) == 24);

}  // namespace

absl::StatusOr<std::vector<uint8_t>> BuildPvhStartInfo(const PvhConfig& config) {
  const bool has_initrd = config.info.initrd.size != 0;
  const uint64_t modules_addr = config.start_info_addr + sizeof(StartInfo);
  const uint64_t map_addr = modules_addr + (has_initrd ? sizeof(ModuleEntry) : 0);
  const uint64_t bytes_needed =
      map_addr - config.start_info_addr + config.info.memory_map.size() * sizeof(MemoryMapEntry);
  if (config.info.memory_map.size() > kMaxE820Entries || config.start_info_addr > config.limit ||
      bytes_needed > config.limit - config.start_info_addr) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "PVH start info: %d bytes do not fit between %#x and %#x (or over %d memory map entries)",
        bytes_needed, config.start_info_addr, config.limit, kMaxE820Entries));
  }
  StartInfo info;
  info.magic = kStartMagic;
  info.version = kVersion;
  info.cmdline_paddr = config.info.cmdline_addr;
  info.rsdp_paddr = config.info.rsdp_addr;
  info.memmap_paddr = map_addr;
  info.memmap_entries = static_cast<uint32_t>(config.info.memory_map.size());
  if (has_initrd) {
    info.nr_modules = 1u;
    info.modlist_paddr = modules_addr;
  }
  Bytes out;
  out.reserve(bytes_needed);
  AppendWire(out, info);
  if (has_initrd) {
    AppendWire(out, ModuleEntry{config.info.initrd.start, config.info.initrd.size, 0u, 0u});
  }
  for (const E820Entry& entry : config.info.memory_map) {
    AppendWire(out, MemoryMapEntry{entry.range.start, entry.range.size,
                                   static_cast<uint32_t>(entry.type), 0u});
  }
  return out;
}

}  // namespace boot
