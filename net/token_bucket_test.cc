#include "net/token_bucket.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <ratio>

namespace net {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr nanoseconds kStart = hours(5);

// Asks for `tokens` again and again as soon as there are enough, for `duration`. `late` is how much
// later than asked the caller comes. Returns how many tokens were taken.
uint64_t TakeFor(TokenBucket& bucket, uint64_t tokens, nanoseconds duration,
                 nanoseconds late = nanoseconds(0)) {
  uint64_t taken = 0;
  for (nanoseconds now = kStart; now < kStart + duration;) {
    const nanoseconds wait = bucket.TimeUntil(tokens, now);
    if (wait > nanoseconds(0)) {
      now += wait + late;
      if (now >= kStart + duration) break;
      EXPECT_EQ(bucket.TimeUntil(tokens, now), nanoseconds(0));
    }
    bucket.Take(tokens);
    taken += tokens;
  }
  return taken;
}

TEST(TokenBucketTest, RateIsSizePerRefillTime) {
  struct Case {
    uint64_t size, refill_time_ms, tokens;
    nanoseconds duration;
  };
  for (const Case& c : {
           Case{125'000'000, 1000, 1514, seconds(30)},   // 1 Gbit/s
           Case{12'500, 100, 1514, seconds(100)},        // 1 Mbit/s
           Case{1'000, 1, 65'549, seconds(100)},         // less than a frame
           Case{1, 1, 1514, seconds(1000)},              // one byte
           Case{3, 7, 1, seconds(1000)},                 // no whole number of ns per token
           Case{7, 3, 2, seconds(100)},                  // the same
           Case{1'000'003, 999'983, 17, hours(10)},      // primes
           Case{10, 1000, 1, hours(1)},                  // 10 operations a second
           Case{1, 86'400'000, 1, hours(24 * 365)},      // one operation a day
           Case{64 << 20, 100, 1 << 20, seconds(100)},   // a disk
           Case{100, 1000, 1'000'000, hours(24 * 365)},  // a large request of a small bucket
       }) {
    TokenBucket bucket({.size = c.size, .refill_time_ms = c.refill_time_ms});
    const auto taken = static_cast<double>(TakeFor(bucket, c.tokens, c.duration));
    const double expected = static_cast<double>(c.size) *
                            (std::chrono::duration<double, std::milli>(c.duration).count() /
                             static_cast<double>(c.refill_time_ms));
    // Beyond the rate, there is what the bucket held at first, and one request.
    const auto at_once = static_cast<double>(c.size + c.tokens);
    EXPECT_GE(taken, expected - static_cast<double>(c.tokens)) << c.size << " " << c.tokens;
    EXPECT_LE(taken, expected + at_once) << c.size << " " << c.tokens;
    EXPECT_LE(at_once, 0.05 * expected) << "the case is too short to say something";
  }
}

TEST(TokenBucketTest, NothingDriftsOverManySmallSteps) {
  // A third of a token per ns: two steps of three leave a fraction.
  TokenBucket bucket({.size = 1'000'000, .refill_time_ms = 3});
  nanoseconds now = kStart;
  bucket.TimeUntil(1, now);
  bucket.Take(2'000'000);
  for (int i = 0; i < 2'999'999; ++i) bucket.TimeUntil(1, now += nanoseconds(1));
  EXPECT_EQ(bucket.TimeUntilFull(now), milliseconds(3) + nanoseconds(1));
}

TEST(TokenBucketTest, FullBucketHoldsItsSizeAndNoMore) {
  TokenBucket bucket({.size = 100, .refill_time_ms = 1000});
  EXPECT_EQ(bucket.TimeUntil(100, kStart), nanoseconds(0));
  bucket.Take(100);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), milliseconds(10));
  EXPECT_EQ(bucket.TimeUntil(100, kStart), seconds(1));
  const nanoseconds later = kStart + hours(1);
  EXPECT_EQ(bucket.TimeUntil(100, later), nanoseconds(0));
  bucket.Take(100);
  EXPECT_EQ(bucket.TimeUntil(1, later), milliseconds(10));
}

TEST(TokenBucketTest, BurstIsSpentOnce) {
  TokenBucket bucket({.size = 100, .refill_time_ms = 1000, .one_time_burst = 50});
  // The burst goes first: the bucket has nothing to refill until the burst is spent.
  bucket.Take(50);
  EXPECT_EQ(bucket.TimeUntil(100, kStart), nanoseconds(0));
  bucket.Take(100);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), milliseconds(10));
  EXPECT_EQ(bucket.TimeUntilFull(kStart), seconds(1));
  const nanoseconds later = kStart + hours(1);
  EXPECT_EQ(bucket.TimeUntilFull(later), nanoseconds(0));
  bucket.Take(100);
  EXPECT_EQ(bucket.TimeUntil(1, later), milliseconds(10));
}

TEST(TokenBucketTest, RequestAboveTheSizeWaitsForAFullBucketAndLeavesADebt) {
  TokenBucket bucket({.size = 100, .refill_time_ms = 1000});
  EXPECT_EQ(bucket.TimeUntil(1000, kStart), nanoseconds(0));
  bucket.Take(1000);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), milliseconds(9010));
  EXPECT_EQ(bucket.TimeUntil(1000, kStart), seconds(10));
  EXPECT_EQ(bucket.TimeUntil(1, kStart + milliseconds(9009)), milliseconds(1));
  EXPECT_EQ(bucket.TimeUntil(1000, kStart + seconds(10)), nanoseconds(0));
}

TEST(TokenBucketTest, LateCallersGetTheWholeRate) {
  // The bucket is not full before 100 ms, so lateness of 40 ms loses nothing.
  TokenBucket bucket({.size = 100'000, .refill_time_ms = 100});
  const uint64_t taken = TakeFor(bucket, 1514, seconds(100), milliseconds(40));
  EXPECT_GE(taken, 99'500'000u);
  EXPECT_LE(taken, 100'102'000u);
}

TEST(TokenBucketTest, ReturnedTokensCanBeTakenAgain) {
  TokenBucket bucket({.size = 100, .refill_time_ms = 1000});
  bucket.Take(500);
  bucket.Return(500);
  EXPECT_EQ(bucket.TimeUntil(100, kStart), nanoseconds(0));
  bucket.Return(500);  // no more than the bucket holds
  bucket.Take(100);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), milliseconds(10));
}

TEST(TokenBucketTest, ChangeKeepsADebtAndAddsTheBurst) {
  TokenBucket bucket({.size = 100, .refill_time_ms = 1000});
  bucket.TimeUntil(1, kStart);
  bucket.Take(1100);  // 1000 missing
  bucket.Change({.size = 10'000, .refill_time_ms = 1000}, kStart);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), nanoseconds(100'100'000));
  bucket.Change({.size = 100, .refill_time_ms = 1000, .one_time_burst = 900}, kStart);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), milliseconds(1010));
}

TEST(TokenBucketTest, ChangeKeepsWhatFits) {
  TokenBucket bucket({.size = 1000, .refill_time_ms = 1000});
  bucket.Change({.size = 100, .refill_time_ms = 1000}, kStart);
  bucket.Take(100);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), milliseconds(10));
  // A larger bucket is not filled by the change.
  bucket.Change({.size = 1000, .refill_time_ms = 1000}, kStart);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), milliseconds(1));
}

TEST(TokenBucketTest, ChangeCountsTheTimeBeforeByTheOldLimit) {
  TokenBucket bucket({.size = 100, .refill_time_ms = 1000});
  bucket.TimeUntil(1, kStart);
  bucket.Take(100);
  bucket.Change({.size = 1'000'000, .refill_time_ms = 1}, kStart + milliseconds(500));
  bucket.Change({.size = 100, .refill_time_ms = 1000}, kStart + milliseconds(500));
  EXPECT_EQ(bucket.TimeUntil(51, kStart + milliseconds(500)), milliseconds(10));
}

TEST(TokenBucketTest, ClockThatStepsBackGivesNothing) {
  TokenBucket bucket({.size = 100, .refill_time_ms = 1000});
  bucket.TimeUntil(1, kStart);
  bucket.Take(100);
  EXPECT_EQ(bucket.TimeUntil(1, kStart - seconds(3)), milliseconds(10));
  EXPECT_EQ(bucket.TimeUntil(1, kStart), milliseconds(10));
}

TEST(TokenBucketTest, ExtremeLimitsNeitherOverflowNorStall) {
  for (const uint64_t size : {uint64_t{1}, uint64_t{1} << 44, uint64_t{1} << 63, UINT64_MAX}) {
    for (const uint64_t time : {uint64_t{1}, uint64_t{1} << 44, UINT64_MAX}) {
      for (const uint64_t burst : {uint64_t{0}, UINT64_MAX}) {
        TokenBucket bucket({.size = size, .refill_time_ms = time, .one_time_burst = burst});
        nanoseconds last{0};
        for (int i = 0; i < 4; ++i) {
          const nanoseconds wait = bucket.TimeUntil(UINT64_MAX, nanoseconds::max());
          EXPECT_GE(wait, last) << size << " " << time;
          EXPECT_LE(wait, TokenBucket::kForever);
          last = wait;
          bucket.Take(UINT64_MAX);
          bucket.Take(UINT64_MAX);
          bucket.Return(UINT64_MAX);
        }
        EXPECT_GT(last, nanoseconds(0));
      }
    }
  }
}

TEST(TokenBucketTest, FastestLimitGivesItsTokensWithinItsTime) {
  TokenBucket bucket({.size = UINT64_MAX, .refill_time_ms = 1});
  bucket.TimeUntil(1, kStart);
  bucket.Take(UINT64_MAX);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), nanoseconds(1));
  EXPECT_EQ(bucket.TimeUntil(UINT64_MAX, kStart), milliseconds(1));
  EXPECT_EQ(bucket.TimeUntil(UINT64_MAX, kStart + milliseconds(1)), nanoseconds(0));
}

TEST(TokenBucketTest, SlowestLimitNeverPasses) {
  TokenBucket bucket({.size = 1, .refill_time_ms = UINT64_MAX});
  bucket.TimeUntil(1, kStart);
  bucket.Take(1);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), TokenBucket::kForever);
  EXPECT_EQ(bucket.TimeUntil(1, kStart + TokenBucket::kForever), TokenBucket::kForever);
}

}  // namespace
}  // namespace net
