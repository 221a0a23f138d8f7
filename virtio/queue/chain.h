// A descriptor chain, validated once and held as host iovecs.
#ifndef VIRTIO_QUEUE_CHAIN_H_
#define VIRTIO_QUEUE_CHAIN_H_

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "base/endian.h"
#include "base/guest_memory.h"

namespace virtio {

// One buffer the driver made available: readable bytes first, then writable ones, each a list of
// iovecs that lie in guest RAM. Lives in the device's request (base class or member) at a fixed
// address; storage for the iovecs is given once. Message framing is of no meaning: devices see two
// byte streams. Loop thread of the queue. [VIRTIO 1.2 §2.7.4, §2.7.5]
class Chain {
 public:
  Chain() = default;
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  // Gives the chain its iovec storage; its size bounds the descriptors of a chain.
  void SetStorage(std::span<iovec> storage) { storage_ = storage; }

  uint16_t head() const { return head_; }
  // As the driver gave them, empty ones too.
  uint32_t descriptors() const { return descriptors_; }
  uint32_t readable_bytes() const { return readable_bytes_; }
  uint32_t writable_bytes() const { return writable_bytes_; }

  // Copies out the first bytes of the readable stream and removes them. False, and nothing changed,
  // if it is shorter or does not lie in RAM. The only way to look at a request: fetch once, use the
  // copy.
  bool PopReadable(std::span<uint8_t> to);
  template <base::WireType T>
  bool Pop(T& value) {
    return PopReadable(base::WritableBytesOf(value));
  }
  // Copies into the first bytes of the writable stream and removes them. Returns the bytes copied.
  size_t PushWritable(base::GuestMemory& memory, std::span<const uint8_t> from);
  template <base::WireType T>
  size_t Push(base::GuestMemory& memory, const T& value) {
    return PushWritable(memory, base::BytesOf(value));
  }
  // Removes the last writable byte and remembers where it is, for StoreStatus. False if there is
  // none.
  bool SplitStatusByte();
  // Writes the byte that SplitStatusByte removed; no-op if there was none.
  void StoreStatus(base::GuestMemory& memory, uint8_t status);

  // What is left of either stream, for the kernel to read from or write to. Never parse through it.
  std::span<iovec> readable() { return readable_; }
  std::span<iovec> writable() { return writable_; }

  // Total writable bytes as the driver gave them: the bound of a used length.
  uint32_t original_writable_bytes() const { return original_writable_bytes_; }

 private:
  friend class SplitQueue;

  // Empties the chain and begins one with `head`.
  void Reset(uint16_t head);
  // Adds bytes at the end: readable ones all before writable ones. False if the storage is full.
  // After readable bytes in a window only the kernel may look at what follows.
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
  uint32_t ram_bytes_ = 0;  // of the readable ones, up to the first in a window
  uint32_t writable_bytes_ = 0;
  uint32_t original_writable_bytes_ = 0;
  uint32_t descriptors_ = 0;
  uint8_t* status_byte_ = nullptr;
  uint16_t head_ = 0;
  bool only_ram_ = true;       // no readable byte is in a window so far
  bool has_writable_ = false;  // a writable descriptor was seen, be it empty
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_CHAIN_H_
