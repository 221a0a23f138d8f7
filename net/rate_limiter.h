// Limits what devices read and write: bytes, operations, or both.
#ifndef NET_RATE_LIMITER_H_
#define NET_RATE_LIMITER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/event_loop.h"
#include "base/mutex.h"
#include "net/token_bucket.h"

namespace net {

// A limit that queues share, on whatever loops they are. A queue takes tokens with a
// RateReservation. Any thread.
class RateLimiter {
 public:
  struct Limits {
    std::optional<TokenBucket::Limit> bandwidth;  // tokens are bytes
    std::optional<TokenBucket::Limit> ops;        // tokens are frames or requests
    bool operator==(const Limits&) const = default;
  };
  // How long a queue pauses at least if it has to wait: short waits would cost a wake-up per frame.
  static constexpr std::chrono::milliseconds kShortestPause{1};

  explicit RateLimiter(const Limits& limits = {});

  // Returns false if there is no limit. Takes no lock.
  bool limited() const { return limited_.load(std::memory_order_relaxed); }
  // Sets other limits. A debt stays, unless its limit is removed.
  void Change(const Limits& limits, std::chrono::nanoseconds now);

 private:
  friend class RateReservation;

  // Takes what an operation of `bytes` bytes costs, and returns how long the operation has to wait.
  // Those that come later wait longer, so each has its turn.
  std::chrono::nanoseconds Take(uint64_t bytes, std::chrono::nanoseconds now);
  // Takes more bytes, for an operation that was longer than known.
  void TakeMore(uint64_t bytes);
  // Puts back what an operation has taken that does not happen.
  void Return(uint64_t bytes);

  std::atomic<bool> limited_;
  base::Mutex mutex_;
  std::optional<TokenBucket> bandwidth_ ABSL_GUARDED_BY(mutex_);
  std::optional<TokenBucket> ops_ ABSL_GUARDED_BY(mutex_);
};

// What a queue has taken for the operation that it is about to begin. Used on the queue's loop.
class RateReservation {
 public:
  // `limiter` outlives the reservation.
  explicit RateReservation(RateLimiter& limiter) : limiter_(limiter) {}
  RateReservation(const RateReservation&) = delete;
  RateReservation& operator=(const RateReservation&) = delete;

  // Takes what an operation of `bytes` bytes costs, and returns how long the operation has to wait.
  // Returns 0 if there is no limit, without a look at the clock, and if the reservation is held
  // already: its owner has waited.
  std::chrono::nanoseconds Take(uint64_t bytes, const base::EventLoop& loop);
  bool held() const { return held_; }
  // The operation has happened. `bytes` is its length if that was not known before: a length below
  // what was taken takes nothing more.
  void Use(uint64_t bytes);
  // The operation does not happen: puts back what was taken. No effect if nothing is held.
  void Cancel();

 private:
  RateLimiter& limiter_;
  bool held_ = false;
  uint64_t bytes_ = 0;
};

}  // namespace net

#endif  // NET_RATE_LIMITER_H_
