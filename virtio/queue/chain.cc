#include "virtio/queue/chain.h"

#include <algorithm>

namespace virtio {
namespace {

// Drops the first `bytes` of `iov`.
void Advance(iovec& iov, size_t bytes) {
  iov.iov_base = static_cast<uint8_t*>(iov.iov_base) + bytes;
  iov.iov_len -= bytes;
}

}  // namespace

void Chain::Reset(uint16_t head) {
  first_readable_ = readable_count_ = 0;
  first_writable_ = writable_count_ = 0;
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
  while (!to.empty()) {
    iovec& iov = storage_[first_readable_];
    const size_t bytes = std::min(to.size(), iov.iov_len);
    base::CopyFromGuest(to.data(), iov.iov_base, bytes);
    to = to.subspan(bytes);
    Advance(iov, bytes);
    if (iov.iov_len == 0) {
      ++first_readable_;
      --readable_count_;
    }
  }
  return true;
}

size_t Chain::PushWritable(base::GuestMemory& memory, std::span<const uint8_t> from) {
  const size_t total = std::min<size_t>(from.size(), writable_bytes_);
  from = from.first(total);
  writable_bytes_ -= static_cast<uint32_t>(total);
  while (!from.empty()) {
    iovec& iov = storage_[first_writable_];
    const size_t bytes = std::min(from.size(), iov.iov_len);
    base::CopyToGuest(iov.iov_base, from.data(), bytes);
    memory.MarkWritten({iov.iov_base, bytes});
    from = from.subspan(bytes);
    Advance(iov, bytes);
    if (iov.iov_len == 0) {
      ++first_writable_;
      --writable_count_;
    }
  }
  return total;
}

bool Chain::SplitStatusByte() {
  if (writable_bytes_ == 0) return false;
  iovec& last = storage_[first_writable_ + writable_count_ - 1];
  --last.iov_len;
  --writable_bytes_;
  status_byte_ = static_cast<uint8_t*>(last.iov_base) + last.iov_len;
  if (last.iov_len == 0) --writable_count_;
  return true;
}

void Chain::StoreStatus(base::GuestMemory& memory, uint8_t status) {
  if (status_byte_ == nullptr) return;
  base::CopyToGuest(status_byte_, &status, 1);
  memory.MarkWritten({status_byte_, 1});
}

}  // namespace virtio
