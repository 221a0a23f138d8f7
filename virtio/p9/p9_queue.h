// The data path of the 9P queue: kick, pop, parse, submit, complete, finish.
#ifndef VIRTIO_P9_P9_QUEUE_H_
#define VIRTIO_P9_P9_QUEUE_H_

#include <cstdint>
#include <span>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/p9/p9_command.h"
#include "virtio/p9/p9_server.h"
#include "virtio/share/share_counters.h"
#include "virtio/share/share_queue.h"

namespace virtio {

class P9Queue;

struct P9Request : ShareRequest<P9Transfer, P9Command> {
  explicit P9Request(P9Queue& owner) : queue(owner) {}
  void OnComplete(int32_t result) override;

  P9Queue& queue;
  uint8_t type = 0;
  uint16_t tag = 0;
  bool flushed = false;            // FLUSH requests wait for this request, which shall end early
  P9Request* waits_for = nullptr;  // FLUSH: is answered after this request
};

class P9Queue final : public ShareQueue<P9Request> {
 public:
  // `server` and `counters` must outlive the queue.
  P9Queue(base::EventLoop& loop, base::GuestMemory& memory, P9Server& server,
          ShareCounters& counters, RequestSlab<P9Request> slab);

 private:
  Chain* AcquireChain() override { return slab().Acquire(*this); }
  void Start(Chain& chain) override;
  void Execute(P9Request& request, const P9Command& command) override;
  bool MeetsLeases(const P9Command& command) const override;
  void FinishTransfer(P9Request& request, HostError error) override;
  uint32_t PushAnswer(P9Request& request, HostError error, std::span<const uint8_t> payload,
                      uint32_t data_bytes) override;
  void OnFinished(const P9Request& request) override;
  bool EndsEarly(const P9Request& request) const override { return stopping() || request.flushed; }

  void BeginTransfer(P9Request& request, const P9Command& command, uint32_t max_read_bytes);
  void Flush(P9Request& request);

  P9Server& server_;
  P9Command command_;  // of the request that is being started
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_QUEUE_H_
