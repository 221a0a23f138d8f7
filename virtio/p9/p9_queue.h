// The data path of a 9P device's queue: kick, pop, parse, submit, complete, finish.
#ifndef VIRTIO_P9_P9_QUEUE_H_
#define VIRTIO_P9_P9_QUEUE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/device.h"
#include "virtio/host_tree/leased_requests.h"
#include "virtio/p9/p9_command.h"
#include "virtio/p9/p9_server.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/device_queue.h"
#include "virtio/queue/read_target.h"
#include "virtio/queue/request_slab.h"

namespace virtio {

class P9Queue;

// A request in flight. While a transfer is under way the kernel holds pointers into the chain's
// iovecs.
struct P9Request : base::Operation, Chain {
  explicit P9Request(P9Queue& owner) : queue(owner) {}
  void OnComplete(int32_t result) override;

  P9Queue& queue;
  uint8_t type = 0;
  uint8_t retries = 0;
  uint16_t tag = 0;
  bool syncing = false;            // FSYNC, and WRITE behind what it has written
  bool transferring = false;       // READ, WRITE, FSYNC: until the end
  bool flushed = false;            // the same, and while it waits: the guest wants it to end
  P9Transfer transfer;             // the same
  ReadTarget target;               // READ
  std::span<iovec> source;         // WRITE: what is left to be written
  uint64_t offset = 0;             // in the file, of what is left
  uint32_t data_bytes = 0;         // read or written so far
  P9Request* waits_for = nullptr;  // FLUSH: answered behind this request
  std::unique_ptr<LeasedRequest<P9Command>> leased;  // it has met a lease of another process
};

class P9Queue final : public DeviceQueue {
 public:
  // `id` is for log lines.
  P9Queue(base::EventLoop& loop, base::GuestMemory& memory, std::string id, P9Server& server,
          RequestSlab<P9Request> slab);

  void AddCounters(Counters& counters) const;

 private:
  friend struct P9Request;

  Chain* AcquireChain() override { return slab_.Acquire(*this); }
  void ReleaseChain(Chain& chain) override { slab_.Release(static_cast<P9Request&>(chain)); }
  void Start(Chain& chain) override;
  void CancelRequests() override;
  uint32_t resting_requests() const override { return leased_.resting(); }
  void ResumeRequests() override;

  void Execute(P9Request& request, const P9Command& command);
  void BeginTransfer(P9Request& request, const P9Command& command, uint32_t max_read_bytes);
  // Another process has a lease on the file: true if the request is executed again later; false if
  // the process has had its time, or too many requests wait.
  bool WaitForLease(P9Request& request, const P9Command& command);
  // The time to try again has come, or the wait was cancelled.
  void EndLeaseWait(P9Request& request);
  void Submit(P9Request& request);
  void OnComplete(P9Request& request, int32_t result);
  // Notes the bytes that were read or written; true if some are left.
  bool Advance(P9Request& request, uint32_t bytes);
  // All is read or written, or as much as can be: flushes what has to be on the disk, or finishes.
  void EndData(P9Request& request, bool ending);
  void FinishTransfer(P9Request& request, HostError error);
  // Ends the transfer that has the tag early, or the wait; the answer to the flush comes behind its
  // own.
  void Flush(P9Request& request);
  void FinishFlushes(const P9Request& request);

  // Answers with an errno, or with `payload` behind the header and `data_bytes` that are there
  // already.
  void Finish(P9Request& request, HostError error, std::span<const uint8_t> payload,
              uint32_t data_bytes = 0);

  const std::string id_;
  P9Server& server_;
  RequestSlab<P9Request> slab_;
  P9Command command_;  // of the request being started
  uint32_t waiting_flushes_ = 0;
  LeasedRequests<P9Request, P9Command> leased_;
  uint64_t read_bytes_ = 0;
  uint64_t written_bytes_ = 0;
  uint64_t host_errors_ = 0;      // transfers that failed for the host's reasons
  uint64_t short_transfers_ = 0;  // transfers that went on
  uint64_t retries_ = 0;
  uint64_t without_room_ = 0;  // requests with no header, or no room for an answer
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_QUEUE_H_
