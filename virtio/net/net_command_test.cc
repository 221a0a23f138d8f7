// Tests of the parsers of commands and headers, and of the filter.

#include "virtio/net/net_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include "virtio/net/net_header.h"
#include "virtio/net/testing/net_fixtures.h"

namespace virtio {
namespace {

NetHeader Header(uint8_t flags, uint8_t gso_type, uint16_t gso_size = 1448, uint16_t start = 34,
                 uint16_t offset = 16) {
  NetHeader header;
  header.flags = flags;
  header.gso_type = gso_type;
  header.gso_size = gso_size;
  header.checksum_start = start;
  header.checksum_offset = offset;
  header.header_length = 54;
  return header;
}
NetHeaderError Check(NetHeader header, uint32_t bytes = 1514, uint64_t features = kAllFeatures) {
  return CheckNetHeader(header, bytes, features);
}
constexpr uint8_t kCsum = VIRTIO_NET_HDR_F_NEEDS_CSUM;

TEST(NetHeaderTest, WellFormedHeadersPass) {
  EXPECT_EQ(Check(Header(0, VIRTIO_NET_HDR_GSO_NONE)), NetHeaderError::kNone);
  EXPECT_EQ(Check(Header(kCsum, VIRTIO_NET_HDR_GSO_NONE)), NetHeaderError::kNone);
  for (const int type : {VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_UDP,
                         int{kNetGsoUdpL4}, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN}) {
    EXPECT_EQ(Check(Header(kCsum, static_cast<uint8_t>(type))), NetHeaderError::kNone) << type;
  }
}

TEST(NetHeaderTest, LengthsOutOfRangeAreRefused) {
  const NetHeader plain = Header(0, VIRTIO_NET_HDR_GSO_NONE);
  EXPECT_EQ(Check(plain, 0), NetHeaderError::kTooShort);
  EXPECT_EQ(Check(plain, 13), NetHeaderError::kTooShort);
  EXPECT_EQ(Check(plain, 14), NetHeaderError::kNone);
  EXPECT_EQ(Check(plain, net::kMaxFrameBytes), NetHeaderError::kNone);
  EXPECT_EQ(Check(plain, net::kMaxFrameBytes + 1), NetHeaderError::kTooLong);
  EXPECT_EQ(Check(plain, UINT32_MAX), NetHeaderError::kTooLong);
}

TEST(NetHeaderTest, ChecksumLiesInTheFrame) {
  EXPECT_EQ(Check(Header(kCsum, 0, 0, 34, 64), 100), NetHeaderError::kNone);
  EXPECT_EQ(Check(Header(kCsum, 0, 0, 34, 65), 100), NetHeaderError::kChecksumOutside);
  EXPECT_EQ(Check(Header(kCsum, 0, 0, 0xffff, 0xffff), 100), NetHeaderError::kChecksumOutside);
  EXPECT_EQ(Check(Header(0, 0, 0, 0xffff, 0xffff), 100), NetHeaderError::kNone);
}

TEST(NetHeaderTest, WhatIsNotDefinedOrNegotiatedIsRefused) {
  for (const int type : {2, 6, 7, 0x7f, 0x80, 0xff}) {
    EXPECT_EQ(Check(Header(kCsum, static_cast<uint8_t>(type))), NetHeaderError::kNotNegotiated);
  }
  const auto without = [](unsigned feature) { return kAllFeatures & ~FeatureBit(feature); };
  EXPECT_EQ(Check(Header(kCsum, 0), 1514, without(VIRTIO_NET_F_CSUM)),
            NetHeaderError::kNotNegotiated);
  EXPECT_EQ(Check(Header(kCsum, VIRTIO_NET_HDR_GSO_TCPV4), 1514, without(VIRTIO_NET_F_HOST_TSO4)),
            NetHeaderError::kNotNegotiated);
  EXPECT_EQ(Check(Header(kCsum, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN), 1514,
                  without(VIRTIO_NET_F_HOST_ECN)),
            NetHeaderError::kNotNegotiated);
}

TEST(NetHeaderTest, SegmentationNeedsASizeAndAChecksum) {
  EXPECT_EQ(Check(Header(kCsum, VIRTIO_NET_HDR_GSO_TCPV4, 0)), NetHeaderError::kBadSegmentation);
  EXPECT_EQ(Check(Header(0, VIRTIO_NET_HDR_GSO_TCPV4)), NetHeaderError::kBadSegmentation);
}

TEST(NetHeaderTest, HeaderLengthIsCutToTheFrame) {
  NetHeader header = Header(0, 0);
  header.header_length = 0xffff;
  EXPECT_EQ(CheckNetHeader(header, 60, kAllFeatures), NetHeaderError::kNone);
  EXPECT_EQ(header.header_length.value(), 60);
}

// Gives the device a command and returns its answer.
class NetCommandTest : public ::testing::Test {
 protected:
  NetCommandTest() { machine_.Start(); }
  int Give(uint8_t command_class, uint8_t command, const Bytes& data) {
    return machine_.Command(command_class, command, data);
  }
  NetMachine machine_;
};

TEST_F(NetCommandTest, UnknownCommandsAreRefused) {
  for (int c = 0; c < 256; ++c) {
    EXPECT_EQ(Give(static_cast<uint8_t>(c), 200, Bytes(16)), VIRTIO_NET_ERR) << c;
    if (c > VIRTIO_NET_CTRL_GUEST_OFFLOADS) {
      EXPECT_EQ(Give(static_cast<uint8_t>(c), 0, Bytes(16)), VIRTIO_NET_ERR) << c;
    }
  }
  EXPECT_EQ(machine_.Counter("commands_refused"), 256u + 250u);
}

TEST_F(NetCommandTest, ShortCommandsAreRefused) {
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, {}), VIRTIO_NET_ERR);
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, Bytes(5)), VIRTIO_NET_ERR);
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, {1}), VIRTIO_NET_ERR);
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, Bytes(7)), VIRTIO_NET_ERR);
  machine_.harness().driver(kControl).Chain().Readable(1).Writable(1).Offer();
  machine_.harness().Publish(kControl);
  EXPECT_EQ(machine_.harness().driver(kControl).PopUsed()->len, 1u);
}

TEST_F(NetCommandTest, ValuesOutOfRangeAreRefused) {
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, {0x00, 0x10}), VIRTIO_NET_ERR);
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, {1, 0, 0, 0, 0, 0}),
            VIRTIO_NET_ERR);
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, {0, 0}), VIRTIO_NET_ERR);
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, {0xff, 0xff}),
            VIRTIO_NET_ERR);
}

TEST_F(NetCommandTest, TableThatClaimsMoreThanThereIsIsRefused) {
  for (const Bytes& table : {Bytes{0xff, 0xff, 0xff, 0xff}, Bytes{1, 0, 0, 0, 2, 0, 0, 0, 0},
                             Bytes{0, 0, 0, 0}, Bytes{0, 0, 0, 0, 1, 0, 0, 0}}) {
    EXPECT_EQ(Give(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table), VIRTIO_NET_ERR);
  }
}

TEST_F(NetCommandTest, TableThatIsTooLongForTheFilterLetsEverythingPass) {
  Bytes tables = {100, 0, 0, 0};
  tables.resize(4 + 600 + 4, 2);
  std::fill_n(tables.begin() + 604, 4, 0);
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, {0}), 0);
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables), 0);
  machine_.OfferBuffers(1, 2000);
  machine_.port().Arrive(Frame(60, {0x02, 9, 9, 9, 9, 9}));
  machine_.Run();
  EXPECT_FALSE(machine_.TakeFrame().empty());
}

TEST_F(NetCommandTest, OverlongCommandIsRefusedUnread) {
  EXPECT_EQ(Give(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, Bytes(kMaxNetCommandBytes)),
            VIRTIO_NET_ERR);
}

}  // namespace
}  // namespace virtio
