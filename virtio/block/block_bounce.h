// Aligned buffers for direct I/O whose guest buffers or image offsets are not aligned.
#ifndef VIRTIO_BLOCK_BLOCK_BOUNCE_H_
#define VIRTIO_BLOCK_BLOCK_BOUNCE_H_

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

namespace virtio {

// A few page-aligned buffers in one mapping. A page becomes resident when it is first used. One
// thread.
class BouncePool {
 public:
  static constexpr uint32_t kBuffers = 4;
  static constexpr size_t kBufferBytes = 128 << 10;

  // Errors: ResourceExhausted.
  static absl::StatusOr<BouncePool> Create();
  BouncePool(BouncePool&& other) noexcept;
  BouncePool& operator=(BouncePool&&) = delete;
  ~BouncePool();

  bool has_free() const;
  // Returns a buffer of kBufferBytes, or an empty span if all are taken.
  std::span<uint8_t> Acquire();
  void Release(std::span<uint8_t> buffer);

 private:
  explicit BouncePool(uint8_t* base) : base_(base) {}

  uint8_t* base_;
  bool taken_[kBuffers] = {};
};

}  // namespace virtio

#endif  // VIRTIO_BLOCK_BLOCK_BOUNCE_H_
