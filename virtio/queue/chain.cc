#include "virtio/queue/chain.h"

#include <algorithm>

#include "virtio/queue/iovecs.h"

namespace virtio {

void Chain::Reset(uint16_t head) {
  readable_ = writable_ = {};
  readable_bytes_ = ram_bytes_ = writable_bytes_ = original_writable_bytes_ = 0;
  only_ram_ = true;
  status_byte_ = nullptr;
  descriptors_ = 0;
  head_ = head;
  has_writable_ = false;
}

bool Chain::PopReadable(std::span<uint8_t> to) {
  if (to.size() > ram_bytes_) return false;
  readable_bytes_ -= static_cast<uint32_t>(to.size());
  ram_bytes_ -= static_cast<uint32_t>(to.size());
  ConsumeFront(readable_, to.size(), [&to](const iovec& piece) {
    base::CopyFromGuest(to.data(), piece.iov_base, piece.iov_len);
    to = to.subspan(piece.iov_len);
  });
  return true;
}

size_t Chain::PushWritable(base::GuestMemory& memory, std::span<const uint8_t> from) {
  const size_t total = std::min<size_t>(from.size(), writable_bytes_);
  writable_bytes_ -= static_cast<uint32_t>(total);
  ConsumeFront(writable_, total, [&](const iovec& piece) {
    base::CopyToGuest(piece.iov_base, from.data(), piece.iov_len);
    memory.MarkWritten(piece);
    from = from.subspan(piece.iov_len);
  });
  return total;
}

bool Chain::SplitStatusByte() {
  if (writable_bytes_ == 0) return false;
  iovec& last = writable_.back();
  --last.iov_len;
  --writable_bytes_;
  status_byte_ = static_cast<uint8_t*>(last.iov_base) + last.iov_len;
  if (last.iov_len == 0) writable_ = writable_.first(writable_.size() - 1);
  return true;
}

void Chain::StoreStatus(base::GuestMemory& memory, uint8_t status) {
  if (status_byte_ == nullptr) return;
  base::CopyToGuest(status_byte_, &status, 1);
  memory.MarkWritten({status_byte_, 1});
}

}  // namespace virtio
