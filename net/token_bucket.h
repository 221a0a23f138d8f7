// A token bucket: how much may pass in the long run, and how much at once.
#ifndef NET_TOKEN_BUCKET_H_
#define NET_TOKEN_BUCKET_H_

#include <chrono>
#include <cstdint>

#include "absl/numeric/int128.h"

namespace net {

// Limits something that is counted in tokens: bytes, or operations. The bucket refills steadily,
// and a request takes its tokens out of the bucket. A request never waits for more tokens than the
// bucket can hold: a request that is larger than the bucket waits until the bucket is full, and
// leaves a debt that later requests wait for. Therefore no setting, however small, stalls.
//
// The arithmetic is exact for every limit: fractions of a token are kept. Not thread-safe.
class TokenBucket {
 public:
  // The names and meanings are cloud-hypervisor's.
  struct Limit {
    uint64_t size = 1;            // tokens that the bucket holds, at least 1
    uint64_t refill_time_ms = 1;  // in which an empty bucket becomes full, at least 1
    // Tokens that the bucket holds at first beyond `size`. They are not refilled.
    uint64_t one_time_burst = 0;
    bool operator==(const Limit&) const = default;
  };
  // The longest time that TimeUntil returns.
  static constexpr std::chrono::nanoseconds kForever = std::chrono::hours(24 * 3650);

  // The bucket is full at first.
  explicit TokenBucket(const Limit& limit);

  // Returns how long a request for `tokens` has to wait if nothing else is taken: 0 if it can have
  // them now. `now` is the time of a monotonic clock; a time before that of an earlier call counts
  // as that time.
  std::chrono::nanoseconds TimeUntil(uint64_t tokens, std::chrono::nanoseconds now);
  // Like TimeUntil, for a full bucket.
  std::chrono::nanoseconds TimeUntilFull(std::chrono::nanoseconds now) {
    return TimeUntil(limit_.size, now);
  }
  // Takes `tokens` out of the bucket, which may leave a debt.
  void Take(uint64_t tokens) { balance_ -= tokens; }
  // Puts back what Take took, since it was not used.
  void Return(uint64_t tokens);
  // Changes the limit. A debt stays. What is in the bucket stays as far as it fits; the new burst
  // is added to it.
  void Change(const Limit& limit, std::chrono::nanoseconds now);

 private:
  void Refill(std::chrono::nanoseconds now);
  absl::uint128 refill_ns() const { return absl::uint128(limit_.refill_time_ms) * 1'000'000; }

  Limit limit_;
  absl::int128 balance_;  // above `size`: the rest of the burst; below 0: a debt
  // What was gained since the last whole token, in tokens / refill_ns().
  absl::uint128 fraction_ = 0;
  std::chrono::nanoseconds refilled_{0};  // the time up to which tokens were gained
};

}  // namespace net

#endif  // NET_TOKEN_BUCKET_H_
