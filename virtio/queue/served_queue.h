// A queue of a device, whoever serves it: a loop of this process (DeviceQueue) or the host's kernel
// (vhost).
#ifndef VIRTIO_QUEUE_SERVED_QUEUE_H_
#define VIRTIO_QUEUE_SERVED_QUEUE_H_

#include <atomic>
#include <cstdint>

#include "base/event_loop.h"
#include "virtio/device.h"

namespace virtio {

// A counter that one thread increments and any thread may read.
class QueueCounter {
 public:
  void Increment() { Add(1); }
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// What a queue has done since it was made. What the host's kernel did is not counted.
struct QueueCounters {
  QueueCounter kicks;       // doorbell signals seen (one signal may stand for several kicks)
  QueueCounter chains;      // chains popped
  QueueCounter interrupts;  // interrupts asked for
};

// The driver may start and stop the queue any number of times. All calls are on the queue's loop.
class ServedQueue {
 public:
  using Done = Device::Done;

  ServedQueue(base::EventLoop& loop, uint16_t index) : loop_(loop), index_(index) {}
  virtual ~ServedQueue() = default;
  ServedQueue(const ServedQueue&) = delete;
  ServedQueue& operator=(const ServedQueue&) = delete;

  // Takes the ring and begins to serve.
  virtual void StartServing(EnabledQueue start, DriverNotifier& notifier) = 0;
  // Serves no more chains. Calls `done` once nothing is in flight and the ring will not be touched
  // again; at once if the queue is not started. `done` may destroy the queue. A second call while
  // the queue is stopping is allowed; each `done` is called.
  virtual void Stop(Done done) = 0;
  // Serves no more chains. Calls `done` once every request in flight has ended or rests; at once if
  // the queue is not started. A queue that is started later is paused, too. Resume() starts serving
  // again and drops any `done` that has not run.
  virtual void Pause(Done done) = 0;
  virtual void Resume() = 0;
  virtual bool started() const = 0;

  uint16_t index() const { return index_; }
  base::EventLoop& loop() const { return loop_; }
  const QueueCounters& queue_counters() const { return counters_; }

 protected:
  QueueCounters counters_;

 private:
  base::EventLoop& loop_;
  const uint16_t index_;
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_SERVED_QUEUE_H_
