// Functions for lists of buffers that are consumed from the front. The std::span over the iovecs is
// the cursor.
#ifndef VIRTIO_QUEUE_IOVECS_H_
#define VIRTIO_QUEUE_IOVECS_H_

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace virtio {

// Shortens `left` to its first `bytes` bytes. `left` must have at least that many.
inline void KeepFront(std::span<iovec>& left, size_t bytes) {
  size_t count = 0;
  for (; bytes > 0; ++count) {
    iovec& iov = left[count];
    iov.iov_len = std::min(iov.iov_len, bytes);
    bytes -= iov.iov_len;
  }
  left = left.first(count);
}

// Drops the first `bytes` bytes of `left`, or all if `left` has fewer, and calls `use(iovec)` for
// each dropped piece, in order. Also drops buffers that are empty afterwards.
template <typename Use>
void ConsumeFront(std::span<iovec>& left, size_t bytes, Use&& use) {
  while (!left.empty()) {
    iovec& iov = left.front();
    const size_t taken = std::min(bytes, iov.iov_len);
    if (taken > 0) use(iovec{iov.iov_base, taken});
    iov.iov_base = static_cast<uint8_t*>(iov.iov_base) + taken;
    iov.iov_len -= taken;
    bytes -= taken;
    if (iov.iov_len > 0) return;
    left = left.subspan(1);
  }
}

inline void ConsumeFront(std::span<iovec>& left, size_t bytes) {
  ConsumeFront(left, bytes, [](const iovec&) {});
}

}  // namespace virtio

#endif  // VIRTIO_QUEUE_IOVECS_H_
