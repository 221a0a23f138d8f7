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

}  // namespace
}  // namespace virtio
