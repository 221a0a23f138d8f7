// A descriptor chain, validated once and held as host iovecs.
#ifndef VIRTIO_QUEUE_CHAIN_H_
#define VIRTIO_QUEUE_CHAIN_H_

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "base/endian.h"
#include "base/guest_memory.h"

namespace virtio {

// One buffer that the driver made available: readable bytes first, then writable bytes, each as a
// list of iovecs that lie in guest RAM. A Chain is a base class or a member of the device's
// request, at a fixed address. Its storage for iovecs is set once. Message framing has no meaning:
// devices see two byte streams. All calls are on the queue's loop. [VIRTIO 1.2 §2.7.4, §2.7.5]
class Chain {
 public:
  Chain() = default;
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  // Sets the storage for the chain's iovecs. Its size bounds the number of descriptors of a chain.
  void SetStorage(std::span<iovec> storage) { storage_ = storage; }

  uint16_t head() const { return head_; }
  // The number of descriptors that the driver used, including empty ones.
  uint32_t descriptors() const { return descriptors_; }
  uint32_t readable_bytes() const { return readable_bytes_; }
  uint32_t writable_bytes() const { return writable_bytes_; }
  // Returns whether all readable bytes lie in RAM. Those in a window are for the kernel only.
  bool in_ram() const { return only_ram_; }

  // Copies out the first bytes of the readable stream and removes them. Returns false and changes
  // nothing if the stream is too short or the bytes do not all lie in RAM. A device has no other
  // way to look at a request: it fetches once and uses the copy.
  bool PopReadable(std::span<uint8_t> to);
  template <base::WireType T>
  bool Pop(T& value) {
    return PopReadable(base::WritableBytesOf(value));
  }
  // Copies into the first bytes of the writable stream and removes them. Returns their number.
  size_t PushWritable(base::GuestMemory& memory, std::span<const uint8_t> from);
  template <base::WireType T>
  size_t Push(base::GuestMemory& memory, const T& value) {
    return PushWritable(memory, base::BytesOf(value));
  }
  // Removes the last writable byte and remembers its address for StoreStatus. Returns false if
  // there is no writable byte.
  bool SplitStatusByte();
  // Writes the byte that SplitStatusByte removed; does nothing if there was none.
  void StoreStatus(base::GuestMemory& memory, uint8_t status);

  // What is left of either stream, for the kernel to read from or write to. Never parse data
  // through it.
  std::span<iovec> readable() { return readable_; }
  std::span<iovec> writable() { return writable_; }

  // The number of writable bytes that the driver provided: the upper bound of a used length.
  uint32_t original_writable_bytes() const { return original_writable_bytes_; }

 private:
  friend class SplitQueue;

  // Empties the chain and begins a chain with `head`.
  void Reset(uint16_t head);
  // Adds bytes at the end. All readable bytes must come before the writable ones. Returns false if
  // the storage is full. Readable bytes from the first byte in a window on are for the kernel only:
  // PopReadable refuses them.
  bool Append(const iovec& iov, bool writable, bool in_window = false) {
    const size_t count = readable_.size() + writable_.size();
    if (count >= storage_.size()) return false;
    storage_[count] = iov;
    const auto bytes = static_cast<uint32_t>(iov.iov_len);
    if (writable) {
      writable_ = storage_.subspan(readable_.size(), writable_.size() + 1);
      writable_bytes_ += bytes;
      original_writable_bytes_ += bytes;
    } else {
      readable_ = storage_.first(count + 1);
      readable_bytes_ += bytes;
      only_ram_ &= !in_window;
      if (only_ram_) ram_bytes_ += bytes;
    }
    return true;
  }

  std::span<iovec> storage_;
  std::span<iovec> readable_;
  std::span<iovec> writable_;
  uint32_t readable_bytes_ = 0;
  uint32_t ram_bytes_ = 0;  // readable bytes before the first byte in a window
  uint32_t writable_bytes_ = 0;
  uint32_t original_writable_bytes_ = 0;
  uint32_t descriptors_ = 0;
  uint8_t* status_byte_ = nullptr;
  uint16_t head_ = 0;
  bool only_ram_ = true;       // no readable byte so far lies in a window
  bool has_writable_ = false;  // the chain has a writable descriptor, perhaps an empty one
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_CHAIN_H_
