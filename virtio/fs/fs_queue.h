// The data path of one queue of a file system: kick, pop, parse, submit, complete, finish. The high
// priority queue is served as the request queues are. [VIRTIO 1.2 §5.11.6]
#ifndef VIRTIO_FS_FS_QUEUE_H_
#define VIRTIO_FS_FS_QUEUE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/fs/fs_command.h"
#include "virtio/fs/fs_server.h"
#include "virtio/host_tree/file_system_sync.h"
#include "virtio/host_tree/leased_requests.h"
#include "virtio/queue/device_queue.h"
#include "virtio/queue/read_target.h"
#include "virtio/queue/request_slab.h"

namespace virtio {

// What the queues of one device share. Its loop only.
struct FsShared {
  std::string id;  // in log lines
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  uint64_t host_errors = 0;      // of reads, writes and flushes that the guest did not cause
  uint64_t short_transfers = 0;  // reads and writes that went on
  uint64_t retries = 0;
  uint64_t without_room = 0;  // requests with no room for an answer
  // Of a share that can be written to; or null, and the errno that SYNCFS is answered with.
  FileSystemSync* sync = nullptr;
  HostError sync_error;
};

class FsQueue;

// A request in flight. While data are under way the kernel holds pointers into the chain's iovecs.
struct FsRequest : base::Operation, Chain, FileSystemSync::Waiter {
  explicit FsRequest(FsQueue& owner) : queue(owner) {}
  void OnComplete(int32_t result) override;
  void OnSynced(HostError error) override;  // SYNCFS

  FsQueue& queue;
  uint64_t unique = 0;
  uint32_t opcode = 0;
  FsTransfer transfer;                // in use until the end
  ReadTarget target;                  // READ
  std::span<iovec> source;            // WRITE: what is left to be written
  uint64_t offset = 0;                // of what is left of `target` or `source` in the file
  uint32_t data_bytes = 0;            // read, written or copied so far
  bool syncing = false;               // FSYNC, FSYNCDIR, and others behind what they changed
  fuse_fallocate_in allocation = {};  // FALLOCATE
  uint8_t retries = 0;
  std::unique_ptr<LeasedRequest<FsCommand>> leased;  // it has met a lease of another process
};

class FsQueue final : public DeviceQueue {
 public:
  FsQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index, FsServer& server,
          FsShared& shared, RequestSlab<FsRequest> slab);

 private:
  friend struct FsRequest;

  Chain* AcquireChain() override { return slab_.Acquire(*this); }
  void ReleaseChain(Chain& chain) override { slab_.Release(static_cast<FsRequest&>(chain)); }
  void Start(Chain& chain) override;
  void CancelRequests() override;
  uint32_t resting_requests() const override { return leased_.resting(); }
  void ResumeRequests() override;

  void Forget(FsRequest& request);
  void RemoveMappings(FsRequest& request);
  void Execute(FsRequest& request, const FsCommand& command);
  void BeginTransfer(FsRequest& request, const FsCommand& command);
  // Another process has a lease on the file: true if the request is executed again later; false if
  // the process has had its time, or too many requests wait.
  bool WaitForLease(FsRequest& request, const FsCommand& command);
  // The time to try again has come, or the wait was cancelled.
  void EndLeaseWait(FsRequest& request);
  // Reads what the host has cached; true if that was all there is to read.
  bool ReadCached(FsRequest& request);
  void Submit(FsRequest& request);
  void OnComplete(FsRequest& request, int32_t result);
  void OnSynced(FsRequest& request, HostError error);
  // Data went over; true if more are to follow.
  bool Advance(FsRequest& request, uint32_t bytes);
  // All is read or changed, or as much as can be: flushes what has to be on the disk, or finishes.
  void EndData(FsRequest& request);
  void NoteError(const FsRequest& request, HostError error);
  void FinishTransfer(FsRequest& request, HostError error);

  // Answers with an errno, or with `payload` behind the header, or with `data_bytes` that are
  // there already.
  void Finish(FsRequest& request, HostError error, std::span<const uint8_t> payload,
              uint32_t data_bytes = 0);

  FsServer& server_;
  FsShared& shared_;
  FsCommand command_;  // of the request being started
  RequestSlab<FsRequest> slab_;
  LeasedRequests<FsRequest, FsCommand> leased_;
};

}  // namespace virtio

#endif  // VIRTIO_FS_FS_QUEUE_H_
