// What a hostile driver can do to the queues of a socket device.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/hostile_driver.h"
#include "virtio/vsock/testing/vsock_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t kAllFeatures = ~uint64_t{0};
// Buffers for events stay in their ring, so that queue is never read.
constexpr uint16_t kQueues[] = {kRx, kTx};

class VsockHostileTest : public VsockTest {
 protected:
  VsockHostileTest() : VsockTest({.queue_size = 8}) {}

  // Makes the device owe the guest a reset.
  void Provoke() { Send(Header(VIRTIO_VSOCK_OP_RW, 1, 2)); }

  HostileTarget Target(uint16_t queue) {
    HostileTarget target = {.harness = harness_,
                            .device = *device_,
                            .queue = queue,
                            .writable = queue == kRx,
                            .offer_good = nullptr,
                            .expect_good = nullptr};
    if (queue == kRx) {
      target.stimulate = [this] { Provoke(); };
      target.offer_good = [this] { harness_.driver(kRx).Chain().Writable(100).Offer(); };
      target.expect_good = [this] {
        Provoke();
        harness_.driver(kRx).Chain().Writable(100).Offer();
        harness_.Publish(kRx);
        const auto used = harness_.driver(kRx).PopUsed();
        ASSERT_TRUE(used.has_value());
        EXPECT_EQ(used->len, sizeof(VsockHeader));
      };
    } else {
      target.offer_good = [this] {
        const VsockHeader header = Header(VIRTIO_VSOCK_OP_RST, 1, 2);
        harness_.driver(kTx).Chain().Readable(base::BytesOf(header)).Offer();
      };
      target.expect_good = [this] {
        const uint64_t before = Counter("chains");
        Send(Header(VIRTIO_VSOCK_OP_RST, 1, 2));
        EXPECT_EQ(Counter("chains"), before + 1);
      };
    }
    return target;
  }
};

TEST_F(VsockHostileTest, EveryAttackEndsInAResetOrAnAnswer) {
  for (const uint16_t queue : kQueues) {
    for (const Attack& attack : Attacks()) RunAttack(attack, Target(queue), kAllFeatures);
  }
}

TEST_F(VsockHostileTest, ResetsInEveryState) {
  for (const uint16_t queue : kQueues) ResetInEveryState(Target(queue), kAllFeatures);
}

TEST_F(VsockHostileTest, ServesPacketsWithAnyFeatures) {
  for (const uint16_t queue : kQueues) ExpectServiceWithAnyFeatures(Target(queue));
}

// A guest that says that it has received more than was sent gets no data for that.
TEST_F(VsockHostileTest, LiesAboutTheCreditGiveNone) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  VsockHeader lie = Header(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 700, 1024);
  lie.forwarded = 1u << 31;
  Send(lie);
  Write(host, "data");
  while (const auto packet = Take()) EXPECT_TRUE(packet->data.empty());
  lie.forwarded = 0;
  Send(lie);
  EXPECT_EQ(Take()->data, BytesOf("data"));
}

// Requests without end, none of which is ever used.
TEST_F(VsockHostileTest, ResponsesThatNobodyAskedForAreReset) {
  const base::UniqueFd client = Client();
  Write(client, "CONNECT 5\n");
  const auto request = Take();
  ASSERT_TRUE(request.has_value());
  const uint32_t port = request->header.source_port.value();
  for (const unsigned operation : {VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_OP_SHUTDOWN}) {
    Send(Header(operation, 5, port));
  }
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
  EXPECT_EQ(Read(client), "<end>");
}

TEST_F(VsockHostileTest, ReceiveBuffersThatCannotHoldAHeaderAreReturned) {
  Provoke();
  harness_.driver(kRx).Chain().Writable(sizeof(VsockHeader) - 1).Offer();
  harness_.driver(kRx).Chain().Readable(10).Writable(100).Offer();
  harness_.Publish(kRx);
  for (int i = 0; i < 2; ++i) {
    const auto used = harness_.driver(kRx).PopUsed();
    ASSERT_TRUE(used.has_value());
    EXPECT_EQ(used->len, 0u);
  }
  EXPECT_EQ(Counter("dropped_malformed"), 2u);
}

}  // namespace
}  // namespace virtio
