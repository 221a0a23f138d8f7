// The guest's physical memory as firmware would report it (E820), and ranges in it.
#ifndef BOOT_MEMORY_MAP_H_
#define BOOT_MEMORY_MAP_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace boot {

// Half-open range [start, start + size) of guest physical addresses, in bytes.
struct MemoryRange {
  uint64_t start = 0;
  uint64_t size = 0;

  // Valid only for ranges that do not wrap around 2^64. boot/ checks its inputs for that.
  uint64_t end() const { return start + size; }
  bool Wraps() const { return start > UINT64_MAX - size; }
  bool Contains(const MemoryRange& other) const {
    return other.start >= start && other.end() <= end();
  }
  bool Overlaps(const MemoryRange& other) const {
    return start < other.end() && other.start < end();
  }
  friend bool operator==(const MemoryRange&, const MemoryRange&) = default;
};

// Address range types [ACPI 6.5 §15].
enum class E820Type : uint32_t { kRam = 1, kReserved = 2, kAcpi = 3, kNvs = 4 };

struct E820Entry {
  MemoryRange range;
  E820Type type = E820Type::kRam;

  friend bool operator==(const E820Entry&, const E820Entry&) = default;
};

// The largest number of entries that struct boot_params and Linux's PVH entry accept.
inline constexpr size_t kMaxE820Entries = 128;

// On a PC, RAM ends at the start of this range, and firmware data follows up to 1 MiB. ACPI and
// SMBIOS tables are in the range. Its type is reserved and not ACPI. LINUX: reserved memory keeps
// the tables for ever and is mapped as firmware, while memory of ACPI type may be reclaimed.
inline constexpr MemoryRange kLegacyFirmwareRange = {0x9FC00, 0x100000 - 0x9FC00};

// Returns the E820 map: sorted, without overlaps, neighbours of one type merged. `ram` are the
// guest's RAM regions in any order. `reserved` are the ranges that are not RAM for the guest (such
// as ECAM); a part that is in both is reserved. kLegacyFirmwareRange is always reserved. Fails if a
// range is empty or wraps, if RAM regions overlap, or if the map exceeds kMaxE820Entries.
absl::StatusOr<std::vector<E820Entry>> BuildE820(std::span<const MemoryRange> ram,
                                                 std::span<const MemoryRange> reserved);

// The data that every boot protocol passes to the kernel.
struct BootInfo {
  std::span<const E820Entry> memory_map;  // at most kMaxE820Entries
  uint64_t cmdline_addr = 0;              // NUL-terminated; 0 for none
  MemoryRange initrd;                     // empty for none
  uint64_t rsdp_addr = 0;                 // 0 for none
};

}  // namespace boot

#endif  // BOOT_MEMORY_MAP_H_
