// Tests of the rate limits of the network device.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>

#include "virtio/net/testing/net_fixtures.h"

namespace virtio {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;

net::RateLimiter::Limits Bandwidth(uint64_t size, uint64_t ms) {
  return {.bandwidth = net::TokenBucket::Limit{.size = size, .refill_time_ms = ms}, .ops = {}};
}
net::RateLimiter::Limits Ops(uint64_t size, uint64_t ms) {
  return {.bandwidth = {}, .ops = net::TokenBucket::Limit{.size = size, .refill_time_ms = ms}};
}

class LimitedMachine : public NetMachine {
 public:
  explicit LimitedMachine(const net::RateLimiter::Limits& limits, size_t pairs = 1)
      : NetMachine(pairs, {.queue_size = 64}, {.rate_limits = limits}) {
    Start();
  }
  base::FakeEventLoop& loop() { return harness().loop(); }

  // Makes frames of `bytes` bytes available on `queue` until the ring is full.
  void FillTransmit(uint32_t bytes, uint16_t queue = kTx) {
    FakeDriver& driver = harness().driver(queue);
    while (driver.PopUsed().has_value()) {
    }
    while (driver.free_descriptors() >= 2) {
      driver.Chain().Readable(sizeof(NetHeader)).Readable(bytes).Offer();
    }
    harness().Publish(queue);
  }
  // Lets the driver transmit frames as fast as they are taken.
  void TransmitFor(nanoseconds duration, nanoseconds step, uint32_t bytes) {
    for (const nanoseconds end = loop().Now() + duration; loop().Now() < end;) {
      FillTransmit(bytes);
      loop().AdvanceTime(step);
    }
  }
  // Lets frames arrive as fast as they are taken.
  void ReceiveFor(nanoseconds duration, nanoseconds step, uint32_t bytes) {
    for (const nanoseconds end = loop().Now() + duration; loop().Now() < end;) {
      while (rx().PopUsed().has_value()) {
      }
      OfferBuffers(rx().free_descriptors(), 2000);
      while (port().waiting() < 50) port().Arrive(Frame(bytes));
      loop().AdvanceTime(step);
    }
  }
};

double Ratio(uint64_t actual, double expected) { return static_cast<double>(actual) / expected; }

TEST(NetRateTest, TransmitsAtTheRateOfTheBandwidth) {
  LimitedMachine machine(Bandwidth(12'500, 100));  // 1 Mbit/s
  machine.TransmitFor(seconds(60), milliseconds(20), 1500);
  EXPECT_NEAR(Ratio(machine.Counter("tx_bytes"), 60 * 125'000), 1, 0.05);
  EXPECT_GT(machine.Counter("tx_throttled"), 0u);
  EXPECT_EQ(machine.Counter("rx_throttled"), 0u);
}

TEST(NetRateTest, TransmitsAtTheRateOfTheOperations) {
  LimitedMachine machine(Ops(100, 1000));
  machine.TransmitFor(seconds(60), milliseconds(20), 60);
  EXPECT_NEAR(Ratio(machine.Counter("tx_frames"), 60 * 100), 1, 0.05);
}

TEST(NetRateTest, ReceivesAtTheRateOfTheBandwidth) {
  LimitedMachine machine(Bandwidth(12'500, 100));
  machine.ReceiveFor(seconds(60), milliseconds(20), 1500);
  EXPECT_NEAR(Ratio(machine.Counter("rx_bytes"), 60 * 125'000), 1, 0.05);
  EXPECT_GT(machine.Counter("rx_throttled"), 0u);
  EXPECT_EQ(machine.Counter("tx_throttled"), 0u);
}

TEST(NetRateTest, ReceivesAtTheRateOfTheOperations) {
  LimitedMachine machine(Ops(100, 1000));
  machine.ReceiveFor(seconds(60), milliseconds(20), 60);
  EXPECT_NEAR(Ratio(machine.Counter("rx_frames"), 60 * 100), 1, 0.05);
}

TEST(NetRateTest, BucketSmallerThanAFrameDoesNotStall) {
  LimitedMachine machine(Bandwidth(100, 1));
  machine.TransmitFor(seconds(30), milliseconds(20), 1500);
  EXPECT_NEAR(Ratio(machine.Counter("tx_bytes"), 30 * 100'000), 1, 0.05);
  machine.ReceiveFor(seconds(30), milliseconds(20), 1500);
  EXPECT_NEAR(Ratio(machine.Counter("rx_bytes"), 30 * 100'000), 1, 0.05);
}

TEST(NetRateTest, DirectionsHaveLimitsOfTheirOwn) {
  LimitedMachine machine(Ops(5, 60'000));
  machine.FillTransmit(60);
  EXPECT_EQ(machine.Counter("tx_frames"), 5u);
  machine.OfferBuffers(30, 2000);
  for (int i = 0; i < 20; ++i) machine.port().Arrive(Frame(60));
  machine.Run();
  EXPECT_EQ(machine.Counter("rx_frames"), 5u);
}

TEST(NetRateTest, PairsShareTheLimit) {
  LimitedMachine machine(Ops(10, 1000), 2);
  ASSERT_EQ(machine.Command(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, {2, 0}, 4), 0);
  for (int i = 0; i < 600; ++i) {
    machine.FillTransmit(60, 1);
    machine.FillTransmit(60, 3);
    machine.loop().AdvanceTime(milliseconds(100));
  }
  EXPECT_NEAR(Ratio(machine.Counter("tx_frames"), 60 * 10), 1, 0.05);
  // Each has its turn.
  EXPECT_NEAR(Ratio(machine.port(0).sent.size(), 300), 1, 0.1);
  EXPECT_NEAR(Ratio(machine.port(1).sent.size(), 300), 1, 0.1);
}

TEST(NetRateTest, FramesWaitAndNoneIsLost) {
  LimitedMachine machine(Ops(2, 1000));
  machine.OfferBuffers(20, 2000);
  for (uint32_t i = 0; i < 10; ++i) {
    machine.port().Arrive(Frame(60 + i));
    machine.Transmit(Frame(60 + i));
  }
  EXPECT_EQ(machine.port().waiting(), 8u);
  EXPECT_THAT(machine.port().sent, SizeIs(2));
  machine.loop().AdvanceTime(seconds(10));
  ASSERT_THAT(machine.port().sent, SizeIs(10));
  for (uint32_t i = 0; i < 10; ++i) {
    EXPECT_EQ(WithoutHeader(machine.port().sent[i]), Frame(60 + i));
    EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60 + i));
  }
}

TEST(NetRateTest, IdleQueueDoesNotWakeTheLoop) {
  LimitedMachine machine(Bandwidth(1000, 100));
  machine.OfferBuffers(20, 2000);
  machine.FillTransmit(100);
  machine.loop().AdvanceTime(seconds(100));
  EXPECT_EQ(machine.loop().in_flight(base::FakeEventLoop::Kind::kTimeout), 0u);
}

TEST(NetRateTest, PauseDoesNotWaitForTheLimit) {
  LimitedMachine machine(Ops(2, 10'000));
  machine.OfferBuffers(20, 2000);
  for (uint32_t i = 0; i < 6; ++i) {
    machine.port().Arrive(Frame(60 + i));
    machine.Transmit(Frame(60 + i));
  }
  EXPECT_TRUE(machine.harness().Pause(machine.device()));
  machine.loop().AdvanceTime(seconds(3600));
  EXPECT_THAT(machine.port().sent, SizeIs(2));
  EXPECT_EQ(machine.port().waiting(), 4u);
  machine.device().Resume();
  machine.loop().AdvanceTime(seconds(60));
  ASSERT_THAT(machine.port().sent, SizeIs(6));
  for (uint32_t i = 0; i < 6; ++i) {
    EXPECT_EQ(WithoutHeader(machine.port().sent[i]), Frame(60 + i));
    EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60 + i));
  }
}

// The wait of the frame that was given back has not ended when the queue pops the frame again.
TEST(NetRateTest, PauseAndResumeInOneTurnKeepTheOrder) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    NetMachine machine(1, {.loop = {.seed = seed}, .queue_size = 64},
                       {.rate_limits = Ops(1, 1000)});
    machine.Start();
    for (uint32_t i = 0; i < 4; ++i) machine.Transmit(Frame(60 + i));
    for (int i = 0; i < 5; ++i) {
      machine.device().Pause([] {});
      machine.device().Resume();
    }
    machine.harness().loop().AdvanceTime(seconds(10));
    ASSERT_THAT(machine.port().sent, SizeIs(4));
    for (uint32_t i = 0; i < 4; ++i) {
      EXPECT_EQ(WithoutHeader(machine.port().sent[i]), Frame(60 + i));
    }
  }
}

// Each pause gives back the tokens of the frame that waits. Otherwise the frame would wait longer
// after each pause.
TEST(NetRateTest, PausesCostNoTokens) {
  LimitedMachine machine(Ops(1, 1000));
  machine.Transmit(Frame(60));
  machine.Transmit(Frame(61));
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(machine.harness().Pause(machine.device()));
    machine.device().Resume();
    machine.Run();
  }
  EXPECT_THAT(machine.port().sent, SizeIs(1));
  machine.loop().AdvanceTime(milliseconds(1001));
  EXPECT_THAT(machine.port().sent, SizeIs(2));
}

TEST(NetRateTest, StopDoesNotWaitForTheLimitAndGivesNoFreshOne) {
  LimitedMachine machine(Ops(2, 10'000));
  for (int i = 0; i < 20; ++i) {
    machine.OfferBuffers(20, 2000);
    while (machine.port().waiting() < 3) machine.port().Arrive(Frame(60));
    for (int k = 0; k < 3; ++k) machine.Transmit(Frame(70));
    ASSERT_TRUE(machine.harness().Stop(machine.device()));
    machine.Start();
  }
  EXPECT_EQ(machine.Counter("tx_frames"), 2u);
  EXPECT_EQ(machine.Counter("rx_frames"), 2u);
  machine.loop().AdvanceTime(seconds(60));
  machine.OfferBuffers(20, 2000);
  machine.Transmit(Frame(71));
  EXPECT_EQ(machine.Counter("tx_frames"), 3u);
  EXPECT_EQ(machine.Counter("rx_frames"), 4u);
}

TEST(NetRateTest, FramesThatTheDriverDoesNotGetCountToo) {
  LimitedMachine machine(Ops(2, 60'000));
  machine.device().SetLink(NetDevice::LinkSource::kUser, false);
  machine.OfferBuffers(20, 2000);
  for (int i = 0; i < 10; ++i) machine.port().Arrive(Frame(60));
  machine.Run();
  EXPECT_EQ(machine.Counter("rx_dropped_link_down"), 2u);
}

TEST(NetRateTest, FrameThatWaitsIsDroppedWhenTheLinkGoesDown) {
  LimitedMachine machine(Ops(1, 1000));
  machine.Transmit(Frame(60));
  machine.Transmit(Frame(61));
  machine.device().SetLink(NetDevice::LinkSource::kUser, false);
  machine.loop().AdvanceTime(seconds(2));
  EXPECT_THAT(machine.port().sent, SizeIs(1));
  EXPECT_EQ(machine.Counter("tx_dropped_link_down"), 1u);
  EXPECT_TRUE(machine.tx().PopUsed().has_value());
  EXPECT_TRUE(machine.tx().PopUsed().has_value());
  machine.device().SetLink(NetDevice::LinkSource::kUser, true);
  machine.Transmit(Frame(62));
  EXPECT_THAT(machine.port().sent, SizeIs(2));
}

TEST(NetRateTest, FullPortCostsTheTokensOfAFrameOnce) {
  LimitedMachine machine(Ops(2, 60'000));
  machine.port().SetFull(true);
  machine.Transmit(Frame(60));
  machine.Transmit(Frame(61));
  machine.Transmit(Frame(62));
  machine.port().SetFull(false);
  machine.Run();
  EXPECT_THAT(machine.port().sent, SizeIs(2));
}

TEST(NetRateTest, WaitingFramesPassWhenTheLimitIsRaisedOrRemoved) {
  for (const net::RateLimiter::Limits& limits : {Ops(1000, 1), net::RateLimiter::Limits()}) {
    LimitedMachine machine(Ops(1, 3'600'000));
    machine.OfferBuffers(20, 2000);
    for (uint32_t i = 0; i < 4; ++i) {
      machine.port().Arrive(Frame(60 + i));
      machine.Transmit(Frame(60 + i));
    }
    EXPECT_THAT(machine.port().sent, SizeIs(1));
    EXPECT_EQ(machine.port().waiting(), 3u);
    machine.device().SetRateLimits(limits);
    machine.loop().AdvanceTime(milliseconds(10));
    ASSERT_THAT(machine.port().sent, SizeIs(4));
    for (uint32_t i = 0; i < 4; ++i) {
      EXPECT_EQ(WithoutHeader(machine.port().sent[i]), Frame(60 + i));
      EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60 + i));
    }
  }
}

TEST(NetRateTest, LimitCanBeSetWhileFramesFlow) {
  LimitedMachine machine({});
  machine.TransmitFor(seconds(1), milliseconds(20), 1500);
  const uint64_t before = machine.Counter("tx_bytes");
  machine.device().SetRateLimits(Bandwidth(12'500, 100));
  machine.TransmitFor(seconds(60), milliseconds(20), 1500);
  EXPECT_NEAR(Ratio(machine.Counter("tx_bytes") - before, 60 * 125'000), 1, 0.05);
  machine.device().SetRateLimits(Bandwidth(25'000, 100));
  const uint64_t between = machine.Counter("tx_bytes");
  machine.TransmitFor(seconds(60), milliseconds(20), 1500);
  EXPECT_NEAR(Ratio(machine.Counter("tx_bytes") - between, 60 * 250'000), 1, 0.05);
}

TEST(NetRateTest, ChangesOfTheLimitGiveNoFramesAway) {
  LimitedMachine machine(Ops(2, 3'600'000));
  machine.FillTransmit(60);
  for (int i = 0; i < 50; ++i) {
    machine.device().SetRateLimits(Ops(2, 3'600'000));
    machine.Run();
  }
  EXPECT_EQ(machine.Counter("tx_frames"), 2u);
}

TEST(NetRateTest, LimitOfAStoppedOrPausedDeviceCanChange) {
  LimitedMachine machine(Ops(1, 3'600'000));
  machine.Transmit(Frame(60));
  machine.Transmit(Frame(61));
  ASSERT_TRUE(machine.harness().Pause(machine.device()));
  machine.device().SetRateLimits({});
  machine.Run();
  EXPECT_THAT(machine.port().sent, SizeIs(1));
  machine.device().Resume();
  machine.Run();
  EXPECT_THAT(machine.port().sent, SizeIs(2));
  ASSERT_TRUE(machine.harness().Stop(machine.device()));
  machine.device().SetRateLimits(Ops(1, 1000));
  machine.Start();
  machine.Transmit(Frame(62));
  EXPECT_THAT(machine.port().sent, SizeIs(3));
}

// Returns how often the clock is read for 20 frames in each direction.
uint64_t ClockReads(const net::RateLimiter::Limits& limits) {
  LimitedMachine machine(limits);
  const uint64_t before = machine.loop().clock_reads();
  machine.OfferBuffers(30, 2000);
  for (int i = 0; i < 20; ++i) machine.port().Arrive(Frame(1000));
  for (int i = 0; i < 20; ++i) machine.Transmit(Frame(1000));
  EXPECT_EQ(machine.Counter("rx_frames") + machine.Counter("tx_frames"), 40u);
  return machine.loop().clock_reads() - before;
}

TEST(NetRateTest, ClockIsReadOnlyWithALimitAndOncePerFrame) {
  // The loop's budget reads the clock in any case. One read more belongs to the frame that may be
  // received next.
  EXPECT_EQ(ClockReads(Bandwidth(1'000'000, 100)), ClockReads({}) + 41);
}

}  // namespace
}  // namespace virtio
