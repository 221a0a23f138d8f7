// Where the bytes of a file go in a guest's buffers.
#ifndef VIRTIO_QUEUE_READ_TARGET_H_
#define VIRTIO_QUEUE_READ_TARGET_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/guest_memory.h"
#include "virtio/queue/iovecs.h"

namespace virtio {

// A part of a chain's writable buffers, behind the header of an answer, which is used up as data
// arrive. Message framing means nothing: the header may end anywhere. [VIRTIO 1.2 §2.7.4]
class ReadTarget {
 public:
  // Takes the `bytes` behind the first `header_bytes` of `buffers`, which must have as many.
  // Changes the iovecs; those of the header are whole again after End.
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

  // What is to be filled yet, in order.
  std::span<const iovec> left() const { return left_; }

  // The first `bytes` of what was left have been filled.
  void Consume(base::GuestMemory& memory, size_t bytes) {
    ConsumeFront(left_, bytes, [&memory](const iovec& filled) { memory.MarkWritten(filled); });
  }

  void End() {
    if (divided_ != nullptr) *divided_ = whole_;
  }

 private:
  std::span<iovec> left_;
  // The buffer in which the header ends and the data begin, as the driver gave it.
  iovec* divided_ = nullptr;
  iovec whole_ = {};
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_READ_TARGET_H_
