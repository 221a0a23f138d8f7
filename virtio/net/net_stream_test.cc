// A device whose port is a stream socket, with a test at the far end of the socket.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "net/stream_port.h"
#include "tests/fakes/device_fixtures.h"
#include "virtio/net/net_device.h"
#include "virtio/net/testing/net_fixtures.h"

namespace virtio {
namespace {

class NetStreamTest : public testing::Test {
 protected:
  NetStreamTest() : harness_({.queue_size = 64}) {
    auto port = net::StreamPort::Create().value();
    port_ = port.get();
    Connect();
    std::vector<NetDevice::Pair> pairs;
    pairs.push_back({std::move(port), harness_.loop()});
    device_ = NetDevice::Create({.id = "_net0", .mac = kMac, .mtu = 65520, .has_offloads = false},
                                std::move(pairs), harness_.memory())
                  .value();
    harness_.Start(*device_, kAllFeatures);
  }
  ~NetStreamTest() override { EXPECT_TRUE(harness_.Stop(*device_)); }

  void Connect() {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    peer_.reset(fds[1]);
    port_->Connect(base::UniqueFd(fds[0]));
  }
  void Transmit(const Bytes& frame) {
    FakeDriver& driver = harness_.driver(kTx);
    driver.Chain().Readable(Bytes(sizeof(NetHeader))).Readable(frame).Offer();
    harness_.Publish(kTx);
  }
  // Takes what the device has sent to the peer.
  Bytes Read() {
    Bytes bytes(1 << 20);
    const ssize_t n = recv(peer_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return bytes;
  }
  static Bytes OnTheWire(const Bytes& frame) {
    Bytes wire = {0, 0, static_cast<uint8_t>(frame.size() >> 8),
                  static_cast<uint8_t>(frame.size())};
    wire.insert(wire.end(), frame.begin(), frame.end());
    return wire;
  }

  DeviceHarness harness_;
  net::StreamPort* port_ = nullptr;
  base::UniqueFd peer_;
  std::unique_ptr<NetDevice> device_;
};

TEST_F(NetStreamTest, FramesThatFindNoRoomAreSentWhenThereIsRoom) {
  Bytes expected;
  for (int i = 0; i < 30; ++i) {
    const Bytes frame = Frame(30000 + static_cast<size_t>(i));
    Transmit(frame);
    const Bytes wire = OnTheWire(frame);
    expected.insert(expected.end(), wire.begin(), wire.end());
  }
  EXPECT_LT(device_->counters()["tx_frames"], 30u) << "there was room for all";
  Bytes got;
  for (Bytes more = Read(); !more.empty(); more = Read()) {
    got.insert(got.end(), more.begin(), more.end());
    harness_.loop().RunUntilIdle();
  }
  EXPECT_TRUE(got == expected);
  EXPECT_EQ(device_->counters()["tx_frames"], 30u);
}

TEST_F(NetStreamTest, FramesArriveBeforeAndAfterANewConnection) {
  FakeDriver& rx = harness_.driver(kRx);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 5; ++i) rx.Chain().Writable(2000).Offer();
    harness_.Publish(kRx);
    for (int i = 0; i < 5; ++i) {
      const Bytes wire = OnTheWire(Frame(60 + static_cast<size_t>(i)));
      ASSERT_EQ(send(peer_.get(), wire.data(), wire.size(), 0), ssize_t(wire.size()));
    }
    harness_.loop().RunUntilIdle();
    for (size_t i = 0; i < 5; ++i) {
      const auto used = rx.PopUsed();
      ASSERT_TRUE(used.has_value()) << round;
      EXPECT_EQ(used->len, sizeof(NetHeader) + 60 + i);
      Bytes frame = rx.WritableBytes(static_cast<uint16_t>(used->id));
      frame.resize(used->len);
      EXPECT_EQ(WithoutHeader(frame), Frame(60 + i));
    }
    peer_.reset();
    harness_.Publish(kRx);
    harness_.loop().RunUntilIdle();
    Connect();
  }
}

TEST_F(NetStreamTest, LargeFrameWaitsUntilTheDriverHasAddedEnoughBuffers) {
  FakeDriver& rx = harness_.driver(kRx);
  const Bytes wire = OnTheWire(Frame(60000));
  ASSERT_EQ(send(peer_.get(), wire.data(), wire.size(), 0), ssize_t(wire.size()));
  for (int i = 0; i < 41; ++i) {
    EXPECT_FALSE(rx.PopUsed().has_value()) << i;
    rx.Chain().Writable(1500).Offer();
    harness_.Publish(kRx);
    harness_.loop().RunUntilIdle();
  }
  size_t bytes = 0;
  while (const auto used = rx.PopUsed()) bytes += used->len;
  EXPECT_EQ(bytes, sizeof(NetHeader) + 60000);
  EXPECT_EQ(device_->counters()["rx_dropped_no_room"], 0u);
}

TEST_F(NetStreamTest, FrameThatWaitsForRoomIsCountedAsLostWhenThePeerGoes) {
  for (int i = 0; i < 30; ++i) Transmit(Frame(30000));
  const uint64_t sent = device_->counters()["tx_frames"];
  ASSERT_LT(sent, 30u);
  peer_.reset();
  harness_.loop().RunUntilIdle();
  EXPECT_FALSE(port_->connected());
  EXPECT_EQ(device_->counters()["tx_dropped_host"], 30 - sent);
}

}  // namespace
}  // namespace virtio
