// What the queues of all kinds of shares have in common: requests in flight, transfers between the
// guest's buffers and a file, and the wait for leases of other processes.
#ifndef VIRTIO_SHARE_SHARE_QUEUE_H_
#define VIRTIO_SHARE_SHARE_QUEUE_H_

#include <errno.h>
#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/device_queue.h"
#include "virtio/queue/read_target.h"
#include "virtio/queue/request_slab.h"
#include "virtio/share/leased_requests.h"
#include "virtio/share/share_counters.h"
#include "virtio/share/share_server.h"

namespace virtio {

// A request in flight. `Transfer` is derived from FileTransfer; `ParsedCommand` is what the parser
// makes of the chain.
// LIFETIME: the kernel holds pointers into the chain's iovecs while an operation is pending().
template <typename Transfer, typename ParsedCommand>
struct ShareRequest : base::Operation, Chain {
  using Command = ParsedCommand;

  Transfer transfer;
  TransferStep step = TransferStep::kRead;
  uint8_t retries = 0;                             // of this step, since it last made progress
  uint32_t data_bytes = 0;                         // read, written or copied so far
  uint64_t offset = 0;                             // in the file, of what is left
  ReadTarget target;                               // kRead: the buffers that are not filled yet
  std::span<iovec> source;                         // kWrite: the bytes that are not written yet
  int allocation_mode = 0;                         // kAllocate: FALLOC_FL_*
  uint64_t allocation_bytes = 0;                   // kAllocate
  std::unique_ptr<LeasedRequest<Command>> leased;  // if the request has met a lease
};

// A device's queue derives from this class and adds its protocol: it parses a request, has its
// server execute the request, or begins a transfer here, and encodes the answer. `Request` is
// derived from ShareRequest. The loop's thread.
template <typename Request>
class ShareQueue : public DeviceQueue {
 public:
  using Command = typename Request::Command;

  // Continues with `request`, whose operation has ended with `result`.
  void OnComplete(Request& request, int32_t result) {
    if (leased_.IsResting(request)) return EndRest(request);
    const bool ends = EndsEarly(request);
    if (result >= 0) {
      const bool is_more_left = Advance(request, static_cast<uint32_t>(result));
      if (!is_more_left || ends) return EndData(request);
      // The guest would take a short answer for the end of the file, or for an error.
      request.retries = 0;
      ++counters_.short_transfers;
      return Submit(request);
    }
    const bool may_repeat = result == -EINTR || result == -EAGAIN;
    if (!ends && may_repeat && request.retries < kMaxRetries) {
      ++request.retries;
      ++counters_.retries;
      return Submit(request);
    }
    const HostError error = HostError::FromErrno(ends ? EINTR : -result);
    if (!ends) counters_.NoteError(request.step, error);
    // The guest learns how much was written before the error. A read has no such answer: a short
    // read would mean the end of the file.
    if (HasWritten(request)) return EndData(request);
    FinishTransfer(request, error);
  }

 protected:
  // `counters` must outlive the queue.
  ShareQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index,
             ShareCounters& counters, RequestSlab<Request> slab)
      : DeviceQueue(loop, memory, index),
        counters_(counters),
        slab_(std::move(slab)),
        leased_(loop, slab_.capacity()) {}

  // --- What a protocol defines ---

  // Executes `command`, for the first time or after a rest. The request then is finished, is in a
  // transfer, or rests.
  virtual void Execute(Request& request, const Command& command) = 0;
  // Returns whether EAGAIN, as the answer to `command`, means that nothing was done because another
  // process has a lease on the file or has the file delegated.
  virtual bool MeetsLeases(const Command& command) const = 0;
  // Ends the transfer with the server and finishes the request. If `error` is 0, `data_bytes` of
  // the request have been transferred.
  virtual void FinishTransfer(Request& request, HostError error) = 0;
  // Writes the answer into the guest's buffers: `error`, or `payload` behind the header, before
  // `data_bytes` bytes that are in the buffers already. Returns the length of the answer.
  virtual uint32_t PushAnswer(Request& request, HostError error, std::span<const uint8_t> payload,
                              uint32_t data_bytes) = 0;
  // Called when the answer of `request` is in the used ring. Default: nothing.
  virtual void OnFinished(const Request& /*request*/) {}
  // Returns whether `request` shall begin no further step. Default: only while the queue stops.
  virtual bool EndsEarly(const Request& /*request*/) const { return stopping(); }
  // Makes a request in flight end soon. Default: cancels its operation.
  virtual void Cancel(Request& request) { loop().Cancel(request); }
  // Reads what the host has cached. Returns true if nothing is left to read. Default: reads
  // nothing.
  virtual bool ReadCached(Request& /*request*/) { return false; }

  // --- What a protocol uses ---

  RequestSlab<Request>& slab() { return slab_; }
  ShareCounters& counters() { return counters_; }

  // Lets `request` rest if `error` means that `command` met a lease: Execute is called again later.
  // Returns false if the guest shall get the error: the error means something else, the other
  // process has had its time, or too many requests rest.
  bool Rest(Request& request, const Command& command, HostError error) {
    return error == EAGAIN && MeetsLeases(command) && !stopping() && leased_.Rest(request, command);
  }

  // Begins to read up to `bytes` bytes at `offset`. The data go behind the first `header_bytes` of
  // the guest's buffers, which must have room for both.
  void BeginRead(Request& request, uint64_t offset, uint32_t header_bytes, uint32_t bytes) {
    Begin(request, TransferStep::kRead, offset);
    request.target.Begin(request.writable(), header_bytes, bytes);
    if (request.target.left().empty() || ReadCached(request)) return FinishTransfer(request, 0);
    Submit(request);
  }
  // Begins to write the next `bytes` bytes of the guest's buffers, which must have as many.
  void BeginWrite(Request& request, uint64_t offset, uint32_t bytes) {
    Begin(request, TransferStep::kWrite, offset);
    request.source = request.readable();
    KeepFront(request.source, bytes);
    if (request.source.empty()) return FinishTransfer(request, 0);
    Submit(request);
  }
  void BeginAllocation(Request& request, int mode, uint64_t offset, uint64_t bytes) {
    Begin(request, TransferStep::kAllocate, offset);
    request.allocation_mode = mode;
    request.allocation_bytes = bytes;
    Submit(request);
  }
  // Ends a transfer of `bytes` bytes that the host has copied from file to file already: flushes
  // them first if they must be on the disk.
  void BeginAfterCopy(Request& request, uint32_t bytes) {
    Begin(request, TransferStep::kWrite, 0);
    request.data_bytes = bytes;
    EndData(request);
  }
  void BeginFlush(Request& request) {
    Begin(request, TransferStep::kFlush, 0);
    Submit(request);
  }
  // Records that `bytes` bytes were read or written. Returns true if some are left.
  bool Advance(Request& request, uint32_t bytes) {
    if (bytes == 0) return false;  // the end of the file; or the step has no data
    request.offset += bytes;
    request.data_bytes += bytes;
    if (request.step == TransferStep::kRead) {
      request.target.Consume(memory(), bytes);
      return !request.target.left().empty();
    }
    ConsumeFront(request.source, bytes);
    return !request.source.empty();
  }
  // Answers `request` (see PushAnswer), which ends with that.
  void Finish(Request& request, HostError error, std::span<const uint8_t> payload = {},
              uint32_t data_bytes = 0) {
    const uint32_t bytes = PushAnswer(request, error, payload, data_bytes);
    leased_.Remove(request);
    Complete(request, bytes);
    OnFinished(request);
  }

 private:
  // How often a step is repeated that may be repeated and makes no progress.
  static constexpr uint8_t kMaxRetries = 16;

  void ReleaseChain(Chain& chain) final { slab_.Release(static_cast<Request&>(chain)); }
  uint32_t resting_requests() const final { return leased_.resting(); }
  void ResumeRequests() final {
    slab_.ForEachInUse([this](Request& request) {
      if (leased_.IsOverdue(request)) EndRest(request);
    });
  }
  void CancelRequests() final {
    slab_.ForEachInUse([this](Request& request) {
      // The timer of the request ended during the pause.
      if (leased_.IsOverdue(request)) return EndRest(request);
      Cancel(request);
    });
  }

  // Called when it is time to try again, or when the timer was cancelled.
  void EndRest(Request& request) {
    const bool ends = EndsEarly(request);
    // Nothing is done for a guest that is paused.
    if (paused() && !ends) return;
    leased_.EndRest(request);
    if (ends) return Finish(request, EINTR);
    loop().turn_budget().SpendHostCall();
    Execute(request, request.leased->command);
  }

  static void Begin(Request& request, TransferStep step, uint64_t offset) {
    request.step = step;
    request.retries = 0;
    request.data_bytes = 0;
    request.offset = offset;
  }
  void Submit(Request& request) {
    const base::LoopFile file = request.transfer.file;
    switch (request.step) {
      case TransferStep::kRead:
        return loop().ReadV(request, file, request.target.left(), request.offset);
      case TransferStep::kWrite:
        if (request.transfer.append) return loop().AppendV(request, file, request.source);
        return loop().WriteV(request, file, request.source, request.offset);
      case TransferStep::kAllocate:
        return loop().Fallocate(request, file, request.allocation_mode, request.offset,
                                request.allocation_bytes);
      case TransferStep::kFlush:
        if (request.transfer.sync == FileSync::kData) return loop().Fdatasync(request, file);
        return loop().Fsync(request, file);
    }
  }
  static bool HasWritten(const Request& request) {
    return request.step == TransferStep::kWrite && request.data_bytes > 0;
  }
  // Called when the data are read or changed, or as much of them as can be. Flushes the change if
  // it has to be on the disk; finishes the request otherwise.
  void EndData(Request& request) {
    const bool has_changed = request.step == TransferStep::kAllocate || HasWritten(request);
    if (!has_changed || request.transfer.sync == FileSync::kNone) {
      return FinishTransfer(request, 0);
    }
    // The guest must not believe that data are on the disk that may not be there.
    if (EndsEarly(request)) return FinishTransfer(request, EINTR);
    request.step = TransferStep::kFlush;
    request.retries = 0;
    Submit(request);
  }

  ShareCounters& counters_;
  RequestSlab<Request> slab_;
  LeasedRequests<Request, Command> leased_;
};

}  // namespace virtio

#endif  // VIRTIO_SHARE_SHARE_QUEUE_H_
