// Tests of the network device's data path.

#include "virtio/net/net_device.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>

#include <chrono>
#include <cstdint>

#include "virtio/net/testing/net_fixtures.h"

namespace virtio {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Of a frame that its receiver counts as segments: it may be longer than the MTU.
NetHeader TcpHeader() {
  NetHeader header;
  header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
  header.gso_size = 1448;
  return header;
}

TEST(NetDeviceTest, FrameArrivesInOneBufferWithItsHeader) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(4, 2048);
  machine.port().Arrive(Frame(1000));
  machine.Run();
  const Bytes received = machine.TakeFrame();
  ASSERT_THAT(received, SizeIs(sizeof(NetHeader) + 1000));
  EXPECT_EQ(WithoutHeader(received), Frame(1000));
  EXPECT_EQ(received[10] | received[11] << 8, 1);
  EXPECT_EQ(machine.Counter("rx_frames"), 1u);
  EXPECT_EQ(machine.Counter("rx_bytes"), 1000u);
}

TEST(NetDeviceTest, FrameIsSpreadOverBuffersOfAnySize) {
  for (const uint32_t bytes : {12u, 13u, 29u, 30u, 31u, 64u, 100u, 1526u, 4096u}) {
    NetMachine machine(1, {.queue_size = 256});
    machine.Start();
    machine.OfferBuffers(200, bytes);
    for (const size_t length : {size_t{14}, size_t{60}, size_t{200}, size_t{700}}) {
      machine.port().Arrive(Frame(length));
      machine.Run();
      const Bytes received = machine.TakeFrame();
      EXPECT_EQ(WithoutHeader(received), Frame(length)) << bytes << " " << length;
      EXPECT_EQ(received[10] | received[11] << 8, (12 + length + bytes - 1) / bytes);
    }
    EXPECT_EQ(machine.harness().notifier().needs_reset, 0u);
  }
}

TEST(NetDeviceTest, LargestFrameFitsIntoBuffersOfLinux) {
  NetMachine machine(1, {.queue_size = 256});
  machine.Start();
  machine.OfferBuffers(100, 1526);
  machine.port().Arrive(Frame(net::kMaxFrameBytes), TcpHeader());
  machine.port().Arrive(Frame(60));
  machine.Run();
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(net::kMaxFrameBytes));
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60));
}

TEST(NetDeviceTest, BuffersOfManyDescriptorsAreFilled) {
  NetMachine machine(1, {.queue_size = 256});
  machine.Start();
  for (int i = 0; i < 3; ++i) {
    auto chain = machine.rx().Chain();
    for (int k = 0; k < 70; ++k) chain.Writable(1 + k % 9);
    chain.Offer();
  }
  machine.harness().Publish(kRx);
  for (const size_t length : {size_t{200}, size_t{500}}) {
    machine.port().Arrive(Frame(length));
    machine.Run();
    EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(length));
  }
}

TEST(NetDeviceTest, ManyFramesNeedOneInterrupt) {
  NetMachine machine(1, {.queue_size = 64, .event_idx = false});
  machine.Start();
  machine.OfferBuffers(50, 1526);
  for (int i = 0; i < 40; ++i) machine.port().Arrive(Frame(60 + i));
  machine.Run();
  EXPECT_EQ(machine.Counter("interrupts"), 1u);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60 + i));
  // One call for each frame, and one that finds the port empty before the frames and after them.
  EXPECT_LE(machine.port().calls, 42u);
}

TEST(NetDeviceTest, FramesWaitForBuffers) {
  NetMachine machine;
  machine.Start();
  for (int i = 0; i < 5; ++i) machine.port().Arrive(Frame(100));
  machine.Run();
  EXPECT_EQ(machine.port().waiting(), 5u);
  machine.OfferBuffers(3, 2000);
  EXPECT_EQ(machine.port().waiting(), 2u);
  machine.OfferBuffers(3, 2000);
  EXPECT_EQ(machine.port().waiting(), 0u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(100));
}

TEST(NetDeviceTest, LargeFrameWaitsUntilTheDriverHasAddedEnoughBuffers) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(2, 1500);
  machine.port().Arrive(Frame(60000), TcpHeader());
  machine.port().Arrive(Frame(50));
  machine.Run();
  for (int i = 2; i < 41; ++i) {
    EXPECT_THAT(machine.TakeFrame(), IsEmpty()) << i;
    machine.OfferBuffers(1, 1500);
  }
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60000));
  machine.OfferBuffers(1, 1500);
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(50));
  EXPECT_EQ(machine.Counter("rx_dropped_no_room"), 0u);
}

TEST(NetDeviceTest, FrameThatIsLargerThanAnyFrameMayBeIsDroppedAndCounted) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(2, 1500);
  machine.port().Arrive(Frame(net::kMaxFrameBytes + 1), TcpHeader());
  machine.port().Arrive(Frame(50));
  machine.Run();
  EXPECT_EQ(machine.Counter("rx_dropped_no_room"), 1u);
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(50));
}

TEST(NetDeviceTest, FrameForMorePiecesThanASystemCallTakesArrives) {
  NetMachine machine(1, {.queue_size = 2048});
  machine.Start();
  auto chain = machine.rx().Chain();
  for (int i = 0; i < 1024; ++i) chain.Writable(20);
  chain.Offer();
  machine.OfferBuffers(1, 1000);
  for (const size_t bytes : {size_t{20480 - 12}, size_t{60}}) {
    machine.port().Arrive(Frame(bytes), TcpHeader());
    machine.Run();
    EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(bytes));
  }
}

TEST(NetDeviceTest, FrameThatIsLargerThanAllBuffersOfTheRingIsDroppedAndCounted) {
  NetMachine machine(1, {.queue_size = 2});
  machine.Start();
  machine.OfferBuffers(2, 100);
  machine.port().Arrive(Frame(1000));
  machine.port().Arrive(Frame(50));
  machine.Run();
  EXPECT_EQ(machine.Counter("rx_dropped_no_room"), 1u);
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(50));
}

TEST(NetDeviceTest, FrameDoesNotWaitForADriverThatAddsNoBuffers) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(2, 100);
  machine.port().Arrive(Frame(1000));
  machine.port().Arrive(Frame(50));
  machine.Run();
  EXPECT_THAT(machine.TakeFrame(), IsEmpty());
  machine.harness().loop().AdvanceTime(std::chrono::milliseconds(100));
  machine.Run();
  EXPECT_EQ(machine.Counter("rx_dropped_no_room"), 1u);
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(50));
}

TEST(NetDeviceTest, FrameThatWaitsForBuffersIsLostWithAReset) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(2, 100);
  machine.port().Arrive(Frame(1000));
  machine.Run();
  ASSERT_TRUE(machine.harness().Stop(machine.device()));
  EXPECT_EQ(machine.Counter("rx_dropped_no_room"), 1u);
  machine.Start();
  machine.OfferBuffers(8, 200);
  machine.port().Arrive(Frame(50));
  machine.Run();
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(50));
}

// Every sum of segments that can be held when a buffer is taken comes up.
TEST(NetDeviceTest, ADriverThatKeepsItsRingFullLosesNoFrame) {
  for (const int segments : {1, 3, 17}) {
    NetMachine machine(1, {.queue_size = 256});
    machine.Start();
    const auto fill = [&] {
      while (machine.rx().free_descriptors() >= segments) {
        auto chain = machine.rx().Chain();
        for (int i = 0; i < segments; ++i) chain.Writable(2000u / static_cast<uint32_t>(segments));
        chain.Offer();
      }
      machine.harness().Publish(kRx);
    };
    for (size_t i = 0; i < 3000; ++i) {
      fill();
      const Bytes frame = Frame(60 + i * 9973 % 20000);
      machine.port().Arrive(frame, TcpHeader());
      machine.Run();
      ASSERT_EQ(WithoutHeader(machine.TakeFrame()), frame) << i << " " << segments;
    }
    EXPECT_EQ(machine.Counter("rx_dropped_no_room"), 0u);
  }
}

TEST(NetDeviceTest, WithoutMergingAFrameHasOneBuffer) {
  NetMachine machine;
  machine.Start(kAllFeatures & ~FeatureBit(VIRTIO_NET_F_MRG_RXBUF));
  machine.OfferBuffers(10, 300);
  machine.port().Arrive(Frame(1000));
  machine.port().Arrive(Frame(288));
  machine.port().Arrive(Frame(289));
  machine.port().Arrive(Frame(100));
  machine.Run();
  const Bytes first = machine.TakeFrame();
  EXPECT_EQ(WithoutHeader(first), Frame(288));
  EXPECT_EQ(first[10], 1);
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(100));
  EXPECT_THAT(machine.TakeFrame(), IsEmpty());
  EXPECT_EQ(machine.Counter("rx_dropped_no_room"), 2u);
}

TEST(NetDeviceTest, TransmittedFrameIsTheDriversBytes) {
  NetMachine machine;
  machine.Start();
  machine.Transmit(Frame(1000));
  ASSERT_THAT(machine.port().sent, SizeIs(1));
  EXPECT_EQ(WithoutHeader(machine.port().sent[0]), Frame(1000));
  EXPECT_TRUE(machine.tx().PopUsed().has_value());
  EXPECT_EQ(machine.Counter("tx_frames"), 1u);
  EXPECT_EQ(machine.Counter("tx_bytes"), 1000u);
}

TEST(NetDeviceTest, HeaderMayBeInTheFramesBufferOrInPieces) {
  NetMachine machine;
  machine.Start();
  Bytes together(sizeof(NetHeader));
  const Bytes frame = Frame(200);
  together.insert(together.end(), frame.begin(), frame.end());
  machine.tx().Chain().Readable(together).Offer();
  auto pieces = machine.tx().Chain();
  for (size_t i = 0; i < 20; ++i) pieces.Readable(std::span(together).subspan(i, 1));
  pieces.Readable(std::span(together).subspan(20)).Offer();
  machine.harness().Publish(kTx);
  EXPECT_THAT(machine.port().sent, ElementsAre(together, together));
}

TEST(NetDeviceTest, ManyTransmittedFramesNeedOneInterrupt) {
  NetMachine machine(1, {.queue_size = 64, .event_idx = false});
  machine.Start();
  for (int i = 0; i < 30; ++i) {
    machine.tx().Chain().Readable(sizeof(NetHeader)).Readable(Frame(60)).Offer();
  }
  machine.harness().Publish(kTx);
  EXPECT_THAT(machine.port().sent, SizeIs(30));
  EXPECT_EQ(machine.Counter("interrupts"), 1u);
  EXPECT_EQ(machine.port().calls, 30u);
}

TEST(NetDeviceTest, FullPortDelaysFramesAndLosesNone) {
  NetMachine machine;
  machine.Start();
  machine.port().SetFull(true);
  for (int i = 0; i < 5; ++i) machine.Transmit(Frame(60 + i));
  EXPECT_FALSE(machine.tx().PopUsed().has_value());
  machine.port().SetFull(false);
  machine.Run();
  ASSERT_THAT(machine.port().sent, SizeIs(5));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(WithoutHeader(machine.port().sent[i]), Frame(60 + i));
}

TEST(NetDeviceTest, StopAndPauseDoNotWaitForAFullPort) {
  NetMachine machine;
  machine.Start();
  machine.port().SetFull(true);
  machine.Transmit(Frame(60));
  machine.Transmit(Frame(61));
  EXPECT_TRUE(machine.harness().Pause(machine.device()));
  machine.port().SetFull(false);
  machine.Run();
  EXPECT_THAT(machine.port().sent, IsEmpty());
  machine.device().Resume();
  machine.Run();
  ASSERT_THAT(machine.port().sent, SizeIs(2));
  EXPECT_EQ(WithoutHeader(machine.port().sent[0]), Frame(60));
  machine.port().SetFull(true);
  machine.Transmit(Frame(62));
  EXPECT_TRUE(machine.harness().StopQueue(machine.device(), kTx));
}

TEST(NetDeviceTest, FailingPortIsTriedAgainWithoutSpinning) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(10, 2000);
  const uint64_t calls = machine.port().calls;
  machine.port().receive_result = -EIO;
  machine.port().Signal(true);
  machine.Run();
  EXPECT_EQ(machine.port().calls, calls + 1);
  machine.harness().loop().AdvanceTime(std::chrono::seconds(1));
  EXPECT_LE(machine.port().calls, calls + 11);
  EXPECT_GE(machine.Counter("rx_dropped_host"), 9u);
  machine.port().receive_result = 0;
  machine.port().Arrive(Frame(77));
  machine.harness().loop().AdvanceTime(std::chrono::seconds(1));
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(77));
}

TEST(NetDeviceTest, FramesThatTheHostRefusesAreDroppedAndCounted) {
  NetMachine machine;
  machine.Start();
  machine.port().send_result = -EIO;
  machine.Transmit(Frame(60));
  EXPECT_TRUE(machine.tx().PopUsed().has_value());
  EXPECT_EQ(machine.Counter("tx_dropped_host"), 1u);
  EXPECT_EQ(machine.Counter("tx_frames"), 0u);
}

TEST(NetDeviceTest, PauseGivesBuffersBackAndResumeUsesThem) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(10, 2000);
  machine.port().Arrive(Frame(60));
  machine.Run();
  EXPECT_TRUE(machine.harness().Pause(machine.device()));
  machine.port().Arrive(Frame(61));
  machine.Run();
  EXPECT_EQ(machine.port().waiting(), 1u);
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60));
  EXPECT_THAT(machine.TakeFrame(), IsEmpty());
  machine.device().Resume();
  machine.Run();
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(61));
}

TEST(NetDeviceTest, ResetStartsAfresh) {
  NetMachine machine;
  for (int i = 0; i < 5; ++i) {
    machine.Start();
    machine.OfferBuffers(3, 2000);
    machine.port().Arrive(Frame(60));
    machine.Transmit(Frame(70));
    EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60));
    ASSERT_TRUE(machine.harness().Stop(machine.device()));
  }
  EXPECT_THAT(machine.port().sent, SizeIs(5));
  machine.Start();
}

TEST(NetDeviceTest, LinkDownDropsFramesOfBothDirections) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(3, 2000);
  machine.device().SetLink(NetDevice::LinkSource::kUser, false);
  machine.port().Arrive(Frame(60));
  machine.Transmit(Frame(60));
  machine.Run();
  EXPECT_THAT(machine.TakeFrame(), IsEmpty());
  EXPECT_THAT(machine.port().sent, IsEmpty());
  EXPECT_EQ(machine.Counter("rx_dropped_link_down"), 1u);
  EXPECT_EQ(machine.Counter("tx_dropped_link_down"), 1u);
  EXPECT_EQ(machine.harness().notifier().config_features, FeatureBit(VIRTIO_NET_F_STATUS));
  machine.device().SetLink(NetDevice::LinkSource::kUser, true);
  machine.port().Arrive(Frame(61));
  machine.Run();
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(61));
}

TEST(NetDeviceTest, LinkIsUpWhenNeitherTheUserNorThePortSaysOtherwise) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(3, 2000);
  const auto arrives = [&machine] {
    machine.port().Arrive(Frame(60));
    machine.Run();
    return !machine.TakeFrame().empty();
  };
  using Source = NetDevice::LinkSource;
  machine.device().SetLink(Source::kUser, false);
  machine.device().SetLink(Source::kPort, false);
  machine.device().SetLink(Source::kPort, true);
  EXPECT_FALSE(arrives());
  machine.device().SetLink(Source::kUser, true);
  EXPECT_TRUE(arrives());
  machine.device().SetLink(Source::kPort, false);
  machine.device().SetLink(Source::kUser, true);
  EXPECT_FALSE(arrives());
  machine.device().SetLink(Source::kPort, true);
  EXPECT_TRUE(arrives());
}

TEST(NetDeviceTest, OffloadsOfTheHostAreThoseOfTheDriver) {
  NetMachine machine;
  machine.Start(FeatureBit(VIRTIO_NET_F_GUEST_CSUM) | FeatureBit(VIRTIO_NET_F_GUEST_TSO4));
  EXPECT_EQ(machine.port().offloads, uint32_t{TUN_F_CSUM | TUN_F_TSO4});
  ASSERT_TRUE(machine.harness().Stop(machine.device()));
  // Linux refuses TSO without a checksum, and ECN without TSO.
  machine.Start(FeatureBit(VIRTIO_NET_F_GUEST_TSO4));
  EXPECT_EQ(machine.port().offloads, 0u);
  ASSERT_TRUE(machine.harness().Stop(machine.device()));
  machine.Start(FeatureBit(VIRTIO_NET_F_GUEST_CSUM) | FeatureBit(VIRTIO_NET_F_GUEST_ECN));
  EXPECT_EQ(machine.port().offloads, uint32_t{TUN_F_CSUM});
}

TEST(NetDeviceTest, FrameOfAnEarlierDriversOffloadsIsDropped) {
  NetMachine machine;
  machine.Start(FeatureBit(VIRTIO_NET_F_MRG_RXBUF) | FeatureBit(VIRTIO_NET_F_GUEST_CSUM));
  machine.OfferBuffers(30, 2000);
  NetHeader header;
  header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
  header.gso_size = 1448;
  machine.port().Arrive(Frame(3000), header);
  machine.port().Arrive(Frame(60));
  machine.Run();
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(60));
  EXPECT_EQ(machine.Counter("rx_dropped_malformed"), 1u);
}

TEST(NetDeviceTest, EachPairHasItsOwnPort) {
  NetMachine machine(2);
  EXPECT_FALSE(machine.port(1).active);
  machine.Start();
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, {2, 0}, 4), 0);
  EXPECT_TRUE(machine.port(1).active);
  FakeDriver& tx1 = machine.harness().driver(3);
  tx1.Chain().Readable(sizeof(NetHeader)).Readable(Frame(99)).Offer();
  machine.harness().Publish(3);
  EXPECT_THAT(machine.port(0).sent, IsEmpty());
  ASSERT_THAT(machine.port(1).sent, SizeIs(1));
  machine.harness().driver(2).Chain().Writable(500).Offer();
  machine.harness().Publish(2);
  machine.port(1).Arrive(Frame(123));
  machine.Run();
  EXPECT_EQ(machine.harness().driver(2).PopUsed()->len, sizeof(NetHeader) + 123);
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, {1, 0}, 4), 0);
  EXPECT_FALSE(machine.port(1).active);
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, {3, 0}, 4), 1);
}

}  // namespace
}  // namespace virtio
