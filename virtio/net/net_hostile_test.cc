// What a hostile driver can do to the queues of a network device.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/fakes/hostile_driver.h"
#include "virtio/net/testing/net_fixtures.h"

namespace virtio {
namespace {

constexpr uint16_t kQueues[] = {kRx, kTx, kControl};

// A device whose queues can be attacked one after the other.
class HostileNet {
 public:
  explicit HostileNet(uint64_t seed = 0) : machine_(1, {.loop = {.seed = seed}, .queue_size = 8}) {
    machine_.Start();
  }

  HostileTarget Target(uint16_t queue) {
    HostileTarget target = {.harness = machine_.harness(),
                            .device = machine_.device(),
                            .queue = queue,
                            .writable = queue == kRx,
                            .offer_good = nullptr,
                            .expect_good = nullptr};
    if (queue == kRx) {
      target.stimulate = [this] { machine_.port().Arrive(Frame(60)); };
      target.offer_good = [this] { machine_.rx().Chain().Writable(2000).Offer(); };
      target.expect_good = [this] {
        machine_.port().Arrive(Frame(60));
        machine_.rx().Chain().Writable(2000).Offer();
        machine_.harness().Publish(kRx);
        const auto used = machine_.rx().PopUsed();
        ASSERT_TRUE(used.has_value());
        EXPECT_EQ(used->len, sizeof(NetHeader) + 60);
      };
    } else if (queue == kTx) {
      target.offer_good = [this] {
        machine_.tx().Chain().Readable(sizeof(NetHeader)).Readable(Frame(60)).Offer();
      };
      target.expect_good = [this] {
        machine_.port().sent.clear();
        machine_.tx().Chain().Readable(sizeof(NetHeader)).Readable(Frame(61)).Offer();
        machine_.harness().Publish(kTx);
        ASSERT_EQ(machine_.port().sent.size(), 1u);
        EXPECT_EQ(WithoutHeader(machine_.port().sent[0]), Frame(61));
      };
    } else {
      target.offer_good = [this] {
        machine_.harness().driver(kControl).Chain().Readable(Bytes{0, 0, 1}).Writable(1).Offer();
      };
      target.expect_good = [this] {
        EXPECT_EQ(machine_.Command(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, {1}), 0);
      };
    }
    return target;
  }

 private:
  NetMachine machine_;
};

TEST(NetHostileTest, EveryAttackEndsInAResetOrAnAnswer) {
  for (const uint16_t queue : kQueues) {
    for (const Attack& attack : Attacks()) {
      HostileNet net;
      RunAttack(attack, net.Target(queue), kAllFeatures);
    }
  }
}

TEST(NetHostileTest, ResetsInEveryState) {
  for (const uint16_t queue : kQueues) {
    for (uint64_t seed = 0; seed < 8; ++seed) {
      HostileNet net(seed);
      ResetInEveryState(net.Target(queue), kAllFeatures);
    }
  }
}

TEST(NetHostileTest, ServesFramesWithAnyFeatures) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    NetMachine machine(1 + i % 2);
    machine.Start(machine.device().features() & random());
    machine.OfferBuffers(4, 2000);
    machine.port().Arrive(Frame(100));
    machine.Run();
    EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(100));
    machine.Transmit(Frame(90));
    ASSERT_EQ(machine.port().sent.size(), 1u);
    EXPECT_EQ(WithoutHeader(machine.port().sent[0]), Frame(90));
  }
}

TEST(NetHostileTest, ReceiveBuffersThatCannotHoldAHeaderAreReturned) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(3, 11);
  machine.rx().Chain().Readable(10).Writable(2000).Offer();
  machine.harness().Publish(kRx);
  for (int i = 0; i < 4; ++i) {
    const auto used = machine.rx().PopUsed();
    ASSERT_TRUE(used.has_value());
    EXPECT_EQ(used->len, 0u);
  }
  EXPECT_EQ(machine.Counter("rx_dropped_malformed"), 4u);
  machine.port().Arrive(Frame(60));
  machine.OfferBuffers(1, 2000);
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60));
}

// A receive buffer may lie in the rings. The device then writes over its own used ring, but it
// reads nothing back from there.
TEST(NetHostileTest, ReceiveBuffersOverTheRingsHarmOnlyTheGuest) {
  NetMachine machine;
  machine.Start();
  machine.rx().Chain().WritableAt(machine.rx().device_area(), 256).Offer();
  machine.harness().Publish(kRx);
  for (int i = 0; i < 4; ++i) machine.port().Arrive(Frame(200));
  machine.Run();
  EXPECT_TRUE(machine.harness().StopQueue(machine.device(), kRx));
}

TEST(NetHostileTest, MalformedTransmitChainsAreDroppedAndCounted) {
  NetMachine machine;
  machine.Start();
  machine.tx().Chain().Readable(11).Offer();  // less than a header
  machine.tx().Chain().Readable(12).Offer();  // no frame
  machine.tx().Chain().Readable(25).Offer();  // less than Ethernet's header
  machine.tx().Chain().Readable(12 + net::kMaxFrameBytes + 1).Offer();
  machine.tx().Chain().Writable(100).Offer();
  machine.harness().Publish(kTx);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(machine.tx().PopUsed()->len, 0u);
  EXPECT_EQ(machine.port().sent.size(), 0u);
  EXPECT_EQ(machine.Counter("tx_dropped_malformed"), 5u);
}

TEST(NetHostileTest, FramesOfAHostilePeerNeverOverrunBuffers) {
  NetMachine machine(1, {.queue_size = 256});
  machine.Start();
  machine.OfferBuffers(100, 1526);
  machine.port().ArriveRaw({});
  machine.port().ArriveRaw(Bytes(11));
  machine.port().ArriveRaw(Bytes(12));
  machine.port().ArriveRaw(Bytes(300'000));
  machine.port().Arrive(Frame(1));
  machine.port().Arrive(Frame(60));
  machine.Run();
  EXPECT_EQ(machine.TakeFrame().size(), 12u);
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(1));
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60));
  EXPECT_EQ(machine.Counter("rx_dropped_malformed"), 2u);
}

}  // namespace
}  // namespace virtio
