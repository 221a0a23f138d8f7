// Where the bytes that go to a file are in a guest's buffers.
#ifndef VIRTIO_HOST_TREE_WRITE_SOURCE_H_
#define VIRTIO_HOST_TREE_WRITE_SOURCE_H_

#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace virtio {

// A chain's readable buffers behind the header of a request, used up as they are written.
class WriteSource {
 public:
  // Takes the first `bytes` of `buffers`, which must have as many. Changes the iovecs.
  void Begin(std::span<iovec> buffers, size_t bytes) {
    left_ = buffers;
    size_t count = 0;
    for (size_t end = 0; end < bytes; ++count) {
      iovec& iov = left_[count];
      iov.iov_len = std::min(iov.iov_len, bytes - end);
      end += iov.iov_len;
    }
    left_ = left_.first(count);
  }

  bool empty() const { return left_.empty(); }
  // What is to be written next, in order: as many buffers as the host takes at a time.
  std::span<const iovec> next() const {
    return left_.first(std::min<size_t>(left_.size(), IOV_MAX));
  }

  // The first `bytes` of what was left have been written.
  void Consume(size_t bytes) {
    while (!left_.empty()) {
      iovec& iov = left_.front();
      const size_t written = std::min(bytes, iov.iov_len);
      iov.iov_base = static_cast<uint8_t*>(iov.iov_base) + written;
      iov.iov_len -= written;
      bytes -= written;
      if (iov.iov_len > 0) return;
      left_ = left_.subspan(1);
    }
  }

 private:
  std::span<iovec> left_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_WRITE_SOURCE_H_
