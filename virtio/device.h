// The contract between a virtio device and its transport.
//
//             Activate                  StartQueue(i)               Pause
//   inactive ----------> active: queue i stopped ----> queue i serving ----> queue i paused
//       ^                  |             ^               |         ^             |    |
//       |    Deactivate    |             |  StopQueue(i) |         |   Resume    |    |
//       +------------------+             +---------------+         +-------------+    |
//      (all queues stopped)              |                  StopQueue(i)              |
//                                        +--------------------------------------------+
//
// Threads: the transport's registers live on vCPU threads, under the transport's lock; there the
// driver reads and writes the configuration space. Every other order comes on the device's loop().
// Queue i is served on queue_loop(i), which may be another loop. No vCPU ever waits for a loop:
// stopping is asynchronous, and the driver polls device_status or queue_reset until it reads back
// the value that it waits for.
#ifndef VIRTIO_DEVICE_H_
#define VIRTIO_DEVICE_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/mutex.h"
#include "virtio/queue/split_queue.h"

namespace virtio {

// How a device reaches its driver. Implemented by the transport. Where not said otherwise: any
// thread; never blocks.
class DriverNotifier {
 public:
  virtual ~DriverNotifier() = default;
  // "Used buffers" interrupt of queue `index`.
  virtual void NotifyQueue(uint16_t index) = 0;
  // Returns an eventfd whose signals interrupt the driver as NotifyQueue does, for a queue that is
  // served by the host's kernel (vhost). Valid until Deactivate; the driver may move the queue's
  // interrupt only while the queue is stopped. Errors: the driver wants no interrupts, or the host
  // has none left. On the device's loop; may wait for the host.
  virtual absl::StatusOr<int> QueueInterruptFd(uint16_t index) = 0;
  // Sets DEVICE_NEEDS_RESET and tells the driver; logs `why` (rate limited). [VIRTIO 1.2 §2.1.2]
  virtual void NeedsReset(absl::string_view why) = 0;
};

// Who shows a device's configuration space to its driver. Implemented by the transport.
class ConfigOwner {
 public:
  virtual ~ConfigOwner() = default;
  // Runs `change`, which alters what Device::ReadConfig gives, under the lock that all reads take,
  // and with it the generation: a driver that reads parts of the old and of the new value can tell.
  // Then tells a driver that has accepted all of `features`; one that has not set DRIVER_OK yet is
  // told when it does, since it may have read the old value. `change` only stores. Any thread;
  // never blocks. [VIRTIO 1.2 §2.5, §4.1.4.3]
  virtual void ChangeConfig(uint64_t features, absl::FunctionRef<void()> change) = 0;
};

// A queue the driver has enabled, as handed to the device.
struct EnabledQueue {
  uint16_t index = 0;
  std::unique_ptr<SplitQueue> ring;
  base::LoopFile doorbell;  // an eventfd, known to the queue's loop for as long as the loop lives
};

// Memory that a device shares with its driver, in the shared-memory BAR. [VIRTIO 1.2 §2.10]
struct SharedMemoryRegion {
  uint8_t id = 0;  // meaning given by the device type; unique in a device
  uint64_t offset = 0;
  uint64_t length = 0;
  // `length` bytes that the driver reads, a window of GuestMemory; null: nothing is behind it, and
  // it reads as 0. It is never written through the BAR.
  const uint8_t* host = nullptr;
};

// Named numbers for vm.counters.
using Counters = std::map<std::string, uint64_t>;

class Device {
 public:
  using Done = absl::AnyInvocable<void()>;

  virtual ~Device() = default;

  // Constant for the device's life; any thread.
  virtual absl::string_view id() const = 0;  // "_disk0"
  virtual uint16_t type() const = 0;         // VIRTIO_ID_*
  virtual uint64_t features() const = 0;     // offered, without VERSION_1 (the transport's)
  virtual std::span<const uint16_t> queue_sizes() const = 0;  // maximum size by queue index
  // Where the device takes its orders, and the loop that serves queue `index`. Both outlive the
  // device.
  virtual base::EventLoop& loop() = 0;
  virtual base::EventLoop& queue_loop(uint16_t index) = 0;
  virtual std::span<const SharedMemoryRegion> shared_memory() const { return {}; }

  // Configuration space. Under the transport's lock, on a vCPU thread; must not block nor call
  // ChangeConfig. Bytes beyond the device's structure read as 0. [VIRTIO 1.2 §2.5]
  virtual uint32_t config_size() const = 0;
  virtual void ReadConfig(uint32_t offset, std::span<uint8_t> to) = 0;
  virtual void WriteConfig(uint32_t /*offset*/, std::span<const uint8_t> /*from*/) {}

  // --- On loop() from here on ---

  // The driver has set DRIVER_OK with `features` accepted. `notifier` is valid until Deactivate.
  virtual void Activate(uint64_t features, DriverNotifier& notifier) = 0;
  // Begins serving a queue that is stopped: at DRIVER_OK, or later after a queue reset.
  virtual void StartQueue(EnabledQueue queue) = 0;
  // Stops serving queue `index`: no new pops, in-flight requests are cancelled or waited for;
  // `done` runs when none is left and the ring will not be touched again. A queue that was not
  // started: done at once.
  virtual void StopQueue(uint16_t index, Done done) = 0;
  // All queues are stopped; forgets `notifier` and everything negotiated.
  virtual void Deactivate() = 0;

  // Quiesces all queues and keeps them: `done` runs when nothing is in flight (nothing is
  // cancelled, nothing is lost). Resume serves whatever was made available meanwhile.
  virtual void Pause(Done done) = 0;
  virtual void Resume() = 0;

  virtual Counters counters() const = 0;

  // `owner` shows the device to a driver from now on / no longer. Any thread. For transports.
  void Attach(ConfigOwner& owner) {
    base::MutexLock lock(owner_mutex_);
    owner_ = &owner;
  }
  void Detach(const ConfigOwner& owner) {
    base::MutexLock lock(owner_mutex_);
    if (owner_ == &owner) owner_ = nullptr;
  }

 protected:
  // The only way to change what ReadConfig gives: see ConfigOwner. Without an owner nobody reads.
  void ChangeConfig(uint64_t features, absl::FunctionRef<void()> change) {
    base::MutexLock lock(owner_mutex_);
    if (owner_ != nullptr) return owner_->ChangeConfig(features, change);
    change();
  }

 private:
  base::Mutex owner_mutex_;  // before the owner's own
  ConfigOwner* owner_ ABSL_GUARDED_BY(owner_mutex_) = nullptr;
};

}  // namespace virtio

#endif  // VIRTIO_DEVICE_H_
