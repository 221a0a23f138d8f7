// Starts and stops a device's queues, one order at a time. [VIRTIO 1.2 §2.4, §2.6.1, §3.1]
#ifndef VIRTIO_TRANSPORT_QUEUE_RUNNER_H_
#define VIRTIO_TRANSPORT_QUEUE_RUNNER_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "virtio/device.h"

namespace virtio {

// The part of the transport that runs only on the device's loop. The transport posts orders to it,
// so a reset that follows an activation finds the device activated.
class QueueRunner {
 public:
  using Done = Device::Done;

  explicit QueueRunner(Device& device)
      : device_(device), phases_(device.queue_sizes().size(), Phase::kStopped) {}

  // Activates the device and starts `queues`.
  void Activate(uint64_t features, DriverNotifier& notifier, std::vector<EnabledQueue> queues);
  // Starts one more queue. Does nothing if the device is not active or the queue has not stopped.
  void StartQueue(EnabledQueue queue);
  // Runs `done` once the queue has stopped; at once if the queue was not started.
  void StopQueue(uint16_t index, Done done);
  // Stops all queues, deactivates the device and then runs `done`. Also waits for queues that are
  // already stopping; their own `done` runs first.
  void Shutdown(Done done);

 private:
  enum class Phase : uint8_t { kStopped, kStarted, kStopping };

  void OnStopped(uint16_t index);
  void FinishShutdown();

  Device& device_;
  std::vector<Phase> phases_;
  std::vector<std::pair<uint16_t, Done>> stop_waiters_;
  Done shutdown_done_;
  bool active_ = false;
};

}  // namespace virtio

#endif  // VIRTIO_TRANSPORT_QUEUE_RUNNER_H_
