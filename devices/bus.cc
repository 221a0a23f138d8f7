#include "devices/bus.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace devices {

absl::Status Bus::Insert(uint64_t start, uint64_t size, BusDevice& device) {
  if (size == 0 || start + (size - 1) < start) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: bus range of %u bytes at %#x is empty or wraps", device.name(), size, start));
  }
  const uint64_t last = start + (size - 1);
  base::MutexLock lock(mutex_);
  // The first range that ends at or after `start` is the only one that has to be looked at.
  const auto next = std::lower_bound(
      ranges_.begin(), ranges_.end(), start,
      [](const Range& range, uint64_t addr) { return range.start + (range.size - 1) < addr; });
  if (next != ranges_.end() && next->start <= last) {
    return absl::AlreadyExistsError(
        absl::StrFormat("%s: bus range [%#x, %#x] overlaps %s at [%#x, %#x]", device.name(), start,
                        last, next->device->name(), next->start, next->start + (next->size - 1)));
  }
  ranges_.insert(next, Range{start, size, &device});
  return absl::OkStatus();
}

void Bus::Remove(uint64_t start, const BusDevice& device) {
  base::MutexLock lock(mutex_);
  std::erase_if(
      ranges_, [&](const Range& range) { return range.start == start && range.device == &device; });
}

BusDevice* Bus::Find(uint64_t addr, uint64_t size, uint64_t& offset) {
  base::MutexLock lock(mutex_);
  auto range = std::upper_bound(ranges_.begin(), ranges_.end(), addr,
                                [](uint64_t a, const Range& r) { return a < r.start; });
  if (range == ranges_.begin()) return nullptr;
  --range;
  offset = addr - range->start;
  if (offset >= range->size || size > range->size - offset) return nullptr;
  return range->device;
}

bool Bus::Read(uint64_t addr, std::span<uint8_t> data) {
  uint64_t offset;
  BusDevice* const device = Find(addr, data.size(), offset);
  if (device == nullptr) {
    std::fill(data.begin(), data.end(), uint8_t{0xff});
    return false;
  }
  device->Read(offset, data);
  return true;
}

bool Bus::Write(uint64_t addr, std::span<const uint8_t> data) {
  uint64_t offset;
  BusDevice* const device = Find(addr, data.size(), offset);
  if (device == nullptr) return false;
  device->Write(offset, data);
  return true;
}

}  // namespace devices
