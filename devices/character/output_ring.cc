#include "devices/character/output_ring.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace devices {

// The bytes are not cleared, so pages that are never used are never touched.
OutputRing::OutputRing() : bytes_(new uint8_t[kCapacityBytes]) {}

void OutputRing::Append(std::span<const uint8_t> bytes) {
  if (bytes.size() > kCapacityBytes) {
    Clear();
    CountDropped(bytes.size() - kCapacityBytes);
    bytes = bytes.last(kCapacityBytes);
  }
  if (bytes.size() > kCapacityBytes - size_) DropOldest(bytes.size() - (kCapacityBytes - size_));
  const size_t tail = (head_ + size_) % kCapacityBytes;
  const size_t first = std::min(bytes.size(), kCapacityBytes - tail);
  std::copy_n(bytes.begin(), first, &bytes_[tail]);
  std::copy(bytes.begin() + static_cast<ptrdiff_t>(first), bytes.end(), &bytes_[0]);
  size_ += bytes.size();
}

size_t OutputRing::Take(std::span<uint8_t> to) {
  DCHECK(to.size() >= kMinTakeBytes);
  size_t taken = 0;
  if (unmarked_bytes_ != 0) {
    const int length = std::snprintf(
        reinterpret_cast<char*>(to.data()), to.size(), "\r\n[vmm: %llu bytes dropped]\r\n",
        static_cast<unsigned long long>(unmarked_bytes_));  // NOLINT: for printf
    taken = static_cast<size_t>(length);
    unmarked_bytes_ = 0;
  }
  const size_t bytes = std::min(to.size() - taken, size_);
  const size_t first = std::min(bytes, kCapacityBytes - head_);
  std::copy_n(&bytes_[head_], first, to.begin() + static_cast<ptrdiff_t>(taken));
  std::copy_n(&bytes_[0], bytes - first, to.begin() + static_cast<ptrdiff_t>(taken + first));
  size_ -= bytes;
  // Starting over whenever the ring is empty keeps the touched part of the ring small.
  head_ = size_ == 0 ? 0 : (head_ + bytes) % kCapacityBytes;
  return taken + bytes;
}

void OutputRing::CountDropped(uint64_t bytes) {
  dropped_bytes_ += bytes;
  unmarked_bytes_ += bytes;
}

void OutputRing::Clear() { DropOldest(size_); }

void OutputRing::DropOldest(size_t bytes) {
  head_ = (head_ + bytes) % kCapacityBytes;
  size_ -= bytes;
  CountDropped(bytes);
}

}  // namespace devices
