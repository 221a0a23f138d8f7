// Tests of the rate limits of the block device.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>

#include "virtio/block/block_device.h"
#include "virtio/block/testing/block_fixtures.h"

namespace virtio {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

net::RateLimiter::Limits Bandwidth(uint64_t size, uint64_t ms) {
  return {.bandwidth = net::TokenBucket::Limit{.size = size, .refill_time_ms = ms}, .ops = {}};
}
net::RateLimiter::Limits Ops(uint64_t size, uint64_t ms) {
  return {.bandwidth = {}, .ops = net::TokenBucket::Limit{.size = size, .refill_time_ms = ms}};
}

class LimitedDisk : public BlockHarness {
 public:
  explicit LimitedDisk(const net::RateLimiter::Limits& limits, uint16_t queues = 1,
                       uint64_t seed = 0, net::RateLimiter* group = nullptr)
      : BlockHarness({.harness = {.loop = {.seed = seed}, .queue_size = 64},
                      .device = {.id = "_disk0",
                                 .num_queues = queues,
                                 .queue_size = 64,
                                 .rate_limits = limits,
                                 .shared_limiter = group}}) {}

  void Offer(uint32_t type, uint32_t bytes, uint16_t queue = 0, uint64_t sector = 0) {
    auto chain = driver(queue).Chain();
    chain.Readable(BlockHeaderBytes(type, sector));
    if (type == VIRTIO_BLK_T_IN && bytes > 0) chain.Writable(bytes);
    if (type == VIRTIO_BLK_T_OUT) chain.Readable(bytes);
    chain.Writable(1).Offer();
  }
  void OfferRead(uint32_t bytes, uint16_t queue = 0) { Offer(VIRTIO_BLK_T_IN, bytes, queue); }
  // Returns how many requests have ended, all with success.
  uint32_t Ended(uint16_t queue = 0) {
    uint32_t count = 0;
    driver(queue).EnableInterrupts();
    while (const auto used = driver(queue).PopUsed()) {
      EXPECT_EQ(driver(queue).WritableBytes(static_cast<uint16_t>(used->id)).back(),
                VIRTIO_BLK_S_OK);
      ++count;
    }
    return count;
  }
  // Lets the driver send requests as fast as they end.
  void Work(nanoseconds duration, uint32_t type, uint32_t bytes, uint16_t queues = 1) {
    for (const nanoseconds end = loop().Now() + duration; loop().Now() < end;) {
      for (uint16_t queue = 0; queue < queues; ++queue) {
        Ended(queue);
        while (driver(queue).free_descriptors() >= 3) Offer(type, bytes, queue);
        harness().Publish(queue);
      }
      loop().AdvanceTime(milliseconds(20));
    }
  }
};

double Ratio(uint64_t actual, double expected) { return static_cast<double>(actual) / expected; }

TEST(BlockRateTest, ReadsAndWritesAtTheRateOfTheBandwidth) {
  LimitedDisk disk(Bandwidth(100'000, 100));
  disk.Work(seconds(30), VIRTIO_BLK_T_IN, 16384);
  EXPECT_NEAR(Ratio(disk.counter("read_bytes"), 30e6), 1, 0.05);
  disk.Work(seconds(30), VIRTIO_BLK_T_OUT, 16384);
  EXPECT_NEAR(Ratio(disk.counter("read_bytes") + disk.counter("write_bytes"), 60e6), 1, 0.05);
  EXPECT_GT(disk.counter("throttled"), 0u);
}

TEST(BlockRateTest, RequestsAreAtTheRateOfTheOperations) {
  LimitedDisk disk(Ops(100, 1000));
  disk.Work(seconds(60), VIRTIO_BLK_T_IN, 512);
  EXPECT_NEAR(Ratio(disk.counter("read_ops"), 6000), 1, 0.05);
}

TEST(BlockRateTest, BucketSmallerThanARequestDoesNotStall) {
  LimitedDisk disk(Bandwidth(1000, 1));
  disk.Work(seconds(30), VIRTIO_BLK_T_IN, 64 << 10);
  EXPECT_NEAR(Ratio(disk.counter("read_bytes"), 30e6), 1, 0.05);
}

TEST(BlockRateTest, QueuesShareTheLimitAndHaveTheirTurns) {
  LimitedDisk disk(Ops(10, 1000), 3);
  disk.Work(seconds(60), VIRTIO_BLK_T_IN, 512, 3);
  EXPECT_NEAR(Ratio(disk.counter("read_ops"), 600), 1, 0.05);
  for (uint16_t queue = 0; queue < 3; ++queue) {
    EXPECT_NEAR(disk.driver(queue).UsedIndex(), 200, 20) << queue;
  }
}

// The disks are on different loops, whose clocks are together.
TEST(BlockRateTest, DisksOfAGroupShareTheLimitAndHaveTheirTurns) {
  net::RateLimiter group(Bandwidth(100'000, 1000));
  LimitedDisk one({}, 1, 0, &group), two({}, 1, 0, &group);
  for (int i = 0; i < 3000; ++i) {
    for (LimitedDisk* disk : {&one, &two}) disk->Work(milliseconds(20), VIRTIO_BLK_T_IN, 4096);
  }
  const uint64_t first = one.counter("read_bytes"), second = two.counter("read_bytes");
  EXPECT_NEAR(Ratio(first + second, 60 * 100'000), 1, 0.05);
  EXPECT_NEAR(Ratio(first, static_cast<double>(second)), 1, 0.1);
}

TEST(BlockRateTest, FlushesDiscardsAndZerosAreOperationsWithoutBytes) {
  net::RateLimiter::Limits limits = Ops(3, 60'000);
  limits.bandwidth = net::TokenBucket::Limit{.size = 1, .refill_time_ms = 60'000};
  LimitedDisk disk(limits);
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 8, 0}}), VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{0, 8, 0}}), VIRTIO_BLK_S_OK);
  disk.Offer(VIRTIO_BLK_T_FLUSH, 0);
  disk.harness().Publish(0);
  EXPECT_EQ(disk.Ended(), 0u);
  disk.loop().AdvanceTime(seconds(20));
  EXPECT_EQ(disk.Ended(), 1u);
}

TEST(BlockRateTest, OtherRequestsAreFree) {
  LimitedDisk disk(Ops(1, 60'000));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(disk.Do(BlockHeaderBytes(VIRTIO_BLK_T_GET_ID, 0), 21).status, VIRTIO_BLK_S_OK);
    EXPECT_EQ(disk.Do(BlockHeaderBytes(99, 0), 1).status, VIRTIO_BLK_S_UNSUPP);
  }
  EXPECT_EQ(disk.counter("throttled"), 0u);
}

TEST(BlockRateTest, PauseDoesNotWaitForTheLimitAndLosesNothing) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    LimitedDisk disk(Ops(2, 10'000), 1, seed);
    for (int i = 0; i < 6; ++i) disk.OfferRead(512);
    disk.harness().Publish(0);
    EXPECT_TRUE(disk.harness().Pause(disk.device()));
    disk.loop().AdvanceTime(seconds(3600));
    EXPECT_EQ(disk.Ended(), 2u);
    disk.device().Resume();
    disk.device().Pause([] {});
    disk.device().Resume();
    disk.loop().AdvanceTime(seconds(60));
    EXPECT_EQ(disk.Ended(), 4u);
    EXPECT_EQ(disk.counter("read_ops"), 6u);
  }
}

// The request that waits is given back while others are in flight.
TEST(BlockRateTest, PauseWhileTheDiskHangsGivesTheWaitingRequestBack) {
  LimitedDisk disk(Ops(2, 10'000));
  disk.loop().Hold(base::LoopFile(0));
  for (int i = 0; i < 4; ++i) disk.OfferRead(512);
  disk.harness().Publish(0);
  bool paused = false;
  disk.device().Pause([&] { paused = true; });
  disk.loop().RunUntilIdle();
  EXPECT_FALSE(paused);
  disk.loop().Release(base::LoopFile(0));
  disk.loop().RunUntilIdle();
  EXPECT_TRUE(paused);
  EXPECT_EQ(disk.Ended(), 2u);
  disk.device().Resume();
  disk.loop().AdvanceTime(seconds(10));
  EXPECT_EQ(disk.Ended(), 2u);
}

TEST(BlockRateTest, PausesCostNoTokens) {
  LimitedDisk disk(Ops(1, 1000));
  disk.OfferRead(512);
  disk.OfferRead(512);
  disk.harness().Publish(0);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(disk.harness().Pause(disk.device()));
    disk.device().Resume();
    disk.loop().RunUntilIdle();
  }
  EXPECT_EQ(disk.Ended(), 1u);
  disk.loop().AdvanceTime(milliseconds(1001));
  EXPECT_EQ(disk.Ended(), 1u);
}

TEST(BlockRateTest, StopDoesNotWaitForTheLimitAndGivesNoFreshOne) {
  LimitedDisk disk(Ops(2, 10'000));
  for (int i = 0; i < 20; ++i) {
    for (int k = 0; k < 4; ++k) disk.OfferRead(512);
    disk.harness().Publish(0);
    ASSERT_TRUE(disk.Stop());
    disk.Start();
  }
  EXPECT_EQ(disk.counter("read_ops"), 2u);
  disk.loop().AdvanceTime(seconds(10));
  EXPECT_EQ(disk.Read(0, 512).status, VIRTIO_BLK_S_OK);
}

TEST(BlockRateTest, WaitingRequestsPassWhenTheLimitIsRaisedOrRemoved) {
  for (const net::RateLimiter::Limits& limits : {Ops(1000, 1), net::RateLimiter::Limits()}) {
    LimitedDisk disk(Ops(1, 3'600'000));
    for (int i = 0; i < 4; ++i) disk.OfferRead(512);
    disk.harness().Publish(0);
    EXPECT_EQ(disk.Ended(), 1u);
    disk.device().limiter().Change(limits, disk.loop().Now());
    disk.device().OnRateLimitChanged();
    disk.loop().AdvanceTime(milliseconds(10));
    EXPECT_EQ(disk.Ended(), 3u);
  }
}

// Returns how often the clock is read for 20 requests.
uint64_t ClockReads(const net::RateLimiter::Limits& limits) {
  LimitedDisk disk(limits);
  const uint64_t before = disk.loop().clock_reads();
  for (int i = 0; i < 20; ++i) disk.OfferRead(512);
  disk.harness().Publish(0);
  EXPECT_EQ(disk.Ended(), 20u);
  return disk.loop().clock_reads() - before;
}

TEST(BlockRateTest, ClockIsReadOnlyWithALimitAndOncePerRequest) {
  EXPECT_EQ(ClockReads(Ops(1000, 100)), ClockReads({}) + 20);  // the loop's budget reads it, too
}

}  // namespace
}  // namespace virtio
