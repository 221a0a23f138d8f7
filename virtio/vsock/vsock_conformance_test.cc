// Tests named after the clauses of VIRTIO 1.2 that they check (tests/conformance_clauses.txt).

#include <gtest/gtest.h>
#include <linux/virtio_ids.h>

#include <initializer_list>
#include <string>

#include "virtio/queue/split_queue.h"
#include "virtio/vsock/testing/vsock_fixtures.h"

namespace virtio {
namespace {

class VsockConformanceTest : public VsockTest {};

TEST_F(VsockConformanceTest, Vsock_2_2_2_OnlyWhatIsSupportedIsOffered) {
  EXPECT_EQ(device_->features() & 0xffffff, FeatureBit(0));  // stream sockets, and no others
}

TEST_F(VsockConformanceTest, Vsock_5_10_1_DeviceIdIs19) {
  EXPECT_EQ(device_->type(), VIRTIO_ID_VSOCK);
  EXPECT_EQ(VIRTIO_ID_VSOCK, 19);
}

TEST_F(VsockConformanceTest, Vsock_5_10_2_QueuesAreReceiveTransmitAndEvent) {
  EXPECT_EQ(device_->queue_sizes().size(), 3u);
  EXPECT_EQ(kRx, 0);
  EXPECT_EQ(kTx, 1);
  EXPECT_EQ(VsockEventQueue::kIndex, 2);
}

TEST_F(VsockConformanceTest, Vsock_5_10_4_UpperHalfOfTheAddressIsZero) {
  base::Le64 cid;
  device_->ReadConfig(0, base::WritableBytesOf(cid));
  EXPECT_EQ(cid.value() >> 32, 0u);
  EXPECT_EQ(cid.value(), kGuestCid);
}

TEST_F(VsockConformanceTest, Vsock_5_10_6_1_2_TransmitIsServedWhileReceiveIsFull) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  // No buffer is offered from here on.
  for (uint32_t i = 0; i < 20; ++i) Send(Header(VIRTIO_VSOCK_OP_RW, 800 + i, 1));
  Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), BytesOf("still served"));
  EXPECT_EQ(Read(host), "still served");
}

TEST_F(VsockConformanceTest, Vsock_5_10_6_3_2_DataAreSentWithinTheCreditOnly) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  Write(host, std::string(kCredit + 1, 'x'));
  size_t got = 0;
  while (const auto packet = Take()) got += packet->data.size();
  EXPECT_EQ(got, kCredit);
}

TEST_F(VsockConformanceTest, Vsock_5_10_6_3_2_EveryPacketHasTheCredit) {
  base::UnixListener listener = Listen(1024);
  Send(Header(VIRTIO_VSOCK_OP_REQUEST, 700, 1024));
  const auto response = Take();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->header.buffer_bytes.value(), VsockConnection::kBufferBytes);
  EXPECT_EQ(response->header.forwarded.value(), 0u);
  const base::UniqueFd host(accept(listener.fd(), nullptr, nullptr));
  Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), Bytes(1000));
  Write(host, "x");
  EXPECT_EQ(Take()->header.forwarded.value(), 1000u);
  Send(Header(VIRTIO_VSOCK_OP_CREDIT_REQUEST, 700, 1024));
  EXPECT_EQ(Take()->header.buffer_bytes.value(), VsockConnection::kBufferBytes);
}

TEST_F(VsockConformanceTest, Vsock_5_10_6_4_2_UnknownTypeIsReset) {
  for (const uint16_t type : std::initializer_list<uint16_t>{0, 2, 3, 0xffff}) {
    VsockHeader header = Header(VIRTIO_VSOCK_OP_REQUEST, 1, 1024);
    header.type = type;
    Send(header);
    const auto answer = Take();
    ASSERT_TRUE(answer.has_value()) << type;
    EXPECT_EQ(answer->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
    EXPECT_EQ(answer->header.type.value(), type);
  }
}

TEST_F(VsockConformanceTest, Vsock_5_10_6_5_RequestIsAnsweredByResponseOrReset) {
  base::UnixListener listener = Listen(1024);
  Send(Header(VIRTIO_VSOCK_OP_REQUEST, 1, 1024));
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_RESPONSE});
  Send(Header(VIRTIO_VSOCK_OP_REQUEST, 1, 1025));
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
}

TEST_F(VsockConformanceTest, Vsock_5_10_6_5_ShutdownOfBothDirectionsIsAnsweredByReset) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  VsockHeader header = Header(VIRTIO_VSOCK_OP_SHUTDOWN, 700, 1024);
  header.flags = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
  Send(header);
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
}

TEST_F(VsockConformanceTest, Vsock_2_7_4_1_FramingHasNoMeaning) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  VsockHeader header = Header(VIRTIO_VSOCK_OP_RW, 700, 1024);
  header.length = 6;
  const Bytes data = BytesOf("abcdef");
  // The header in pieces, the last of them with the first data; data behind the length are ignored.
  const auto bytes = base::BytesOf(header);
  Bytes second(bytes.begin() + 7, bytes.end());
  second.insert(second.end(), data.begin(), data.begin() + 2);
  Bytes third(data.begin() + 2, data.end());
  third.push_back('!');
  harness_.driver(kTx).Chain().Readable(bytes.first(7)).Readable(second).Readable(third).Offer();
  harness_.Publish(kTx);
  EXPECT_EQ(Read(host), "abcdef");

  Write(host, "ghijkl");
  harness_.driver(kRx).Chain().Writable(3).Writable(43).Writable(1).Writable(100).Offer();
  harness_.Publish(kRx);
  const auto packet = Take();
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->operation(), unsigned{VIRTIO_VSOCK_OP_RW});
  EXPECT_EQ(packet->data, BytesOf("ghijkl"));
}

TEST_F(VsockConformanceTest, Vsock_5_10_3_StreamsWorkWithoutAnyFeature) {
  ASSERT_TRUE(harness_.Stop(*device_));
  harness_.Start(*device_, 0);
  base::UnixListener listener = Listen(1024);
  EXPECT_TRUE(ConnectGuest(700, listener, 1024).valid());
}

TEST_F(VsockConformanceTest, Vsock_5_10_6_4_2_ReservedCidsAreRefused) {
  for (const uint64_t cid : {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{0xffff'ffff},
                             uint64_t{1} << 32, ~uint64_t{0}}) {
    const auto device = VsockDevice::Create({.guest_cid = cid, .path = folder_ + "/other"},
                                            harness_.loop(), harness_.memory());
    EXPECT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument) << cid;
  }
}

// "These hints are permanent once sent and successive packets with bits clear do not reset them."
TEST_F(VsockConformanceTest, Vsock_5_10_6_5_ShutdownsArePermanent) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  VsockHeader header = Header(VIRTIO_VSOCK_OP_SHUTDOWN, 700, 1024);
  header.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
  Send(header);
  EXPECT_EQ(Read(host), "<end>");
  header.flags = 0;
  Send(header);
  Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), BytesOf("too late"));
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
  EXPECT_EQ(Counter("connections"), 0u);
}

TEST_F(VsockConformanceTest, Vsock_5_10_6_5_ResetDisconnects) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  Send(Header(VIRTIO_VSOCK_OP_RST, 700, 1024));
  EXPECT_EQ(Read(host), "<end>");
  EXPECT_FALSE(Take().has_value()) << "a reset is not answered";
}

TEST_F(VsockConformanceTest, Vsock_5_10_6_7_EventBuffersStayWithTheDevice) {
  FakeDriver& driver = harness_.driver(VsockEventQueue::kIndex);
  driver.Chain().Writable(4).Offer();
  harness_.Publish(VsockEventQueue::kIndex);
  EXPECT_FALSE(driver.PopUsed().has_value());
}

}  // namespace
}  // namespace virtio
