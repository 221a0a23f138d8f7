// The requests of one queue that have met a lease of another process and are executed again later.
#ifndef VIRTIO_SHARE_LEASED_REQUESTS_H_
#define VIRTIO_SHARE_LEASED_REQUESTS_H_

#include <algorithm>
#include <cstdint>
#include <memory>

#include "base/event_loop.h"
#include "virtio/host_tree/lease_wait.h"

namespace virtio {

// What a request keeps from the first lease that it meets until the request ends.
template <typename Command>
struct LeasedRequest {
  explicit LeasedRequest(const Command& from) : command(from) {}

  const Command command;
  LeaseWait wait;
  bool resting = false;  // until the command is executed again
};

// Decides which requests may wait, and for how long. A `Request` is a base::Operation with a member
// `std::unique_ptr<LeasedRequest<Command>> leased`. While a request rests, the loop runs a timer
// for it. After a pause, the timer can have ended although the request still rests. The loop's
// thread.
template <typename Request, typename Command>
class LeasedRequests {
 public:
  // `queue_requests` is how many requests the queue can have in flight. At least half of them never
  // wait.
  LeasedRequests(base::EventLoop& loop, uint32_t queue_requests)
      : loop_(loop), max_leased_(std::min(kMaxLeased, queue_requests / 2)) {}

  // Returns true if the request rests now. The loop then calls its OnComplete when the command is
  // to be executed again. Returns false if the other process has had its time, or if too many
  // requests wait.
  bool Rest(Request& request, const Command& command) {
    if (request.leased == nullptr) {
      if (leased_ >= max_leased_) return false;
      ++leased_;
      request.leased = std::make_unique<LeasedRequest<Command>>(command);
    }
    const auto delay = request.leased->wait.Next(loop_.Now());
    if (!delay.has_value()) return false;
    request.leased->resting = true;
    ++resting_;
    loop_.Timeout(request, *delay);
    return true;
  }
  void EndRest(Request& request) {
    request.leased->resting = false;
    --resting_;
  }
  // Ends a request, whether or not it has met a lease.
  void Remove(Request& request) {
    if (request.leased == nullptr) return;
    request.leased.reset();
    --leased_;
  }

  static bool IsResting(const Request& request) {
    return request.leased != nullptr && request.leased->resting;
  }
  // Returns true if the request rests and its timer has ended during a pause.
  static bool IsOverdue(const Request& request) { return IsResting(request) && !request.pending(); }
  uint32_t resting() const { return resting_; }

 private:
  // Each of them keeps a copy of its command.
  static constexpr uint32_t kMaxLeased = 64;

  base::EventLoop& loop_;
  const uint32_t max_leased_;
  uint32_t leased_ = 0;   // requests that have met a lease
  uint32_t resting_ = 0;  // the requests among them that rest
};

}  // namespace virtio

#endif  // VIRTIO_SHARE_LEASED_REQUESTS_H_
