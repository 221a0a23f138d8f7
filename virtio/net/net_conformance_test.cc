// Tests of the network device, named after the clauses of VIRTIO 1.2 that they check.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "virtio/net/testing/net_fixtures.h"

namespace virtio {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr net::MacAddress kOther = {0x02, 0, 0x5e, 0, 0, 2};
constexpr net::MacAddress kGroup = {0x01, 0, 0x5e, 0, 0, 3};
constexpr net::MacAddress kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

template <typename T>
T Config(NetDevice& device, uint32_t offset) {
  T value = {};
  device.ReadConfig(offset, base::WritableBytesOf(value));
  return value;
}
uint16_t Status(NetDevice& device) {
  return Config<base::Le16>(device, offsetof(NetConfigSpace, status)).value();
}

// A table of addresses as the driver writes it.
void AppendTable(Bytes& to, const std::vector<net::MacAddress>& macs) {
  const auto count = static_cast<uint8_t>(macs.size());
  to.insert(to.end(), {count, 0, 0, 0});
  for (const net::MacAddress& mac : macs) to.insert(to.end(), mac.begin(), mac.end());
}

// Returns whether a frame to `to` reaches the driver.
bool Reaches(NetMachine& machine, const net::MacAddress& to, uint16_t vlan = 0) {
  machine.OfferBuffers(1, 2000);
  Bytes frame = Frame(64, to);
  if (vlan != 0) {
    frame[12] = 0x81;
    frame[13] = 0x00;
    frame[14] = static_cast<uint8_t>(vlan >> 8);
    frame[15] = static_cast<uint8_t>(vlan);
  }
  machine.port().Arrive(frame);
  machine.Run();
  const Bytes received = machine.TakeFrame();
  return !received.empty() && WithoutHeader(received) == frame;
}

TEST(NetConformanceTest, Net_2_2_2_OnlyWhatIsSupportedIsOffered) {
  NetMachine machine;
  const uint64_t features = machine.device().features();
  EXPECT_EQ(features & FeatureBit(VIRTIO_NET_F_MQ), 0u);
  EXPECT_EQ(features & FeatureBit(VIRTIO_NET_F_RSS), 0u);
  EXPECT_EQ(features & FeatureBit(VIRTIO_NET_F_HASH_REPORT), 0u);
  EXPECT_EQ(features & FeatureBit(VIRTIO_NET_F_STANDBY), 0u);
  EXPECT_EQ(features & FeatureBit(VIRTIO_NET_F_RSC_EXT), 0u);
  EXPECT_NE(features & FeatureBit(VIRTIO_NET_F_CTRL_VQ), 0u);
}

TEST(NetConformanceTest, Net_5_1_1_DeviceIdIs1) {
  NetMachine machine;
  EXPECT_EQ(machine.device().type(), VIRTIO_ID_NET);
}

TEST(NetConformanceTest, Net_5_1_2_QueuesArePairsAndThenControl) {
  NetMachine one(1), three(3);
  EXPECT_THAT(one.device().queue_sizes(), SizeIs(3));
  EXPECT_THAT(three.device().queue_sizes(), SizeIs(7));
}

// "controlq: 2N if VIRTIO_NET_F_MQ is negotiated, else 2."
TEST(NetConformanceTest, Net_5_1_2_ControlQueueIsBehindTheFirstPairWithoutMq) {
  NetMachine machine(2);
  machine.Start(kAllFeatures & ~FeatureBit(VIRTIO_NET_F_MQ));
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, {0}, 2), 0);
  ASSERT_TRUE(machine.harness().Stop(machine.device()));
  machine.Start();
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, {0}, 4), 0);
}

// Each feature of §5.1.3.1 with what it requires.
TEST(NetConformanceTest, Net_5_1_3_1_OfferedFeaturesHaveWhatTheyRequire) {
  const std::vector<std::pair<unsigned, std::vector<unsigned>>> required = {
      {VIRTIO_NET_F_GUEST_TSO4, {VIRTIO_NET_F_GUEST_CSUM}},
      {VIRTIO_NET_F_GUEST_TSO6, {VIRTIO_NET_F_GUEST_CSUM}},
      {VIRTIO_NET_F_GUEST_ECN, {VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6}},
      {VIRTIO_NET_F_GUEST_UFO, {VIRTIO_NET_F_GUEST_CSUM}},
      {VIRTIO_NET_F_HOST_TSO4, {VIRTIO_NET_F_CSUM}},
      {VIRTIO_NET_F_HOST_TSO6, {VIRTIO_NET_F_CSUM}},
      {VIRTIO_NET_F_HOST_ECN, {VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6}},
      {VIRTIO_NET_F_HOST_UFO, {VIRTIO_NET_F_CSUM}},
      {VIRTIO_NET_F_CTRL_RX, {VIRTIO_NET_F_CTRL_VQ}},
      {VIRTIO_NET_F_CTRL_VLAN, {VIRTIO_NET_F_CTRL_VQ}},
      {VIRTIO_NET_F_GUEST_ANNOUNCE, {VIRTIO_NET_F_CTRL_VQ}},
      {VIRTIO_NET_F_MQ, {VIRTIO_NET_F_CTRL_VQ}},
      {VIRTIO_NET_F_CTRL_MAC_ADDR, {VIRTIO_NET_F_CTRL_VQ}},
  };
  for (const bool offloads : {false, true}) {
    NetMachine machine(2, {.queue_size = 64}, {.id = {}, .has_offloads = offloads});
    const uint64_t features = machine.device().features();
    for (const auto& [feature, needs] : required) {
      if ((features & FeatureBit(feature)) == 0) continue;
      for (const unsigned need : needs) EXPECT_NE(features & FeatureBit(need), 0u) << feature;
    }
  }
}

TEST(NetConformanceTest, Net_5_1_4_ConfigurationHasMacStatusPairsAndMtu) {
  NetMachine machine(2, {.queue_size = 64}, {.id = {}, .mtu = 9000});
  EXPECT_EQ(Config<net::MacAddress>(machine.device(), 0), kMac);
  EXPECT_EQ(Status(machine.device()), VIRTIO_NET_S_LINK_UP);
  EXPECT_EQ(Config<base::Le16>(machine.device(), 8).value(), 2);
  EXPECT_EQ(Config<base::Le16>(machine.device(), 10).value(), 9000);
}

// "The device MUST set max_virtqueue_pairs to between 1 and 0x8000 inclusive, if it offers MQ."
TEST(NetConformanceTest, Net_5_1_4_1_PairsAreInRange) {
  NetMachine machine(3);
  EXPECT_EQ(Config<base::Le16>(machine.device(), 8).value(), 3);
}

// "The device MUST set mtu to between 68 and 65535 inclusive, if it offers VIRTIO_NET_F_MTU" and
// "SHOULD NOT modify mtu once it has been set".
TEST(NetConformanceTest, Net_5_1_4_1_MtuIsOfferedAndStays) {
  NetMachine machine;
  machine.Start();
  EXPECT_NE(machine.device().features() & FeatureBit(VIRTIO_NET_F_MTU), 0u);
  machine.device().SetLink(NetDevice::LinkSource::kUser, false);
  EXPECT_EQ(Config<base::Le16>(machine.device(), 10).value(), 1500);
}

// "The device MUST NOT pass received packets that exceed mtu (plus low level ethernet header
// length) size with gso_type NONE or ECN after VIRTIO_NET_F_MTU has been successfully negotiated."
TEST(NetConformanceTest, Net_5_1_4_1_FramesAboveTheMtuAreNotPassedOn) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(8, 4096);
  machine.port().Arrive(Frame(1500 + 14 + 4 + 1));
  machine.port().Arrive(Frame(1500 + 14));
  machine.Run();
  EXPECT_EQ(WithoutHeader(machine.TakeFrame()), Frame(1514));
  EXPECT_THAT(machine.TakeFrame(), IsEmpty());
  EXPECT_EQ(machine.Counter("rx_dropped_too_long"), 1u);
}

// "If the driver negotiates the VIRTIO_NET_F_STATUS feature, ... LINK_UP".
TEST(NetConformanceTest, Net_5_1_4_1_StatusFollowsTheLink) {
  NetMachine machine;
  machine.Start();
  machine.device().SetLink(NetDevice::LinkSource::kUser, false);
  EXPECT_EQ(Status(machine.device()), 0);
  machine.device().SetLink(NetDevice::LinkSource::kUser, true);
  EXPECT_EQ(Status(machine.device()), VIRTIO_NET_S_LINK_UP);
  EXPECT_EQ(machine.harness().notifier().config_changes, 2u);
}

// "The device MUST forward transmitted packets of up to mtu (plus low level ethernet header length)
// size with gso_type NONE or ECN, and do so without fragmentation".
TEST(NetConformanceTest, Net_5_1_4_1_FramesOfTheMtuAreSentWhole) {
  NetMachine machine;
  machine.Start();
  machine.Transmit(Frame(1514));
  ASSERT_THAT(machine.port().sent, SizeIs(1));
  EXPECT_EQ(WithoutHeader(machine.port().sent[0]), Frame(1514));
}

// "The device MUST ignore flag bits that it does not recognize."
TEST(NetConformanceTest, Net_5_1_6_2_2_UnknownFlagsAreIgnored) {
  NetMachine machine;
  machine.Start();
  NetHeader header;
  header.flags = static_cast<uint8_t>(~VIRTIO_NET_HDR_F_NEEDS_CSUM);
  machine.Transmit(Frame(60), header);
  ASSERT_THAT(machine.port().sent, SizeIs(1));
  EXPECT_EQ(machine.port().sent[0][0], 0);
}

// "If NEEDS_CSUM is not set, the device MUST NOT use the csum_start and csum_offset."
TEST(NetConformanceTest, Net_5_1_6_2_2_ChecksumFieldsCountOnlyWithTheFlag) {
  NetMachine machine;
  machine.Start();
  NetHeader header;
  header.checksum_start = 0xffff;
  header.checksum_offset = 0xffff;
  machine.Transmit(Frame(60), header);
  EXPECT_THAT(machine.port().sent, SizeIs(1));
}

// "The device MUST NOT rely on hdr_len to be correct."
TEST(NetConformanceTest, Net_5_1_6_2_2_HeaderLengthIsOnlyAHint) {
  NetMachine machine;
  machine.Start();
  for (const int length : {0, 1, 60, 61, 0xffff}) {
    NetHeader header;
    header.header_length = static_cast<uint16_t>(length);
    machine.Transmit(Frame(60), header);
  }
  EXPECT_THAT(machine.port().sent, SizeIs(5));
}

// "The device MUST use all buffers but the last completely, up to the full length".
TEST(NetConformanceTest, Net_5_1_6_4_1_AllBuffersButTheLastAreFull) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(8, 100);
  machine.port().Arrive(Frame(348));
  machine.Run();
  for (const uint32_t length : {100u, 100u, 100u, 60u}) {
    EXPECT_EQ(machine.rx().PopUsed()->len, length);
  }
}

// "If gso_type differs from NONE, the device MUST also set NEEDS_CSUM and gso_size".
TEST(NetConformanceTest, Net_5_1_6_4_1_SegmentedFramesHaveAChecksumAndASize) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(8, 4000);
  NetHeader header;
  header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
  header.gso_size = 1448;
  machine.port().Arrive(Frame(3000), header);  // no NEEDS_CSUM
  header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  header.gso_size = 0;
  machine.port().Arrive(Frame(3000), header);
  machine.Run();
  EXPECT_THAT(machine.TakeFrame(), IsEmpty());
  EXPECT_EQ(machine.Counter("rx_dropped_malformed"), 2u);
}

TEST(NetConformanceTest, Net_5_1_6_5_2_1_TablesAreEmptyAfterReset) {
  NetMachine machine;
  machine.Start();
  Bytes tables;
  AppendTable(tables, {kOther});
  AppendTable(tables, {});
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables), 0);
  ASSERT_TRUE(machine.harness().Stop(machine.device()));
  machine.Start();
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, {0}), 0);
  EXPECT_FALSE(Reaches(machine, kOther));
}

// "If VIRTIO_NET_F_MRG_RXBUF has not been negotiated, the device MUST use the full buffer:
// num_buffers is always set to 1", and with it the number of buffers that the frame takes.
TEST(NetConformanceTest, Net_5_1_6_4_1_NumBuffersIsTheNumberOfUsedBuffers) {
  for (const bool merge : {true, false}) {
    NetMachine machine;
    machine.Start(merge ? kAllFeatures : kAllFeatures & ~FeatureBit(VIRTIO_NET_F_MRG_RXBUF));
    machine.OfferBuffers(8, merge ? 100 : 1000);
    machine.port().Arrive(Frame(388));
    machine.Run();
    const Bytes received = machine.TakeFrame();
    ASSERT_THAT(received, SizeIs(400));
    EXPECT_EQ(received[10] | received[11] << 8, merge ? 4 : 1);
  }
}

// "The device MUST use all buffers used by a single receive packet together", in one publication.
TEST(NetConformanceTest, Net_5_1_6_4_1_BuffersOfAFrameAreUsedTogether) {
  NetMachine machine;
  machine.Start();
  machine.OfferBuffers(8, 100);
  machine.port().Arrive(Frame(388));
  machine.Run();
  EXPECT_EQ(machine.rx().UsedIndex(), 4);
}

// "If none of the GUEST_TSO4, TSO6 or UFO options have been negotiated, the device MUST set
// gso_type to GSO_NONE"; "if GUEST_CSUM is not negotiated, the device MUST set flags to zero".
TEST(NetConformanceTest, Net_5_1_6_4_1_HeaderAsksForNothingThatWasNotNegotiated) {
  NetMachine machine;
  machine.Start(FeatureBit(VIRTIO_NET_F_MRG_RXBUF));
  EXPECT_EQ(machine.port().offloads, 0u);
  machine.OfferBuffers(8, 2000);
  NetHeader valid;
  valid.flags = VIRTIO_NET_HDR_F_DATA_VALID;
  machine.port().Arrive(Frame(60), valid);
  machine.Run();
  const Bytes received = machine.TakeFrame();
  ASSERT_THAT(received, SizeIs(72));
  EXPECT_EQ(received[0], 0);
  EXPECT_EQ(received[1], VIRTIO_NET_HDR_GSO_NONE);
}

TEST(NetConformanceTest, Net_5_1_6_5_1_ReceiveModes) {
  NetMachine machine;
  machine.Start();
  EXPECT_TRUE(Reaches(machine, kOther));  // until the driver says something else
  const auto mode = [&](uint8_t command, uint8_t on) {
    EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_RX, command, {on}), 0);
  };
  mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
  EXPECT_FALSE(Reaches(machine, kOther));
  EXPECT_TRUE(Reaches(machine, kMac));
  EXPECT_TRUE(Reaches(machine, kBroadcast));
  EXPECT_FALSE(Reaches(machine, kGroup));
  mode(VIRTIO_NET_CTRL_RX_ALLMULTI, 1);
  EXPECT_TRUE(Reaches(machine, kGroup));
  mode(VIRTIO_NET_CTRL_RX_NOMULTI, 1);
  EXPECT_FALSE(Reaches(machine, kGroup));
  mode(VIRTIO_NET_CTRL_RX_ALLUNI, 1);
  EXPECT_TRUE(Reaches(machine, kOther));
  mode(VIRTIO_NET_CTRL_RX_NOUNI, 1);
  EXPECT_FALSE(Reaches(machine, kMac));
  mode(VIRTIO_NET_CTRL_RX_NOBCAST, 1);
  EXPECT_FALSE(Reaches(machine, kBroadcast));
  mode(VIRTIO_NET_CTRL_RX_PROMISC, 1);
  EXPECT_TRUE(Reaches(machine, kBroadcast));
}

TEST(NetConformanceTest, Net_5_1_6_5_2_MacTablesAndAddress) {
  NetMachine machine;
  machine.Start();
  ASSERT_EQ(machine.Command(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, {0}), 0);
  Bytes tables;
  AppendTable(tables, {kOther});
  AppendTable(tables, {kGroup});
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables), 0);
  EXPECT_TRUE(Reaches(machine, kOther));
  EXPECT_TRUE(Reaches(machine, kGroup));
  const net::MacAddress mine = {0x02, 1, 2, 3, 4, 5};
  EXPECT_FALSE(Reaches(machine, mine));
  const Bytes mac(mine.begin(), mine.end());
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac), 0);
  EXPECT_TRUE(Reaches(machine, mine));
  EXPECT_FALSE(Reaches(machine, kMac));
  EXPECT_EQ(Config<net::MacAddress>(machine.device(), 0), mine);
}

// "The device MUST ... after reset, the MAC address ... " is the one that it had at first.
TEST(NetConformanceTest, Net_5_1_6_5_2_1_ResetBringsTheAddressBack) {
  NetMachine machine;
  machine.Start();
  const Bytes mac = {0x02, 1, 2, 3, 4, 5};
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac), 0);
  ASSERT_TRUE(machine.harness().Stop(machine.device()));
  EXPECT_EQ(Config<net::MacAddress>(machine.device(), 0), kMac);
  machine.Start();
}

TEST(NetConformanceTest, Net_5_1_6_5_3_VlansPassIfAdded) {
  NetMachine machine;
  machine.Start();
  EXPECT_FALSE(Reaches(machine, kMac, 5));
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, {5, 0}), 0);
  EXPECT_TRUE(Reaches(machine, kMac, 5));
  EXPECT_FALSE(Reaches(machine, kMac, 6));
  EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, {5, 0}), 0);
  EXPECT_FALSE(Reaches(machine, kMac, 5));
  EXPECT_TRUE(Reaches(machine, kMac));
}

TEST(NetConformanceTest, Net_5_1_6_5_3_VlansPassWithoutTheFeature) {
  NetMachine machine;
  machine.Start(kAllFeatures & ~FeatureBit(VIRTIO_NET_F_CTRL_VLAN));
  EXPECT_TRUE(Reaches(machine, kMac, 5));
}

// "If the driver ... ANNOUNCE_ACK, the device MUST clear the VIRTIO_NET_S_ANNOUNCE bit".
TEST(NetConformanceTest, Net_5_1_6_5_4_2_AnnounceIsClearedWhenAcknowledged) {
  NetMachine machine;
  machine.Start();
  machine.device().Announce();
  EXPECT_EQ(Status(machine.device()), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
  EXPECT_EQ(machine.harness().notifier().config_features,
            FeatureBit(VIRTIO_NET_F_STATUS) | FeatureBit(VIRTIO_NET_F_GUEST_ANNOUNCE));
  const auto acknowledge = [&machine] {
    EXPECT_EQ(machine.Command(VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, {}), 0);
  };
  // The next request follows when the driver has seen the end of the one before.
  const auto changes = machine.harness().notifier().config_changes;
  for (int i = 1; i < NetDevice::kAnnouncements; ++i) acknowledge();
  const auto now = machine.harness().notifier().config_changes;
  EXPECT_EQ(now, changes + 2 * (NetDevice::kAnnouncements - 1)) << "cleared and set each time";
  EXPECT_EQ(Status(machine.device()), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
  for (int i = 0; i < 3; ++i) acknowledge();
  EXPECT_EQ(Status(machine.device()), VIRTIO_NET_S_LINK_UP);
  EXPECT_EQ(machine.harness().notifier().config_changes, now + 3) << "only cleared";
}

// "The device MUST queue packets only on any receiveq1 before VQ_PAIRS_SET" and "MUST NOT queue
// packets on receive queues greater than virtqueue_pairs once it has placed the command as used".
TEST(NetConformanceTest, Net_5_1_6_5_6_2_OnlyChosenPairsReceive) {
  NetMachine machine(2);
  machine.Start();
  EXPECT_FALSE(machine.port(1).active);
  ASSERT_EQ(machine.Command(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, {2, 0}, 4), 0);
  EXPECT_TRUE(machine.port(1).active);
  ASSERT_TRUE(machine.harness().Stop(machine.device()));
  machine.Run();
  EXPECT_FALSE(machine.port(1).active);
  machine.Start();
}

TEST(NetConformanceTest, Net_5_1_6_5_8_OffloadsAreSwitched) {
  NetMachine machine;
  machine.Start();
  Bytes set(8);
  set[0] = 1 << VIRTIO_NET_F_GUEST_CSUM;
  EXPECT_EQ(
      machine.Command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, set), 0);
  EXPECT_EQ(machine.port().offloads, uint32_t{TUN_F_CSUM});
  machine.port().offloads_result = -EINVAL;
  EXPECT_EQ(
      machine.Command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, set), 1);
}

// "The device MUST NOT ... offloads that were not negotiated".
TEST(NetConformanceTest, Net_5_1_6_5_8_OffloadsThatWereNotNegotiatedAreRefused) {
  NetMachine machine;
  machine.Start(FeatureBit(VIRTIO_NET_F_CTRL_VQ) | FeatureBit(VIRTIO_NET_F_GUEST_CSUM) |
                FeatureBit(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
  Bytes set(8);
  set[0] = 1 << VIRTIO_NET_F_GUEST_TSO4;
  EXPECT_EQ(
      machine.Command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, set), 1);
}

}  // namespace
}  // namespace virtio
