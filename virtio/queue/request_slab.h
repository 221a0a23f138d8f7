// A fixed number of requests, each with the iovec storage of its chain, in one lazily touched
// mapping.
#ifndef VIRTIO_QUEUE_REQUEST_SLAB_H_
#define VIRTIO_QUEUE_REQUEST_SLAB_H_

#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <new>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "base/lazy_memory.h"
#include "base/log.h"
#include "base/status.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/split_queue.h"

namespace virtio {

// Requests of one queue at fixed addresses. Nothing is allocated per request. A request is
// constructed when it is first needed and then reused; the one released last is reused first. Thus
// memory is resident only for the largest number of requests that were in flight at once, and for
// the longest chain that each has held.
//
// `Request` is derived from Chain. Use it on one thread.
template <typename Request>
requires std::derived_from<Request, Chain>
class RequestSlab {
 public:
  // Reserves requests for a queue of up to `queue_size` entries: one per entry, but at most
  // `max_requests` (1 or more) and at most kMaxChainSegments. Each request has storage for as many
  // iovecs as a chain of the queue can have. Errors: ResourceExhausted.
  static absl::StatusOr<RequestSlab> Create(uint16_t queue_size,
                                            uint32_t max_requests = kMaxChainSegments) {
    const uint32_t segments = std::min<uint32_t>(queue_size, kMaxChainSegments);
    const uint32_t count = std::min(segments, max_requests);
    const size_t bytes = count * (sizeof(Slot) + segments * sizeof(iovec));
    void* const start = base::MapLazily(bytes);
    if (start == nullptr) return base::ErrnoStatus(errno, "cannot reserve memory for requests");
    return RequestSlab(static_cast<uint8_t*>(start), bytes, count, segments);
  }
  RequestSlab(RequestSlab&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)),
        bytes_(other.bytes_),
        capacity_(other.capacity_),
        segments_(other.segments_),
        made_(std::exchange(other.made_, 0)),
        in_use_(other.in_use_),
        free_(std::exchange(other.free_, nullptr)) {}
  RequestSlab& operator=(RequestSlab&&) = delete;
  // No request may be in use.
  ~RequestSlab() {
    if (base_ == nullptr) return;
    CHECK(in_use_ == 0);
    for (uint32_t i = 0; i < made_; ++i) at(i).~Slot();
    munmap(base_, bytes_);
  }

  // Returns a request that is not in use, or nullptr if all are in use. Constructs it by
  // Request(args...) if none can be reused.
  template <typename... Args>
  Request* Acquire(Args&&... args) {
    if (free_ == nullptr) {
      if (made_ == capacity_) return nullptr;
      Slot* slot = new (base_ + made_ * sizeof(Slot)) Slot(std::forward<Args>(args)...);
      slot->SetStorage(std::span(storage() + size_t{made_} * segments_, segments_));
      ++made_;
      slot->next_free = std::exchange(free_, slot);
    }
    Slot* slot = std::exchange(free_, free_->next_free);
    slot->in_use = true;
    ++in_use_;
    return slot;
  }

  void Release(Request& request) {
    Slot& slot = static_cast<Slot&>(request);
    DCHECK(slot.in_use);
    slot.in_use = false;
    --in_use_;
    slot.next_free = std::exchange(free_, &slot);
  }

  uint32_t capacity() const { return capacity_; }
  uint32_t in_use() const { return in_use_; }

  // Calls `function` for every request that is in use.
  void ForEachInUse(const std::function<void(Request&)>& function) {
    for (uint32_t i = 0; i < made_; ++i) {
      if (at(i).in_use) function(at(i));
    }
  }

 private:
  struct Slot final : Request {
    using Request::Request;
    Slot* next_free = nullptr;
    bool in_use = false;
  };

  RequestSlab(uint8_t* base, size_t bytes, uint32_t capacity, uint32_t segments)
      : base_(base), bytes_(bytes), capacity_(capacity), segments_(segments) {}
  Slot& at(uint32_t i) { return *std::launder(reinterpret_cast<Slot*>(base_ + i * sizeof(Slot))); }
  iovec* storage() { return reinterpret_cast<iovec*>(base_ + capacity_ * sizeof(Slot)); }

  uint8_t* base_;
  size_t bytes_;
  uint32_t capacity_;
  uint32_t segments_;  // iovecs of each request
  uint32_t made_ = 0;  // the first `made_` slots hold a constructed request
  uint32_t in_use_ = 0;
  Slot* free_ = nullptr;
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_REQUEST_SLAB_H_
