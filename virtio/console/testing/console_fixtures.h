// A console device with a fake backend, for its tests.
#ifndef VIRTIO_CONSOLE_TESTING_CONSOLE_FIXTURES_H_
#define VIRTIO_CONSOLE_TESTING_CONSOLE_FIXTURES_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>

#include "tests/fakes/device_fixtures.h"
#include "virtio/console/console_device.h"
#include "virtio/console/console_wire.h"

namespace virtio {

constexpr uint16_t kRx = kConsoleReceiveQueue;
constexpr uint16_t kTx = kConsoleTransmitQueue;
constexpr uint64_t kAllFeatures = ~uint64_t{0};

// A backend whose sink takes `room` bytes and drops the rest, and whose host types input.
class FakeBackend final : public devices::CharacterBackend {
 public:
  void SetClient(devices::CharacterClient* client) override { client_ = client; }
  void Write(std::span<const uint8_t> bytes) override {
    const size_t taken = std::min(bytes.size(), room);
    output.append(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
    room -= taken;
    dropped_ += bytes.size() - taken;
    largest_write = std::max(largest_write, bytes.size());
  }
  void ResumeInput() override {
    ++resumes;
    if (resume_at_once) Pump();
  }
  bool drained() const override { return true; }
  uint64_t dropped_bytes() const override { return dropped_; }

  void Type(const std::string& bytes) {
    to_guest_ += bytes;
    Pump();
  }
  void Pump() {
    ASSERT_FALSE(pumping_) << "ResumeInput from within OnInput: bytes would be given twice";
    pumping_ = true;
    const size_t taken = client_->OnInput(
        std::span(reinterpret_cast<const uint8_t*>(to_guest_.data()), to_guest_.size()));
    ASSERT_LE(taken, to_guest_.size());
    to_guest_.erase(0, taken);
    pumping_ = false;
  }
  void Resize(uint16_t columns, uint16_t rows) { client_->OnResize(columns, rows); }
  size_t waiting() const { return to_guest_.size(); }
  bool has_client() const { return client_ != nullptr; }

  std::string output;
  size_t room = SIZE_MAX;
  size_t largest_write = 0;
  int resumes = 0;
  bool resume_at_once = false;  // ResumeInput calls OnInput before it returns

 private:
  devices::CharacterClient* client_ = nullptr;
  std::string to_guest_;
  bool pumping_ = false;
  uint64_t dropped_ = 0;
};

class ConsoleTest : public ::testing::Test {
 protected:
  ConsoleTest() : console_({}, harness_.loop(), harness_.memory(), backend_) {}
  ~ConsoleTest() override { EXPECT_TRUE(harness_.Stop(console_)); }

  void Start(uint64_t features = kAllFeatures) { harness_.Start(console_, features); }
  FakeDriver& rx() { return harness_.driver(kRx); }
  FakeDriver& tx() { return harness_.driver(kTx); }
  // Returns all bytes that have arrived in receive buffers.
  std::string Received() {
    std::string all;
    while (const auto used = rx().PopUsed()) {
      const auto bytes = rx().WritableBytes(static_cast<uint16_t>(used->id));
      EXPECT_LE(used->len, bytes.size());
      all.append(bytes.begin(), bytes.begin() + used->len);
    }
    return all;
  }
  void Send(const std::string& bytes) {
    tx().Chain().Readable(Bytes(bytes)).Offer();
    harness_.Publish(kTx);
  }
  static std::span<const uint8_t> Bytes(const std::string& text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }
  uint16_t ConfigField(uint32_t offset) {
    uint8_t bytes[2];
    console_.ReadConfig(offset, bytes);
    return static_cast<uint16_t>(bytes[0] | bytes[1] << 8);
  }

  DeviceHarness harness_{{}};
  FakeBackend backend_;
  ConsoleDevice console_;
};

inline std::string Pattern(size_t bytes) {
  std::string text(bytes, '\0');
  std::iota(text.begin(), text.end(), '\0');
  return text;
}

}  // namespace virtio

#endif  // VIRTIO_CONSOLE_TESTING_CONSOLE_FIXTURES_H_
