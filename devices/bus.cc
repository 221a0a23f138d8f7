#include "devices/bus.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"

namespace devices {
namespace {

// Accesses of this thread that are under way, on whichever bus.
thread_local unsigned t_accesses = 0;

}  // namespace

// One access of the guest: finds its device, and keeps the device from being destroyed meanwhile.
class Bus::Access {
 public:
  Access(Bus& bus, uint64_t addr, uint64_t size) : bus_(bus) {
    base::MutexLock lock(bus_.mutex_);
    device_ = bus_.Find(addr, size, offset_);
    group_ = bus_.group_;
    ++bus_.begun_[group_];
    ++t_accesses;
  }
  ~Access() {
    --t_accesses;
    // ORDERING: pairs with WaitForAccesses. All that the device did comes before the addition that
    // the waiter reads. Of the waiter's store to waiting_ and this addition one is first: either
    // the waiter sees the addition, or the waiter is seen here.
    bus_.ended_[group_].fetch_add(1, std::memory_order_seq_cst);
    if (!bus_.waiting_.load(std::memory_order_seq_cst)) return;
    base::MutexLock lock(bus_.mutex_);
    bus_.access_ended_.NotifyAll();
  }
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;

  BusDevice* device() { return device_; }  // null if no device is there
  uint64_t offset() const { return offset_; }

 private:
  Bus& bus_;
  BusDevice* device_ = nullptr;
  uint64_t offset_ = 0;
  unsigned group_ = 0;
};

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

void Bus::WaitForAccesses() {
  CHECK(!InAccess());  // this thread would wait for itself
  base::MutexLock lock(mutex_);
  while (waiting_.load(std::memory_order_relaxed)) access_ended_.Wait(mutex_);
  // ORDERING: pairs with ~Access.
  waiting_.store(true, std::memory_order_seq_cst);
  const unsigned group = group_;
  group_ = 1 - group;
  while (ended_[group].load(std::memory_order_seq_cst) != begun_[group]) {
    access_ended_.Wait(mutex_);
  }
  waiting_.store(false, std::memory_order_relaxed);
  access_ended_.NotifyAll();  // another waiter may begin
}

bool Bus::InAccess() { return t_accesses != 0; }

BusDevice* Bus::Find(uint64_t addr, uint64_t size, uint64_t& offset) {
  auto range = std::upper_bound(ranges_.begin(), ranges_.end(), addr,
                                [](uint64_t a, const Range& r) { return a < r.start; });
  if (range == ranges_.begin()) return nullptr;
  --range;
  offset = addr - range->start;
  if (offset >= range->size || size > range->size - offset) return nullptr;
  return range->device;
}

bool Bus::Read(uint64_t addr, std::span<uint8_t> data) {
  Access access(*this, addr, data.size());
  if (access.device() == nullptr) {
    std::fill(data.begin(), data.end(), uint8_t{0xff});
    return false;
  }
  access.device()->Read(access.offset(), data);
  return true;
}

bool Bus::Write(uint64_t addr, std::span<const uint8_t> data) {
  Access access(*this, addr, data.size());
  if (access.device() == nullptr) return false;
  access.device()->Write(access.offset(), data);
  return true;
}

}  // namespace devices
