// A network device with fake ports, for its tests.
#ifndef VIRTIO_NET_TESTING_NET_FIXTURES_H_
#define VIRTIO_NET_TESTING_NET_FIXTURES_H_

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/guest_memory.h"
#include "base/unique_fd.h"
#include "net/port.h"
#include "tests/fakes/device_fixtures.h"
#include "virtio/net/net_device.h"
#include "virtio/net/net_wire.h"

namespace virtio {

using Bytes = std::vector<uint8_t>;

// A port whose far end is the test.
class FakePort final : public net::Port {
 public:
  FakePort() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  int fd() const override { return event_.get(); }
  int32_t Send(std::span<const iovec> frame) override {
    ++calls;
    if (send_result != 0) return send_result;
    Bytes all;
    for (const iovec& piece : frame) {
      const auto* bytes = static_cast<const uint8_t*>(piece.iov_base);
      all.insert(all.end(), bytes, bytes + piece.iov_len);
    }
    sent.push_back(std::move(all));
    return 0;
  }
  int32_t Receive(std::span<const iovec> to) override {
    ++calls;
    if (receive_result != 0) return receive_result;
    if (arrived_.empty()) return -EAGAIN;
    const Bytes frame = std::move(arrived_.front());
    arrived_.pop_front();
    if (arrived_.empty()) Signal(false);
    size_t at = 0;
    for (const iovec& piece : to) {
      const size_t length = std::min(piece.iov_len, frame.size() - at);
      std::copy_n(frame.begin() + static_cast<ptrdiff_t>(at), length,
                  static_cast<uint8_t*>(piece.iov_base));
      at += length;
    }
    return static_cast<int32_t>(frame.size());  // as a tap, even if not all of them had room
  }
  int32_t SetOffloads(uint32_t set) override {
    offloads = set;
    return offloads_result;
  }
  int32_t SetActive(bool now) override {
    active = now;
    return 0;
  }

  // Lets a frame arrive, with a header that asks for nothing unless one is given.
  void Arrive(const Bytes& frame, const NetHeader& header = {}) {
    Bytes all(sizeof(header));
    std::ranges::copy(base::BytesOf(header), all.begin());
    all.insert(all.end(), frame.begin(), frame.end());
    ArriveRaw(std::move(all));
  }
  void ArriveRaw(Bytes bytes) {
    arrived_.push_back(std::move(bytes));
    Signal(true);
  }
  size_t waiting() const { return arrived_.size(); }
  // Makes the descriptor readable, as one is whose queue has failed.
  void Signal(bool readable) {
    eventfd_t value;
    if (readable) {
      ASSERT_EQ(eventfd_write(event_.get(), 1), 0);
    } else {
      eventfd_read(event_.get(), &value);
    }
  }
  // Blocks or unblocks the descriptor for writing.
  void SetFull(bool full) {
    send_result = full ? -EAGAIN : 0;
    eventfd_t value;
    eventfd_read(event_.get(), &value);
    if (full) {
      ASSERT_EQ(eventfd_write(event_.get(), UINT64_MAX - 1), 0);
    }
  }

  std::vector<Bytes> sent;  // with their headers
  uint64_t calls = 0;       // of Send and Receive
  int32_t send_result = 0;
  int32_t receive_result = 0;
  int32_t offloads_result = 0;
  uint32_t offloads = 0;
  bool active = true;

 private:
  base::UniqueFd event_;
  std::deque<Bytes> arrived_;
};

inline constexpr net::MacAddress kMac = {0x02, 0, 0x5e, 0, 0, 1};
inline constexpr uint16_t kRx = 0;
inline constexpr uint16_t kTx = 1;
inline constexpr uint16_t kControl = 2;  // of a device with one pair
inline constexpr uint64_t kAllFeatures = ~uint64_t{0};

// A frame of `bytes` bytes to `to`, whose payload counts.
inline Bytes Frame(size_t bytes, const net::MacAddress& to = kMac) {
  Bytes frame(bytes);
  for (size_t i = 0; i < bytes; ++i) frame[i] = static_cast<uint8_t>(i * 7 + i / 256);
  std::copy_n(to.begin(), std::min(bytes, to.size()), frame.begin());
  if (bytes >= 14) frame[12] = 0x08, frame[13] = 0x00;  // IPv4
  return frame;
}

// A device of one pair, or of several on the same loop.
class NetMachine {
 public:
  explicit NetMachine(size_t pairs = 1, DeviceHarness::Options options = {.queue_size = 64},
                      NetDevice::Options device_options = {})
      : harness_(std::move(options)) {
    std::vector<NetDevice::Pair> list;
    for (size_t i = 0; i < pairs; ++i) {
      auto port = std::make_unique<FakePort>();
      ports_.push_back(port.get());
      list.push_back({std::move(port), harness_.loop()});
    }
    device_options.id = "_net0";
    device_options.mac = kMac;
    device_options.has_uso = true;
    device_ = NetDevice::Create(device_options, std::move(list), harness_.memory()).value();
    harness_.loop().RunUntilIdle();
  }
  ~NetMachine() {
    for (FakePort* port : ports_) port->send_result = 0;
    EXPECT_TRUE(harness_.Stop(*device_));
  }

  void Start(uint64_t features = kAllFeatures) { harness_.Start(*device_, features); }
  DeviceHarness& harness() { return harness_; }
  NetDevice& device() { return *device_; }
  FakePort& port(size_t i = 0) { return *ports_[i]; }
  FakeDriver& rx() { return harness_.driver(kRx); }
  FakeDriver& tx() { return harness_.driver(kTx); }
  void Run() { harness_.loop().RunUntilIdle(); }
  uint64_t Counter(const std::string& name) const { return device_->counters()[name]; }

  // Makes `count` receive buffers of `bytes` bytes available.
  void OfferBuffers(size_t count, uint32_t bytes) {
    for (size_t i = 0; i < count; ++i) rx().Chain().Writable(bytes).Offer();
    harness_.Publish(kRx);
  }
  // Takes the next frame that the driver was given, with its header and all its buffers. Empty if
  // there is none.
  Bytes TakeFrame() {
    Bytes all;
    for (uint16_t buffers = 1, i = 0; i < buffers; ++i) {
      const auto used = rx().PopUsed();
      if (!used.has_value()) {
        EXPECT_EQ(i, 0) << "a frame lacks buffers";
        return {};
      }
      const Bytes bytes = rx().WritableBytes(static_cast<uint16_t>(used->id));
      if (used->len > bytes.size()) {
        ADD_FAILURE() << "more was used than offered";
        return {};
      }
      all.insert(all.end(), bytes.begin(), bytes.begin() + used->len);
      if (i == 0 && all.size() >= sizeof(NetHeader)) {
        buffers = static_cast<uint16_t>(all[10] | all[11] << 8);
      }
    }
    return all;
  }
  // Sends a header and a frame, in one buffer each.
  void Transmit(const Bytes& frame, const NetHeader& header = {}) {
    tx().Chain().Readable(base::BytesOf(header)).Readable(frame).Offer();
    harness_.Publish(kTx);
  }
  // Gives a command with `data`, and returns the device's answer (0: done), or -1 if there is none.
  int Command(uint8_t command_class, uint8_t command, const Bytes& data,
              uint16_t queue = kControl) {
    const Bytes header = {command_class, command};
    FakeDriver& driver = harness_.driver(queue);
    const uint16_t head = driver.Chain().Readable(header).Readable(data).Writable(1).Offer();
    harness_.Publish(queue);
    const auto used = driver.PopUsed();
    if (!used.has_value() || used->len != 1) return -1;
    return driver.WritableBytes(head)[0];
  }

 private:
  DeviceHarness harness_;
  std::vector<FakePort*> ports_;
  std::unique_ptr<NetDevice> device_;
};

// Returns a received frame without its header.
inline Bytes WithoutHeader(const Bytes& received) {
  if (received.size() < sizeof(NetHeader)) return {};
  return Bytes(received.begin() + sizeof(NetHeader), received.end());
}

}  // namespace virtio

#endif  // VIRTIO_NET_TESTING_NET_FIXTURES_H_
