#include "boot/memory_map.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status.h"

namespace boot {
namespace {

bool StartsBefore(const MemoryRange& a, const MemoryRange& b) { return a.start < b.start; }

absl::Status CheckRanges(std::span<const MemoryRange> ranges, const char* what) {
  for (const MemoryRange& range : ranges) {
    if (range.size == 0 || range.Wraps()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("memory map: %s range at %#x of %d bytes is empty or wraps around", what,
                          range.start, range.size));
    }
  }
  return absl::OkStatus();
}

// Returns `ranges` sorted, with overlapping and touching ranges merged.
std::vector<MemoryRange> Union(std::vector<MemoryRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), StartsBefore);
  std::vector<MemoryRange> merged;
  for (const MemoryRange& range : ranges) {
    if (!merged.empty() && range.start <= merged.back().end()) {
      const uint64_t end = std::max(merged.back().end(), range.end());
      merged.back().size = end - merged.back().start;
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

// Appends the parts of `ram` that are outside `holes` (sorted, disjoint) as RAM entries.
void AppendRamWithoutHoles(MemoryRange ram, std::span<const MemoryRange> holes,
                           std::vector<E820Entry>& out) {
  uint64_t start = ram.start;
  for (const MemoryRange& hole : holes) {
    if (hole.end() <= start || hole.start >= ram.end()) continue;
    if (hole.start > start) out.push_back({{start, hole.start - start}, E820Type::kRam});
    start = hole.end();
  }
  if (start < ram.end()) out.push_back({{start, ram.end() - start}, E820Type::kRam});
}

}  // namespace

absl::StatusOr<std::vector<E820Entry>> BuildE820(std::span<const MemoryRange> ram,
                                                 std::span<const MemoryRange> reserved) {
  RETURN_IF_ERROR(CheckRanges(ram, "RAM"));
  RETURN_IF_ERROR(CheckRanges(reserved, "reserved"));
  std::vector<MemoryRange> sorted_ram(ram.begin(), ram.end());
  std::sort(sorted_ram.begin(), sorted_ram.end(), StartsBefore);
  for (size_t i = 1; i < sorted_ram.size(); ++i) {
    if (sorted_ram[i - 1].Overlaps(sorted_ram[i])) {
      return absl::InvalidArgumentError(
          absl::StrFormat("memory map: RAM regions at %#x and %#x overlap", sorted_ram[i - 1].start,
                          sorted_ram[i].start));
    }
  }
  std::vector<MemoryRange> holes(reserved.begin(), reserved.end());
  holes.push_back(kLegacyFirmwareRange);
  holes = Union(std::move(holes));

  std::vector<E820Entry> map;
  for (const MemoryRange& region : Union(std::move(sorted_ram))) {
    AppendRamWithoutHoles(region, holes, map);
  }
  for (const MemoryRange& hole : holes) map.push_back({hole, E820Type::kReserved});
  std::sort(map.begin(), map.end(),
            [](const E820Entry& a, const E820Entry& b) { return StartsBefore(a.range, b.range); });
  if (map.size() > kMaxE820Entries) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "memory map: %d entries are needed, at most %d fit", map.size(), kMaxE820Entries));
  }
  return map;
}

}  // namespace boot
