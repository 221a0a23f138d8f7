// Runs a device, its queues and their driver on one thread, without a transport. For tests and
// fuzzers of virtio devices.
#ifndef TESTS_FAKES_DEVICE_FIXTURES_H_
#define TESTS_FAKES_DEVICE_FIXTURES_H_

#include <sys/eventfd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/guest_memory.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/fake_event_loop.h"
#include "virtio/device.h"

namespace virtio {

// Counts the notifications that a driver would get.
class FakeNotifier final : public DriverNotifier, public ConfigOwner {
 public:
  void NotifyQueue(uint16_t index) override {
    if (index >= queue_interrupts.size()) queue_interrupts.resize(index + 1u);
    ++queue_interrupts[index];
  }
  void ChangeConfig(uint64_t features, absl::FunctionRef<void()> change) override {
    change();
    ++config_changes;
    config_features = features;
  }
  absl::StatusOr<int> QueueInterruptFd(uint16_t /*index*/) override {
    return absl::UnimplementedError("a test");
  }
  void NeedsReset(absl::string_view why) override {
    ++needs_reset;
    last_reason = std::string(why);
  }

  std::vector<uint64_t> queue_interrupts;
  uint64_t config_changes = 0;
  uint64_t config_features = 0;  // of the last configuration change
  uint64_t needs_reset = 0;
  std::string last_reason;
};

class DeviceHarness {
 public:
  static constexpr uint64_t kRamBytes = 64 << 20;
  struct Options {
    base::FakeEventLoop::Options loop = {};
    uint16_t queue_size = 8;
    bool event_idx = true;
    uint64_t ram_bytes = kRamBytes;
  };

  explicit DeviceHarness(Options options)
      : options_(std::move(options)),
        memory_(*base::GuestMemory::Create({.thp = false}, {{0, options_.ram_bytes, nullptr}})),
        loop_(options_.loop) {}

  base::GuestMemory& memory() { return *memory_; }
  base::FakeEventLoop& loop() { return loop_; }
  FakeNotifier& notifier() { return notifier_; }
  FakeDriver& driver(uint16_t queue) { return *queues_[queue].driver; }

  // Sets DRIVER_OK with `features`: starts all queues, with empty rings at `ring_index`.
  void Start(Device& device, uint64_t features, uint16_t ring_index = 0) {
    device.Attach(notifier_);
    device.Activate(features, notifier_);
    const auto count = static_cast<uint16_t>(device.queue_sizes().size());
    queues_.resize(count);
    for (uint16_t i = 0; i < count; ++i) StartQueue(device, i, ring_index);
    loop_.RunUntilIdle();
  }

  void StartQueue(Device& device, uint16_t index, uint16_t ring_index = 0) {
    Queue& queue = queues_[index];
    queue.driver = std::make_unique<FakeDriver>(
        *memory_, FakeDriver::Options{.size = options_.queue_size,
                                      .base = 0x10000 + uint64_t{index} * 0x10000,
                                      .data = 0x100000 + uint64_t{index} * 0x400000,
                                      .data_bytes = 0x400000,
                                      .event_idx = options_.event_idx});
    queue.driver->StartAt(ring_index);
    if (!queue.doorbell.valid()) {  // belongs to the device and is kept over resets
      queue.doorbell.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      queue.file = loop_.AddFile(queue.doorbell.get()).value();
    }
    QueueError error;
    auto ring = SplitQueue::Create(*memory_,
                                   {options_.queue_size, queue.driver->descriptor_table(),
                                    queue.driver->driver_area(), queue.driver->device_area()},
                                   {.event_idx = options_.event_idx, .indirect = true}, error);
    CHECK(ring != nullptr);
    ring->set_positions({ring_index, ring_index});
    device.StartQueue({index, std::move(ring), queue.file});
  }

  // Publishes the offered chains, kicks if the device asked for it, and runs the loop until idle.
  void Publish(uint16_t queue) {
    if (driver(queue).Publish()) Kick(queue);
    loop_.RunUntilIdle();
  }
  void Kick(uint16_t queue) { CHECK(eventfd_write(queues_[queue].doorbell.get(), 1) == 0); }

  // Runs until the device reports that the queue is stopped. Returns false if it does not.
  bool StopQueue(Device& device, uint16_t queue) {
    bool done = false;
    device.StopQueue(queue, [&done] { done = true; });
    loop_.RunUntilIdle();
    return done;
  }
  bool Stop(Device& device) {
    const auto count = static_cast<uint16_t>(device.queue_sizes().size());
    bool all = true;
    for (uint16_t i = 0; i < count; ++i) all &= StopQueue(device, i);
    if (all) device.Deactivate();
    return all;
  }
  bool Pause(Device& device) {
    bool done = false;
    device.Pause([&done] { done = true; });
    loop_.RunUntilIdle();
    return done;
  }

 private:
  struct Queue {
    std::unique_ptr<FakeDriver> driver;
    base::UniqueFd doorbell;
    base::LoopFile file;
  };

  const Options options_;
  std::unique_ptr<base::GuestMemory> memory_;
  base::FakeEventLoop loop_;
  FakeNotifier notifier_;
  std::vector<Queue> queues_;
};

}  // namespace virtio

#endif  // TESTS_FAKES_DEVICE_FIXTURES_H_
