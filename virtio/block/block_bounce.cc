#include "virtio/block/block_bounce.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/lazy_memory.h"
#include "base/log.h"
#include "base/status.h"

namespace virtio {

absl::StatusOr<BouncePool> BouncePool::Create() {
  void* const start = base::MapLazily(kBuffers * kBufferBytes);
  if (start == nullptr) return base::ErrnoStatus(errno, "cannot reserve memory for direct I/O");
  return BouncePool(static_cast<uint8_t*>(start));
}

BouncePool::BouncePool(BouncePool&& other) noexcept : base_(std::exchange(other.base_, nullptr)) {}

BouncePool::~BouncePool() {
  if (base_ != nullptr) munmap(base_, kBuffers * kBufferBytes);
}

bool BouncePool::has_free() const { return !std::ranges::all_of(taken_, std::identity()); }

std::span<uint8_t> BouncePool::Acquire() {
  for (uint32_t i = 0; i < kBuffers; ++i) {
    if (!std::exchange(taken_[i], true)) return {base_ + i * kBufferBytes, kBufferBytes};
  }
  return {};
}

void BouncePool::Release(std::span<uint8_t> buffer) {
  const size_t index = static_cast<size_t>(buffer.data() - base_) / kBufferBytes;
  DCHECK(index < kBuffers && taken_[index]);
  taken_[index] = false;
}

}  // namespace virtio
