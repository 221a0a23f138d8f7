#include "net/rate_limiter.h"

#include <algorithm>

namespace net {
namespace {

using std::chrono::nanoseconds;

void Change(std::optional<TokenBucket>& bucket, const std::optional<TokenBucket::Limit>& limit,
            nanoseconds now) {
  if (!limit.has_value()) {
    bucket.reset();
  } else if (bucket.has_value()) {
    bucket->Change(*limit, now);
  } else {
    bucket.emplace(*limit);
  }
}

nanoseconds TakeFrom(std::optional<TokenBucket>& bucket, uint64_t tokens, nanoseconds now) {
  if (!bucket.has_value()) return nanoseconds::zero();
  const nanoseconds wait = bucket->TimeUntil(tokens, now);
  bucket->Take(tokens);
  if (wait == nanoseconds::zero()) return wait;
  // A bucket that gets full during the pause would lose tokens, and the rate would be too low.
  const nanoseconds pause =
      std::min<nanoseconds>(RateLimiter::kShortestPause, bucket->TimeUntilFull(now) / 2);
  return std::max(wait, pause);
}

}  // namespace

RateLimiter::RateLimiter(const Limits& limits)
    : limited_(limits.bandwidth.has_value() || limits.ops.has_value()) {
  if (limits.bandwidth.has_value()) bandwidth_.emplace(*limits.bandwidth);
  if (limits.ops.has_value()) ops_.emplace(*limits.ops);
}

void RateLimiter::Change(const Limits& limits, nanoseconds now) {
  base::MutexLock lock(mutex_);
  net::Change(bandwidth_, limits.bandwidth, now);
  net::Change(ops_, limits.ops, now);
  limited_.store(bandwidth_.has_value() || ops_.has_value(), std::memory_order_relaxed);
}

nanoseconds RateLimiter::Take(uint64_t bytes, nanoseconds now) {
  base::MutexLock lock(mutex_);
  return std::max(TakeFrom(bandwidth_, bytes, now), TakeFrom(ops_, 1, now));
}

void RateLimiter::TakeMore(uint64_t bytes) {
  base::MutexLock lock(mutex_);
  if (bandwidth_.has_value()) bandwidth_->Take(bytes);
}

void RateLimiter::Return(uint64_t bytes) {
  base::MutexLock lock(mutex_);
  if (bandwidth_.has_value()) bandwidth_->Return(bytes);
  if (ops_.has_value()) ops_->Return(1);
}

nanoseconds RateReservation::Take(uint64_t bytes, const base::EventLoop& loop) {
  if (held_ || !limiter_.limited()) return nanoseconds::zero();
  held_ = true;
  bytes_ = bytes;
  return limiter_.Take(bytes, loop.Now());
}

void RateReservation::Use(uint64_t bytes) {
  if (held_ && bytes > bytes_) limiter_.TakeMore(bytes - bytes_);
  held_ = false;
}

void RateReservation::Cancel() {
  if (held_) limiter_.Return(bytes_);
  held_ = false;
}

}  // namespace net
