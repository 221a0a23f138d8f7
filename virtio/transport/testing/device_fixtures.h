// A device for tests of the transport. It obeys and records every order.
#ifndef VIRTIO_TRANSPORT_TESTING_DEVICE_FIXTURES_H_
#define VIRTIO_TRANSPORT_TESTING_DEVICE_FIXTURES_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "virtio/device.h"

namespace virtio {

class FakeDevice final : public Device {
 public:
  struct Options {
    uint16_t type = 2;
    uint64_t features = 0;
    std::vector<uint16_t> queue_sizes = {256, 64};
    uint32_t config_bytes = 8;
    std::vector<SharedMemoryRegion> shared_memory = {};
    // StopQueue completes only when the test calls FinishStops, as if requests were in flight.
    bool slow_stop = false;
  };

  FakeDevice(base::EventLoop& loop, Options options) : loop_(loop), options_(std::move(options)) {}

  absl::string_view id() const override { return "_disk0"; }
  uint16_t type() const override { return options_.type; }
  uint64_t features() const override { return options_.features; }
  std::span<const uint16_t> queue_sizes() const override { return options_.queue_sizes; }
  base::EventLoop& loop() override { return loop_; }
  base::EventLoop& queue_loop(uint16_t /*index*/) override { return loop_; }
  std::span<const SharedMemoryRegion> shared_memory() const override {
    return options_.shared_memory;
  }
  uint32_t config_size() const override { return options_.config_bytes; }
  void ReadConfig(uint32_t offset, std::span<uint8_t> to) override {
    CHECK(offset + to.size() <= options_.config_bytes);
    std::copy_n(config.begin() + offset, to.size(), to.begin());
  }
  void WriteConfig(uint32_t offset, std::span<const uint8_t> from) override {
    CHECK(offset + from.size() <= options_.config_bytes);
    std::copy(from.begin(), from.end(), config.begin() + offset);
  }

  void Activate(uint64_t features, DriverNotifier& with) override {
    CHECK(notifier == nullptr);
    accepted = features;
    notifier = &with;
    Note("activate");
  }
  void StartQueue(EnabledQueue queue) override {
    CHECK(notifier != nullptr && running.count(queue.index) == 0);
    Note("start" + std::to_string(queue.index));
    running[queue.index] = std::move(queue);
  }
  void StopQueue(uint16_t index, Done done) override {
    CHECK(running.count(index) == 1 && stopping_.count(index) == 0);
    Note("stop" + std::to_string(index));
    stopping_[index] = std::move(done);
    if (!options_.slow_stop) FinishStops();
  }
  void Deactivate() override {
    CHECK(notifier != nullptr && running.empty() && stopping_.empty());
    notifier = nullptr;
    Note("deactivate");
  }
  void Pause(Done done) override { done(); }
  void Resume() override {}
  Counters counters() const override { return {}; }

  // Ends the stop of every queue that is being stopped, as if its last request had completed.
  void FinishStops() {
    std::map<uint16_t, Done> stopping = std::exchange(stopping_, {});
    for (auto& [index, done] : stopping) {
      running.erase(index);
      done();
    }
  }
  bool stopping() const { return !stopping_.empty(); }
  // Changes the configuration space: `change` stores into `config`.
  void Change(
      absl::FunctionRef<void()> change = [] {}, uint64_t features = 0) {
    ChangeConfig(features, change);
  }
  // The orders since the last call, e.g. "activate start0 start1".
  std::string TakeOrders() { return std::exchange(orders_, ""); }

  std::array<uint8_t, 4096> config = {1, 2, 3, 4, 5, 6, 7, 8};
  uint64_t accepted = 0;
  DriverNotifier* notifier = nullptr;
  std::map<uint16_t, EnabledQueue> running;

 private:
  void Note(const std::string& order) { orders_ += (orders_.empty() ? "" : " ") + order; }

  base::EventLoop& loop_;
  const Options options_;
  std::map<uint16_t, Done> stopping_;
  std::string orders_;
};

}  // namespace virtio

#endif  // VIRTIO_TRANSPORT_TESTING_DEVICE_FIXTURES_H_
