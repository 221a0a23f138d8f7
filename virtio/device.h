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
// Threads: the transport's registers are accessed on vCPU threads, under the transport's lock. The
// driver's reads and writes of the configuration space reach the device there. The transport makes
// all other calls on the device's loop(). Queue i is served on queue_loop(i), which may be a
// different loop. No vCPU ever waits for a loop: stopping is asynchronous, and the driver polls
// device_status or queue_reset until the register reads back the expected value.
#ifndef VIRTIO_DEVICE_H_
#define VIRTIO_DEVICE_H_

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

// How a device reaches its driver. The transport implements it. Unless a comment says otherwise,
// functions may be called on any thread and never block.
class DriverNotifier {
 public:
  virtual ~DriverNotifier() = default;
  // Sends the "used buffers" interrupt of queue `index`.
  virtual void NotifyQueue(uint16_t index) = 0;
  // Returns an eventfd whose signals interrupt the driver as NotifyQueue does, for a queue that the
  // host's kernel serves (vhost). The eventfd is valid until Deactivate: the driver may change the
  // queue's interrupt only while the queue is stopped. Errors: the driver wants no interrupts, or
  // the host has no interrupts left. Call it on the device's loop; it may wait for the host.
  virtual absl::StatusOr<int> QueueInterruptFd(uint16_t index) = 0;
  // Sets DEVICE_NEEDS_RESET, notifies the driver and logs `why` (rate limited). [VIRTIO 1.2 §2.1.2]
  virtual void NeedsReset(absl::string_view why) = 0;
};

// Shows a device's configuration space to its driver. The transport implements it.
class ConfigOwner {
 public:
  virtual ~ConfigOwner() = default;
  // Runs `change`, which alters what Device::ReadConfig returns, and changes the generation with
  // it. Both happen under the lock that all reads take, so a driver that has read one part of the
  // value before the change and another part after it can detect this. Then notifies the driver if
  // the driver has accepted all of `features`. A driver that has not set DRIVER_OK yet is notified
  // when it sets DRIVER_OK, since it may have read the old value. `change` may only store values.
  // Any thread; never blocks. [VIRTIO 1.2 §2.5, §4.1.4.3]
  virtual void ChangeConfig(uint64_t features, absl::FunctionRef<void()> change) = 0;
};

// A queue that the driver has enabled, as the transport hands it to the device.
struct EnabledQueue {
  uint16_t index = 0;
  std::unique_ptr<SplitQueue> ring;
  base::LoopFile doorbell;  // an eventfd, registered with the queue's loop while the loop lives
  int doorbell_fd = -1;     // the same; valid as long as the device
};

// Memory that a device shares with its driver, in the shared-memory BAR. [VIRTIO 1.2 §2.10]
struct SharedMemoryRegion {
  uint8_t id = 0;  // the device type defines the meaning; unique in a device
  uint64_t offset = 0;
  uint64_t length = 0;
  // `length` bytes of a window of GuestMemory. The driver reads them through the BAR and can never
  // write them. Null: there is no memory behind the region, and the driver reads zeros.
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
  virtual uint64_t features() const = 0;     // offered; without VERSION_1, which the transport adds
  virtual std::span<const uint16_t> queue_sizes() const = 0;  // maximum size by queue index
  // loop() is where the transport calls the device; queue_loop() is the loop that serves queue
  // `index`. Both outlive the device.
  virtual base::EventLoop& loop() = 0;
  virtual base::EventLoop& queue_loop(uint16_t index) = 0;
  virtual std::span<const SharedMemoryRegion> shared_memory() const { return {}; }

  // Access to the configuration space. Called under the transport's lock, on a vCPU thread; must
  // neither block nor call ChangeConfig. Bytes beyond the device's structure read as 0. [VIRTIO 1.2
  // §2.5]
  virtual uint32_t config_size() const = 0;
  virtual void ReadConfig(uint32_t offset, std::span<uint8_t> to) = 0;
  virtual void WriteConfig(uint32_t /*offset*/, std::span<const uint8_t> /*from*/) {}

  // --- All functions below are called on loop() ---

  // The driver has set DRIVER_OK and accepted `features`. `notifier` is valid until Deactivate.
  virtual void Activate(uint64_t features, DriverNotifier& notifier) = 0;
  // Begins serving a stopped queue: at DRIVER_OK, or later after a queue reset.
  virtual void StartQueue(EnabledQueue queue) = 0;
  // Stops serving queue `index`: pops no more chains, and cancels requests in flight or waits for
  // them. Calls `done` when no request is left and the device will not touch the ring again; at
  // once if the queue was not started.
  virtual void StopQueue(uint16_t index, Done done) = 0;
  // Forgets `notifier` and everything negotiated. All queues are stopped before this call.
  virtual void Deactivate() = 0;

  // Stops serving all queues but keeps them. Calls `done` when nothing is in flight; no request is
  // cancelled or lost. Resume serves what the driver made available in the meantime.
  virtual void Pause(Done done) = 0;
  virtual void Resume() = 0;

  virtual Counters counters() const = 0;

  // Attach: from now on `owner` shows the device to a driver. Detach: `owner` no longer does.
  // Transports call them, on any thread.
  void Attach(ConfigOwner& owner) {
    base::MutexLock lock(owner_mutex_);
    owner_ = &owner;
  }
  void Detach(const ConfigOwner& owner) {
    base::MutexLock lock(owner_mutex_);
    if (owner_ == &owner) owner_ = nullptr;
  }

 protected:
  // Changes what ReadConfig returns; there is no other way (see ConfigOwner). Without an owner no
  // driver can read the configuration space, so `change` just runs.
  void ChangeConfig(uint64_t features, absl::FunctionRef<void()> change) {
    base::MutexLock lock(owner_mutex_);
    if (owner_ != nullptr) return owner_->ChangeConfig(features, change);
    change();
  }

 private:
  base::Mutex owner_mutex_;  // taken before the lock of the owner
  ConfigOwner* owner_ ABSL_GUARDED_BY(owner_mutex_) = nullptr;
};

}  // namespace virtio

#endif  // VIRTIO_DEVICE_H_
