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

#include <cstdint>
#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/device.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/served_queue.h"
#include "virtio/queue/split_queue.h"

namespace virtio {

// One queue of a device. The driver may start and stop it any number of times. A device derives its
// queue from this class and implements what happens with a chain. All calls are on the queue's
// loop.
//
//   kick -> (base) pop -> Start(chain): parse, submit ... later: Complete(chain, written)
class DeviceQueue : public ServedQueue, private base::TurnHook {
 public:
  DeviceQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index);
  ~DeviceQueue() override;  // the queue must be stopped

  // Watches the doorbell while the queue is started.
  void StartServing(EnabledQueue start, DriverNotifier& notifier) final;
  // Calls CancelRequests(), and `done` at the end of a turn.
  void Stop(Done done) final;
  // Calls `done` at the end of a turn; some requests may still rest (see resting_requests).
  void Pause(Done done) final;
  void Resume() final;
  bool started() const final { return ring_ != nullptr; }

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
  void ServeAtTurnEnd() { loop().AtTurnEnd(*this); }
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

  base::GuestMemory& memory_;
  DoorbellWatch doorbell_watch_;
  std::unique_ptr<SplitQueue> ring_;
  DriverNotifier* notifier_ = nullptr;
  bool paused_ = false;
  bool stopping_ = false;
  bool serving_ = false;      // in Serve: Start may call Complete, and Complete may ask to serve
  bool ending_turn_ = false;  // in OnTurnEnd: it publishes completed requests before it returns
  std::vector<Done> stop_done_;
  std::vector<Done> pause_done_;
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_DEVICE_QUEUE_H_
