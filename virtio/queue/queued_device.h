// What all devices with split queues do alike: identity, configuration space, starting, stopping,
// pausing and resuming queues, and their counters.
#ifndef VIRTIO_QUEUE_QUEUED_DEVICE_H_
#define VIRTIO_QUEUE_QUEUED_DEVICE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "virtio/device.h"
#include "virtio/queue/device_queue.h"

namespace virtio {

// A device adds its queues when it is made; what is left to it are its features, its configuration
// and what it does with a chain (DeviceQueue::Start).
class QueuedDevice : public Device {
 public:
  absl::string_view id() const final { return identity_.id; }
  uint16_t type() const final { return identity_.type; }
  uint64_t features() const final { return identity_.features | kRingFeatures; }
  std::span<const uint16_t> queue_sizes() const final { return queue_sizes_; }
  base::EventLoop& loop() final { return loop_; }
  base::EventLoop& queue_loop(uint16_t index) final { return queue(index).loop(); }

  uint32_t config_size() const final { return static_cast<uint32_t>(config_bytes().size()); }
  void ReadConfig(uint32_t offset, std::span<uint8_t> to) final;

  void Activate(uint64_t features, DriverNotifier& notifier) final;
  void StartQueue(EnabledQueue enabled) final;
  void StopQueue(uint16_t index, Done done) final;
  void Deactivate() final;
  void Pause(Done done) final;
  void Resume() final;
  // The device's own counters, and kicks, chains and interrupts of all queues.
  Counters counters() const final;

 protected:
  struct Identity {
    std::string id;         // "_disk0"
    uint16_t type;          // VIRTIO_ID_*
    uint64_t features = 0;  // offered, of the device type; those of the ring are added
  };

  // `loop` takes the device's orders and outlives the device.
  QueuedDevice(Identity identity, base::EventLoop& loop);

  // Adds the queue with the next index: `queue`, which lives as long as the device and is served on
  // its own loop(). `max_size` is a power of two. Only while the device is being made.
  void AddQueue(DeviceQueue& queue, uint16_t max_size);
  // True if any queue is started. For devices all of whose queues are served on loop().
  bool IsServing() const;

  // The configuration space as the driver reads it; under the transport's lock, changed by
  // ChangeConfig only. Constant size. Default: none.
  virtual std::span<const uint8_t> config_bytes() const { return {}; }
  // The driver has accepted `features`; no queue is started yet. On loop(). Default: nothing.
  virtual void OnActivated(uint64_t /*features*/) {}
  // A queue has been started. On loop(). Default: nothing.
  virtual void OnQueueStarted() {}
  // A queue has been stopped; `done` runs, now or later on loop(), when the device does nothing
  // more for it. Default: now.
  virtual void OnQueueStopped(Done done) { done(); }
  // All queues are stopped and the driver is gone. On loop(). Default: nothing.
  virtual void OnDeactivated() {}
  // The device's own counters. On loop().
  virtual void AddCounters(Counters& counters) const = 0;

 private:
  // CHECK: the transport names no queue that does not exist.
  DeviceQueue& queue(uint16_t index) const;
  // Runs `function` on the loop of `queue`: at once if that is the device's.
  void RunOn(DeviceQueue& queue, Done function);
  // Returns a function that runs `done` on loop() whichever queue's loop it is called on.
  Done ToLoop(const DeviceQueue& queue, Done done);

  const Identity identity_;
  base::EventLoop& loop_;
  std::vector<DeviceQueue*> queues_;
  std::vector<uint16_t> queue_sizes_;
  DriverNotifier* notifier_ = nullptr;
  uint64_t resumes_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_QUEUED_DEVICE_H_
