// The part of a data path that is the same in every device: the doorbell, the budget, batching of
// used-ring updates, one interrupt per turn, and the wait of stop and pause for requests in flight.
//
// A queue is served at the end of a turn, whether a doorbell or completions woke the loop. The
// queue publishes the requests that have ended (one interrupt), pops what the driver has made
// available by then, and asks for kicks only when nothing is left. Until then kicks are suppressed,
// so a driver that refills the queue in time costs neither a doorbell nor a turn of its own, and
// one system call both submits its batch and waits.
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

// What a queue has done since it was made.
struct QueueCounters {
  QueueCounter kicks;       // doorbell signals seen (one signal may stand for several kicks)
  QueueCounter chains;      // chains popped
  QueueCounter interrupts;  // interrupts asked for
};

// One queue of a device. The driver may start and stop it any number of times. A device derives its
// queue from this class and implements what happens with a chain. All calls are on the queue's
// loop.
//
//   kick -> (base) pop -> Start(chain): parse, submit ... later: Complete(chain, written)
class DeviceQueue : private base::TurnHook {
 public:
  using Done = Device::Done;

  DeviceQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index);
  ~DeviceQueue() override;  // the queue must be stopped

  // Takes the ring, watches the doorbell and begins to serve.
  void StartServing(EnabledQueue start, DriverNotifier& notifier);
  // Pops no more chains, calls CancelRequests(), and calls `done` at the end of a turn, once
  // nothing is in flight and the watch of the doorbell has ended; at once if the queue is not
  // started. `done` may destroy the queue. A second call while the queue is stopping is allowed;
  // each `done` is called.
  void Stop(Done done);
  // Pops no more chains and calls `done` at the end of a turn, once every request in flight rests
  // (see resting_requests) or has ended; at once if the queue is not started. A queue that is
  // started later is paused, too. Resume() starts serving again and drops any `done` that has not
  // run.
  void Pause(Done done);
  void Resume();

  bool started() const { return ring_ != nullptr; }
  uint16_t index() const { return index_; }
  base::EventLoop& loop() const { return loop_; }
  const QueueCounters& queue_counters() const { return counters_; }

 protected:
  // Returns the chain of a free request to pop into, or nullptr if all requests are in use. In the
  // latter case the queue is served again at the end of the turn in which a request completes.
  virtual Chain* AcquireChain() = 0;
  // Takes back what AcquireChain returned: the request has ended, or there was nothing to pop.
  virtual void ReleaseChain(Chain& chain) = 0;
  // Begins the request in `chain`; may call Complete at once. The base class has already charged
  // the chain's descriptors to the turn's budget; the device charges other work that takes time.
  virtual void Start(Chain& chain) = 0;
  // Cancels what can be cancelled. Each request still ends with Complete. Default: nothing.
  virtual void CancelRequests() {}
  // Ends requests early that could otherwise wait forever. Called when Pause is called on a queue
  // that is started. Default: nothing.
  virtual void PauseRequests() {}
  // Returns how many requests in flight rest: they wait for another process of the host and have no
  // operation under way. Pause does not wait for them. While paused() is true, a resting request
  // neither continues nor ends unless CancelRequests is called. Default: 0.
  virtual uint32_t resting_requests() const { return 0; }
  // Lets resting requests continue. Called by Resume, before the queue pops chains. Default:
  // nothing.
  virtual void ResumeRequests() {}

  // Called when the queue has been served at the end of a turn: a device whose buffers wait for the
  // host fills them now. The driver sees what it completes in the same turn. Default: nothing.
  virtual void OnServed() {}
  // Returns whether an operation of the device is under way that belongs to no request. Stop waits
  // for its end, after which the device calls ServeAtTurnEnd. Default: false.
  virtual bool HasOperations() const { return false; }

  // Ends a request: puts `chain` into the used ring with `written_bytes`. The driver sees it and is
  // interrupted at the end of the turn. Releases `chain` (ReleaseChain); the caller must not use it
  // afterwards.
  void Complete(Chain& chain, uint32_t written_bytes);
  // Gives `chain` back as if it had not been popped, and releases it. It must be the newest chain
  // that is in flight, and nothing may have been written to it. Kicks are not enabled: use it when
  // the queue stops or pauses, or before Serve.
  void GiveBack(Chain& chain);
  // Serves the queue at the end of this turn, or of the next if the queue is being served.
  void ServeAtTurnEnd() { loop_.AtTurnEnd(*this); }
  // Returns whether the queue is being served at the end of a turn.
  bool ending_turn() const { return ending_turn_; }
  // Returns whether the queue is started, neither paused nor stopping, and not broken.
  bool MayServe() const;
  // Pops available chains as long as there are free requests. A device whose buffers wait for data
  // of the host (console input) calls this when data arrive.
  void Serve();
  // Returns false if Serve shall do nothing and kicks shall be ignored, as for an input queue
  // without input. Default: true.
  virtual bool WantsChains() const { return true; }

  // Returns whether every descriptor chain that the ring can hold is in flight.
  bool HoldsWholeRing() const;

  // True from Stop until its `done`: a request of several steps ends instead of beginning the next
  // step.
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
  bool serving_ = false;      // in Serve: Start may call Complete, and Complete may ask to serve
  bool ending_turn_ = false;  // in OnTurnEnd: it publishes completed requests before it returns
  std::vector<Done> stop_done_;
  std::vector<Done> pause_done_;
  QueueCounters counters_;
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_DEVICE_QUEUE_H_
