// Where in a guest's buffers the bytes of a file go.
#ifndef VIRTIO_QUEUE_READ_TARGET_H_
#define VIRTIO_QUEUE_READ_TARGET_H_

#include <sys/uio.h>

#include <cstddef>
#include <span>

#include "base/guest_memory.h"
#include "virtio/queue/iovecs.h"

namespace virtio {

// The part of a chain's writable buffers behind the header of an answer. It is consumed as data
// arrive. Message framing has no meaning: the header may end inside any buffer. [VIRTIO 1.2 §2.7.4]
class ReadTarget {
 public:
  // Takes the `bytes` bytes behind the first `header_bytes` of `buffers`, which must be long
  // enough. Changes the iovecs; End restores those that the header needs.
  void Begin(std::span<iovec> buffers, size_t header_bytes, size_t bytes) {
    left_ = buffers;
    size_t skip = header_bytes;
    while (skip > 0 && skip >= left_.front().iov_len) {
      skip -= left_.front().iov_len;
      left_ = left_.subspan(1);
    }
    divided_ = nullptr;
    if (skip > 0) {
      divided_ = &left_.front();
      whole_ = *divided_;
      ConsumeFront(left_, skip);
    }
    KeepFront(left_, bytes);
  }

  // The buffers that are not filled yet, in order.
  std::span<const iovec> left() const { return left_; }

  // Records that the first `bytes` bytes of left() have been filled.
  void Consume(base::GuestMemory& memory, size_t bytes) {
    ConsumeFront(left_, bytes, [&memory](const iovec& filled) { memory.MarkWritten(filled); });
  }

  void End() {
    if (divided_ != nullptr) *divided_ = whole_;
  }

 private:
  std::span<iovec> left_;
  // The buffer in which the header ends and the data begin, and its original value.
  iovec* divided_ = nullptr;
  iovec whole_ = {};
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_READ_TARGET_H_
