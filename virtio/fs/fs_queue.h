// The data path of one queue of a file system: kick, pop, parse, submit, complete, finish. The high
// priority queue is served as the request queues are. [VIRTIO 1.2 §5.11.6]
#ifndef VIRTIO_FS_FS_QUEUE_H_
#define VIRTIO_FS_FS_QUEUE_H_

#include <cstdint>
#include <span>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/fs/fs_command.h"
#include "virtio/fs/fs_server.h"
#include "virtio/host_tree/file_system_sync.h"
#include "virtio/share/share_counters.h"
#include "virtio/share/share_queue.h"

namespace virtio {

// What the queues of one device share. Use it on the device's loop.
struct FsShared {
  ShareCounters counters;
  // Syncs the file system for SYNCFS. Null if the share is read-only or cannot be synced; SYNCFS of
  // a writable share is then answered with `sync_error`.
  FileSystemSync* sync = nullptr;
  HostError sync_error;
};

class FsQueue;

struct FsRequest : ShareRequest<FsTransfer, FsCommand>, FileSystemSync::Waiter {
  explicit FsRequest(FsQueue& owner) : queue(owner) {}
  void OnComplete(int32_t result) override;
  void OnSynced(HostError error) override;  // SYNCFS

  FsQueue& queue;
  uint64_t unique = 0;
  uint32_t opcode = 0;
};

class FsQueue final : public ShareQueue<FsRequest> {
 public:
  FsQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index, FsServer& server,
          FsShared& shared, RequestSlab<FsRequest> slab);

 private:
  friend struct FsRequest;

  Chain* AcquireChain() override { return slab().Acquire(*this); }
  void Start(Chain& chain) override;
  void Execute(FsRequest& request, const FsCommand& command) override;
  bool MeetsLeases(const FsCommand& command) const override;
  void FinishTransfer(FsRequest& request, HostError error) override;
  uint32_t PushAnswer(FsRequest& request, HostError error, std::span<const uint8_t> payload,
                      uint32_t data_bytes) override;
  void Cancel(FsRequest& request) override;
  bool ReadCached(FsRequest& request) override;

  void Forget(FsRequest& request);
  void RemoveMappings(FsRequest& request);
  void BeginTransfer(FsRequest& request, const FsCommand& command);
  void OnSynced(FsRequest& request, HostError error);

  FsServer& server_;
  FsShared& shared_;
  FsCommand command_;  // of the request that is being started
};

}  // namespace virtio

#endif  // VIRTIO_FS_FS_QUEUE_H_
