#include "net/rate_limiter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/fakes/fake_event_loop.h"

namespace net {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr nanoseconds kZero{0};

RateLimiter::Limits Bandwidth(uint64_t size, uint64_t ms) {
  return {.bandwidth = TokenBucket::Limit{.size = size, .refill_time_ms = ms}, .ops = {}};
}
RateLimiter::Limits Ops(uint64_t size, uint64_t ms) {
  return {.bandwidth = {}, .ops = TokenBucket::Limit{.size = size, .refill_time_ms = ms}};
}

// A queue that always has an operation of `bytes` bytes to do.
struct Queue {
  Queue(RateLimiter& limiter, uint64_t size) : reservation(limiter), bytes(size) {}
  RateReservation reservation;
  uint64_t bytes;
  nanoseconds due{0};
  uint64_t done = 0;
};

// Lets the queues work for `duration`, in the order of their waits.
void Work(std::vector<std::unique_ptr<Queue>>& queues, base::FakeEventLoop& loop,
          nanoseconds duration) {
  const nanoseconds end = loop.Now() + duration;
  for (;;) {
    Queue& next = **std::ranges::min_element(queues, {}, [](const auto& q) { return q->due; });
    if (next.due >= end) return;
    if (next.due > loop.Now()) loop.Elapse(next.due - loop.Now());
    for (;;) {
      const nanoseconds wait = next.reservation.Take(next.bytes, loop);
      if (wait > kZero) {
        next.due = loop.Now() + wait;
        break;
      }
      next.reservation.Use(next.bytes);
      ++next.done;
    }
  }
}

TEST(RateLimiterTest, WithoutALimitNothingIsHeld) {
  base::FakeEventLoop loop;
  RateLimiter limiter;
  EXPECT_FALSE(limiter.limited());
  RateReservation reservation(limiter);
  EXPECT_EQ(reservation.Take(UINT64_MAX, loop), kZero);
  EXPECT_FALSE(reservation.held());
}

TEST(RateLimiterTest, StricterOfTheTwoLimitsDecides) {
  base::FakeEventLoop loop;
  RateLimiter::Limits limits = Bandwidth(1000, 1000);
  limits.ops = TokenBucket::Limit{.size = 2, .refill_time_ms = 1000};
  RateLimiter limiter(limits);
  RateReservation first(limiter), second(limiter), third(limiter);
  EXPECT_EQ(first.Take(10, loop), kZero);
  EXPECT_EQ(second.Take(10, loop), kZero);
  EXPECT_EQ(third.Take(10, loop), milliseconds(500));
  third.Cancel();
  second.Cancel();
  EXPECT_EQ(second.Take(1000, loop), milliseconds(10));
}

TEST(RateLimiterTest, ReservationIsTakenOnceAndWaitsOnce) {
  base::FakeEventLoop loop;
  RateLimiter limiter(Ops(1, 1000));
  RateReservation reservation(limiter);
  EXPECT_EQ(reservation.Take(1, loop), kZero);
  EXPECT_TRUE(reservation.held());
  EXPECT_EQ(reservation.Take(1, loop), kZero);
  reservation.Use(1);
  EXPECT_EQ(reservation.Take(1, loop), seconds(1));
}

TEST(RateLimiterTest, CancelledReservationCostsNothing) {
  base::FakeEventLoop loop;
  RateLimiter limiter(Bandwidth(1000, 1000));
  RateReservation reservation(limiter);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(reservation.Take(1000, loop), kZero);
    reservation.Cancel();
  }
}

TEST(RateLimiterTest, LengthMayBeKnownLater) {
  base::FakeEventLoop loop;
  RateLimiter limiter(Bandwidth(1000, 1000));
  RateReservation reservation(limiter);
  EXPECT_EQ(reservation.Take(1, loop), kZero);
  reservation.Use(1500);
  EXPECT_EQ(reservation.Take(1, loop), milliseconds(501));
}

TEST(RateLimiterTest, WaitsAreNotShorterThanAPauseUnlessTheBucketIs) {
  base::FakeEventLoop loop;
  RateLimiter fast(Bandwidth(1'000'000, 10));
  RateReservation a(fast);
  EXPECT_EQ(a.Take(1'000'000, loop), kZero);
  a.Use(1'000'000);
  EXPECT_EQ(a.Take(1, loop), RateLimiter::kShortestPause);
  RateLimiter small(Bandwidth(1'000'000, 1));
  RateReservation b(small);
  EXPECT_EQ(b.Take(1'000'000, loop), kZero);
  b.Use(1'000'000);
  EXPECT_EQ(b.Take(1, loop), nanoseconds(500'000));
}

TEST(RateLimiterTest, RateHoldsWhateverThePauses) {
  struct Case {
    uint64_t size, ms, bytes;
  };
  for (const Case& c : {Case{125'000'000, 1000, 1514}, Case{125'000, 1, 1514}, Case{1000, 1, 1514},
                        Case{1, 1, 65'000}, Case{10'000'000, 1000, 65'000}}) {
    base::FakeEventLoop loop;
    RateLimiter limiter(Bandwidth(c.size, c.ms));
    std::vector<std::unique_ptr<Queue>> queues;
    queues.push_back(std::make_unique<Queue>(limiter, c.bytes));
    const seconds duration(c.size == 1 ? 10'000 : 30);
    Work(queues, loop, duration);
    const double expected = static_cast<double>(c.size) / static_cast<double>(c.ms) * 1000 *
                            static_cast<double>(duration.count());
    const auto done = static_cast<double>(queues[0]->done * c.bytes);
    EXPECT_NEAR(done / expected, 1, 0.05) << c.size << " " << c.ms;
  }
}

// Small requests must not keep large ones from being done: each has its turn.
TEST(RateLimiterTest, QueuesOfOneLimiterHaveTheirTurns) {
  base::FakeEventLoop loop;
  RateLimiter limiter(Bandwidth(4096, 10));
  std::vector<std::unique_ptr<Queue>> queues;
  for (const uint64_t bytes : {512, 512, 1 << 20}) {
    queues.push_back(std::make_unique<Queue>(limiter, bytes));
  }
  Work(queues, loop, seconds(100));
  const uint64_t bytes = (queues[0]->done + queues[1]->done) * 512 + (queues[2]->done << 20);
  EXPECT_NEAR(static_cast<double>(bytes) / 40'960'000, 1, 0.05);
  for (const auto& queue : queues) EXPECT_GE(queue->done, 35u) << queue->bytes;
}

TEST(RateLimiterTest, LimitCanBeSetChangedAndRemoved) {
  base::FakeEventLoop loop;
  RateLimiter limiter;
  RateReservation reservation(limiter);
  limiter.Change(Ops(1, 1000), loop.Now());
  EXPECT_TRUE(limiter.limited());
  EXPECT_EQ(reservation.Take(1, loop), kZero);
  reservation.Use(1);
  limiter.Change(Ops(1, 100), loop.Now());
  EXPECT_EQ(reservation.Take(1, loop), milliseconds(100));
  limiter.Change({}, loop.Now());
  EXPECT_FALSE(limiter.limited());
  reservation.Cancel();  // of a limit that is gone
  EXPECT_EQ(reservation.Take(1, loop), kZero);
}

}  // namespace
}  // namespace net
