#include "devices/pci/bar_allocator.h"

#include "base/log.h"

namespace devices {
namespace {

// Returns the lowest multiple of `size` (a power of two) from `address` on, if there is one.
std::optional<uint64_t> AlignUp(uint64_t address, uint64_t size) {
  uint64_t end;
  if (__builtin_add_overflow(address, size - 1, &end)) return std::nullopt;
  return end & ~(size - 1);
}

}  // namespace

std::optional<uint64_t> BarAllocator::Allocate(uint64_t size) {
  std::optional<uint64_t> address = AlignUp(window_.start, size);
  for (const auto& [taken, taken_size] : taken_) {
    if (!address || (*address < taken && size <= taken - *address)) break;
    // A range that ends before `address` does not matter.
    if (taken + (taken_size - 1) < *address) continue;
    uint64_t end;
    const bool at_the_end = __builtin_add_overflow(taken, taken_size, &end);
    address = at_the_end ? std::nullopt : AlignUp(end, size);
  }
  if (!address || !window_.Contains(*address, size)) return std::nullopt;
  taken_[*address] = size;
  return address;
}

void BarAllocator::Free(uint64_t address) {
  const auto erased = taken_.erase(address);
  CHECK(erased == 1);
}

}  // namespace devices
