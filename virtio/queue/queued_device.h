// What all devices with split queues have in common: identity, configuration space, starting,
// stopping, pausing and resuming queues, and counters.
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
#include "virtio/queue/served_queue.h"

namespace virtio {

// A device adds its queues while it is being made. The derived class provides only its features,
// its configuration space, and what it does with a chain (DeviceQueue::Start).
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
  // The device's own counters, and the kicks, chains and interrupts of all queues.
  Counters counters() const final;

 protected:
  struct Identity {
    std::string id;         // "_disk0"
    uint16_t type;          // VIRTIO_ID_*
    uint64_t features = 0;  // offered by the device type; QueuedDevice adds kRingFeatures
  };

  // The transport calls the device on `loop`, which outlives the device.
  QueuedDevice(Identity identity, base::EventLoop& loop);

  // Adds the queue with the next index. `queue` lives as long as the device and is served on its
  // own loop(). `max_size` is a power of two. Call it only while the device is being made.
  void AddQueue(ServedQueue& queue, uint16_t max_size);
  // Lets `queue` take the place of the queue with its index, which is not started. For device types
  // in which the meaning of an index depends on the accepted features. Call it in OnActivated or
  // OnDeactivated. The loops of both must be the same.
  void ReplaceQueue(ServedQueue& queue);
  // Returns true if any queue is started. Only for devices whose queues are all served on loop().
  bool IsServing() const;

  // The configuration space as the driver reads it. Called under the transport's lock; only
  // ChangeConfig may change the bytes. The size is constant. Default: empty.
  virtual std::span<const uint8_t> config_bytes() const { return {}; }
  // Called when the driver has accepted `features`; no queue is started yet. On loop(). Default:
  // nothing.
  virtual void OnActivated(uint64_t /*features*/) {}
  // Called when a queue has been started. On loop(). Default: nothing.
  virtual void OnQueueStarted() {}
  // Called when a queue has been stopped. Runs `done`, at once or later, on loop(), when the device
  // does nothing more for the queue. Default: runs `done` at once.
  virtual void OnQueueStopped(Done done) { done(); }
  // Called when all queues are stopped and the driver is gone. On loop(). Default: nothing.
  virtual void OnDeactivated() {}
  // Adds the device's own counters. On loop().
  virtual void AddCounters(Counters& counters) const = 0;

 private:
  // Returns queue `index`, which must exist (CHECK): the transport never names another queue.
  ServedQueue& queue(uint16_t index) const;
  // Runs `function` on the loop of `queue`: at once if that loop is the device's own.
  void RunOn(ServedQueue& queue, Done function);
  // Returns a function that may be called on the loop of `queue` and runs `done` on loop().
  Done ToLoop(const ServedQueue& queue, Done done);

  const Identity identity_;
  base::EventLoop& loop_;
  std::vector<ServedQueue*> queues_;
  std::vector<uint16_t> queue_sizes_;
  DriverNotifier* notifier_ = nullptr;
  uint64_t resumes_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_QUEUED_DEVICE_H_
