// The part of a data path that is the same in every device: doorbell, budget, used-ring batching,
// one interrupt per turn, and the gate that makes stop and pause wait for requests in flight.
//
// All serving is done at the end of a turn, whether a doorbell or completions woke the loop:
// publish what has ended (one interrupt), pop what the driver has made available by then, and only
// when there is nothing left ask for kicks. Until then kicks are suppressed, so a driver that
// answers in time costs neither a doorbell nor a turn of its own, and one system call submits its
// batch and waits.
#ifndef VIRTIO_QUEUE_DEVICE_QUEUE_H_
#define VIRTIO_QUEUE_DEVICE_QUEUE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/device.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/split_queue.h"

namespace virtio {

// A number that one thread counts and any thread reads.
class QueueCounter {
 public:
  void Increment() {
    value_.store(value_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// What a queue has done since it was made.
struct QueueCounters {
  QueueCounter kicks;       // doorbell signals seen (several kicks may be one)
  QueueCounter chains;      // popped
  QueueCounter interrupts;  // asked for
};

// One queue of a device, started and stopped as the driver likes. A device derives from it and says
// what to do with a chain; all on the device's loop.
//
//   kick -> (base) pop -> Start(chain): parse, submit ... later: Complete(chain, written)
class DeviceQueue : private base::TurnHook {
 public:
  using Done = Device::Done;

  DeviceQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index);
  ~DeviceQueue() override;  // must be stopped

  // Takes the ring and begins serving; watches the doorbell.
  void StartServing(EnabledQueue start, DriverNotifier& notifier);
  // No new pops, CancelRequests(), and `done` once nothing is in flight and the doorbell watch has
  // ended: at the end of a turn, or at once if the queue is not started. `done` may destroy the
  // queue. Asked again while stopping: both are told.
  void Stop(Done done);
  // No new pops; `done` once nothing is in flight but what rests (at the end of a turn; at once if
  // not started). Holds for a queue started later too. Resume goes on; a `done` that has not run by
  // then never does.
  void Pause(Done done);
  void Resume();

  bool started() const { return ring_ != nullptr; }
  uint16_t index() const { return index_; }
  base::EventLoop& loop() const { return loop_; }
  const QueueCounters& queue_counters() const { return counters_; }

 protected:
  // Returns a free request's chain to pop into, or nullptr if all are in use (serving goes on at
  // the end of a turn with a Complete).
  virtual Chain* AcquireChain() = 0;
  // Gives back what AcquireChain returned when there was nothing to pop.
  virtual void ReleaseChain(Chain& chain) = 0;
  // Begins the request in `chain`. May Complete it at once. Its descriptors are spent from the
  // turn's budget already; what else takes time is to be spent by the device.
  virtual void Start(Chain& chain) = 0;
  // Cancels whatever can be cancelled; each request still ends with Complete. Default: nothing.
  virtual void CancelRequests() {}
  // Pause was called on a queue that is started: requests that may otherwise wait for ever are
  // ended early. Default: nothing.
  virtual void PauseRequests() {}
  // Returns how many requests in flight wait for another process of the host and have nothing under
  // way: Pause does not wait for them, and while paused() they neither go on nor end, but by
  // CancelRequests. Default: none.
  virtual uint32_t resting_requests() const { return 0; }
  // Resume was called: requests that rested may go on. Before anything is popped. Default: nothing.
  virtual void ResumeRequests() {}

  // Ends a request: into the used ring with `written_bytes`; the driver sees it and is interrupted
  // at the end of the turn. `chain` is released (ReleaseChain) and must not be used again.
  void Complete(Chain& chain, uint32_t written_bytes);
  // Pops what is available as far as requests are free: for devices whose buffers wait for host
  // data (console input) this is called when data arrives.
  void Serve();
  // False: Serve does nothing and kicks are ignored, e.g. an input queue without input. Default
  // true.
  virtual bool WantsChains() const { return true; }

  // True from Stop until its `done`: a request of several steps ends instead of taking the next.
  bool stopping() const { return stopping_; }
  bool paused() const { return paused_; }

  base::GuestMemory& memory() { return memory_; }

 private:
  class DoorbellWatch final : public base::Operation {
   public:
    explicit DoorbellWatch(DeviceQueue& queue) : queue_(queue) {}
    void OnComplete(int32_t result) override;

   private:
    DeviceQueue& queue_;
  };
  enum class Outcome { kIdle, kOutOfBudget };

  void OnDoorbell(int32_t result);
  void OnTurnEnd() override;
  Outcome ServeSome();
  bool MayServe() const;
  void Publish();
  void FinishIfQuiet();

  base::EventLoop& loop_;
  base::GuestMemory& memory_;
  const uint16_t index_;
  DoorbellWatch doorbell_watch_;
  std::unique_ptr<SplitQueue> ring_;
  DriverNotifier* notifier_ = nullptr;
  bool paused_ = false;
  bool stopping_ = false;
  bool serving_ = false;      // in Serve: Start may complete at once and complete may ask to serve
  bool ending_turn_ = false;  // in OnTurnEnd: what completes now is published before it returns
  std::vector<Done> stop_done_;
  std::vector<Done> pause_done_;
  QueueCounters counters_;
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_DEVICE_QUEUE_H_
