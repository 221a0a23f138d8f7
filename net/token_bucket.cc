#include "net/token_bucket.h"

#include <algorithm>

#include "base/log.h"

namespace net {

TokenBucket::TokenBucket(const Limit& limit)
    : limit_(limit), balance_(absl::int128(limit.size) + limit.one_time_burst) {
  CHECK(limit.size > 0 && limit.refill_time_ms > 0);
}

void TokenBucket::Refill(std::chrono::nanoseconds now) {
  if (now <= refilled_) return;
  const auto elapsed = static_cast<uint64_t>((now - refilled_).count());
  refilled_ = now;
  if (balance_ >= limit_.size) {
    fraction_ = 0;
    return;
  }
  // No overflow: elapsed < 2^63, size < 2^64, fraction_ < refill_ns() < 2^84.
  const absl::uint128 gained = absl::uint128(elapsed) * limit_.size + fraction_;
  const absl::uint128 tokens = gained / refill_ns();
  if (tokens >= absl::uint128(absl::int128(limit_.size) - balance_)) {
    balance_ = limit_.size;
    fraction_ = 0;
  } else {
    balance_ += absl::int128(tokens);
    fraction_ = gained % refill_ns();
  }
}

std::chrono::nanoseconds TokenBucket::TimeUntil(uint64_t tokens, std::chrono::nanoseconds now) {
  Refill(now);
  const absl::int128 needed = std::min(tokens, limit_.size);
  if (balance_ >= needed) return std::chrono::nanoseconds::zero();
  const absl::uint128 missing(needed - balance_);
  // A product that does not fit belongs to a time of at least 2^128 / size, which is above 2^64 ns.
  if (missing > absl::Uint128Max() / refill_ns()) return kForever;
  const absl::uint128 parts = missing * refill_ns() - fraction_;
  const absl::uint128 ns = parts / limit_.size + (parts % limit_.size != 0 ? 1 : 0);
  const auto forever = static_cast<uint64_t>(kForever.count());
  return std::chrono::nanoseconds(
      static_cast<int64_t>(static_cast<uint64_t>(std::min<absl::uint128>(ns, forever))));
}

void TokenBucket::Return(uint64_t tokens) {
  balance_ = std::max(balance_, std::min<absl::int128>(balance_ + tokens, limit_.size));
}

void TokenBucket::Change(const Limit& limit, std::chrono::nanoseconds now) {
  CHECK(limit.size > 0 && limit.refill_time_ms > 0);
  Refill(now);
  limit_ = limit;
  fraction_ = 0;
  balance_ = std::min<absl::int128>(balance_, limit.size) + limit.one_time_burst;
}

}  // namespace net
