// The data path of one request queue: kick, pop, parse, submit, complete, finish.
// [VIRTIO 1.2 §5.2.6]
#ifndef VIRTIO_BLOCK_BLOCK_QUEUE_H_
#define VIRTIO_BLOCK_BLOCK_QUEUE_H_

#include <linux/virtio_blk.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "base/log.h"
#include "net/rate_limiter.h"
#include "virtio/block/block_bounce.h"
#include "virtio/block/block_command.h"
#include "virtio/block/block_write_order.h"
#include "virtio/queue/device_queue.h"
#include "virtio/queue/request_slab.h"

namespace virtio {

class BlockQueue;

// A request in flight. The kernel holds pointers to the chain's iovecs and to `single` while the
// operation is pending; both stay in place until it has ended.
struct BlockRequest : base::Operation, Chain, OrderedWrite {
  enum class Step : uint8_t {
    kTransfer,    // copies between the image and guest memory
    kBounce,      // the same through a bounce buffer
    kReadBlocks,  // reads blocks into the buffer, of which a part will be written
    kRange,       // fallocate of a part of ranges[range]
    kZeros,       // writes zeros over a part of ranges[range]
    kSync,        // fdatasync
  };

  explicit BlockRequest(BlockQueue& owner) : queue(owner) {}
  void OnComplete(int32_t result) override;

  BlockQueue& queue;
  BlockCommand command;
  Step step = Step::kTransfer;
  uint8_t retries = 0;
  uint32_t range = 0;
  uint64_t offset = 0;                   // the place of `left` in the image
  std::span<iovec> left;                 // what is left of the current transfer
  iovec single = {};                     // storage of `left` for kBounce and kZeros
  uint32_t piece_bytes = 0;              // size of the guest's data in the current range or buffer
  uint32_t skip = 0;                     // bytes in the buffer before these data
  uint64_t range_end = 0;                // the end of ranges[range] that the host is asked for
  std::span<uint8_t> buffer;             // kBounce, kReadBlocks
  bool punch = false;                    // kRange: the host is asked to punch a hole
  BlockRequest* next_waiting = nullptr;  // the next request in a BlockRequestList
};

// Requests that wait, in order. A request is in at most one list.
class BlockRequestList {
 public:
  void Append(BlockRequest& request);
  // Removes and returns the first request, or returns nullptr.
  BlockRequest* TakeFirst();
  // Removes and returns the requests of `queue`.
  BlockRequestList TakeAllOf(const BlockQueue& queue);

 private:
  BlockRequest* first_ = nullptr;
  BlockRequest* last_ = nullptr;
};

// State that the queues of one device share. Owned by the device; used only on its loop.
struct BlockShared {
  // `rate_limiter` outlives this object. Other devices may share it.
  explicit BlockShared(net::RateLimiter& rate_limiter) : limiter(rate_limiter) {}

  struct Counters {
    uint64_t read_ops = 0;
    uint64_t read_bytes = 0;
    uint64_t write_ops = 0;
    uint64_t write_bytes = 0;
    uint64_t flush_ops = 0;
    uint64_t discard_ops = 0;
    uint64_t write_zeroes_ops = 0;
    uint64_t host_errors = 0;     // requests that failed because of the host
    uint64_t invalid = 0;         // requests refused: malformed, out of bounds, write to readonly
    uint64_t unsupported = 0;     // requests of an unknown type or flag
    uint64_t without_status = 0;  // requests with no room for a status
    uint64_t retries = 0;         // host calls repeated: EINTR, EAGAIN
    uint64_t short_transfers = 0;
    uint64_t bounced = 0;           // requests copied because of alignment
    uint64_t unaligned_writes = 0;  // writes of parts of blocks: read, changed, written back
    uint64_t syncs = 0;             // fdatasyncs started
    uint64_t throttled = 0;         // requests that waited for the rate limit
  };

  net::RateLimiter& limiter;

  std::string id;      // for log lines
  std::string path;    // path of the image, for log lines
  std::string serial;  // up to 20 bytes
  base::LoopFile file;
  BlockLimits limits;
  bool direct = false;
  uint32_t io_alignment = 1;      // for offsets and lengths of reads and writes
  uint32_t range_alignment = 1;   // for fallocate
  uint32_t memory_alignment = 1;  // for guest buffers in direct I/O
  // Orders writes where the host cannot write single sectors. The image's lock keeps other writers
  // away, and one loop serves all queues.
  BlockWriteOrder order;
  bool beginning_ordered = false;  // in BeginOrdered
  // Each write is made durable before the driver sees its completion, since the driver did not
  // accept VIRTIO_BLK_F_FLUSH. [VIRTIO 1.2 §5.2.6.2]
  bool write_through = false;
  // The errno of the first fdatasync that failed, or 0. After a failed fdatasync, pages that never
  // reached the disk are marked clean, and the next fdatasync would succeed. Therefore this value
  // stays until the image is opened again, all later flushes fail, and the program does not exit
  // with success. The loop sets it; any thread may read it.
  std::atomic<int> lost_writes_error{0};
  // Only one fdatasync runs at a time. It covers all requests that came before it was started;
  // requests that come later share the next one. If two ran at once, the kernel would report a
  // failed write to only one of them.
  bool syncing = false;
  BlockRequestList synced_along;     // covered by the running fdatasync, besides its owner
  BlockRequestList waiting_to_sync;  // for the next fdatasync
  // An fdatasync or a fallocate occupies a kernel worker of the loop until it ends. A disk that
  // hangs must leave workers for the other disks, so the number in flight is bounded.
  static constexpr uint32_t kMaxRangesInFlight = 3;
  uint32_t ranges_in_flight = 0;
  BlockRequestList waiting_for_range;
  bool can_discard = true;  // false once the host has reported that it cannot
  bool can_zero_by_unmap = true;
  bool can_zero_range = true;
  Counters counters;
};

class BlockQueue final : public DeviceQueue {
 public:
  // `bounce` is set if and only if the image is opened for direct I/O.
  BlockQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index, BlockShared& shared,
             RequestSlab<BlockRequest> slab, std::optional<BouncePool> bounce);

  // Ends a wait for the rate limit, which has changed, and begins another if necessary.
  void OnRateLimitChanged();

 private:
  friend struct BlockRequest;

  class Wait final : public base::Operation {
   public:
    explicit Wait(BlockQueue& queue) : queue_(queue) {}
    void OnComplete(int32_t /*result*/) override { queue_.OnWaited(); }

   private:
    BlockQueue& queue_;
  };

  Chain* AcquireChain() override;
  void ReleaseChain(Chain& chain) override { slab_.Release(static_cast<BlockRequest&>(chain)); }
  void Start(Chain& chain) override;
  void CancelRequests() override;
  void PauseRequests() override { GiveThrottledBack(); }
  bool HasOperations() const override { return wait_.pending(); }

  // Begins a request, now or when the rate limit lets it through.
  void BeginLimited(BlockRequest& request);
  void Begin(BlockRequest& request);
  void OnWaited();
  // Gives the request that waits for the rate limit back to the ring.
  void GiveThrottledBack();
  bool IsRead(const BlockRequest& request) const {
    return request.command.kind == BlockKind::kRead;
  }
  bool NeedsBounce(const BlockRequest& request) const;
  // Returns true if a write of these bytes of the image may begin. Otherwise BeginOrdered continues
  // the request later. EndWrite lets other writes begin.
  bool BeginWrite(BlockRequest& request, uint64_t start, uint64_t end);
  void EndWrite(BlockRequest& request);
  void BeginOrdered();

  // Each of the following functions ends in Submit or Finish, or puts the request into a list.
  void BeginTransfer(BlockRequest& request);
  void ContinueTransfer(BlockRequest& request);
  void BeginBounce(BlockRequest& request);
  void WriteBuffer(BlockRequest& request);
  void BeginRange(BlockRequest& request);
  void ContinueRange(BlockRequest& request);
  void BeginZeros(BlockRequest& request);
  void BeginSync(BlockRequest& request);
  void Submit(BlockRequest& request);
  // Starts waiting requests as far as the bounds allow.
  void BeginWaiting();

  void OnComplete(BlockRequest& request, int32_t result);
  void OnTransferred(BlockRequest& request, int32_t result);
  void OnPieceDone(BlockRequest& request);
  void OnRangeDone(BlockRequest& request, int32_t result);
  void OnSynced(BlockRequest& request, int32_t result);
  void EndSync(BlockRequest& request, int32_t result);
  void NoteLostWrites(int error);
  void Advance(BlockRequest& request, size_t bytes);

  void Fail(BlockRequest& request, int error);
  // Ends a request of a queue that is being stopped, without a log line.
  void Drop(BlockRequest& request) { Finish(request, VIRTIO_BLK_S_IOERR, 0); }
  void Succeed(BlockRequest& request);
  // Stores `status` and completes the chain. The device has written `data_bytes` bytes to the
  // guest's buffers.
  void Finish(BlockRequest& request, uint8_t status, uint32_t data_bytes);
  void ReleaseBuffer(BlockRequest& request);

  BlockShared& shared_;
  RequestSlab<BlockRequest> slab_;
  std::optional<BouncePool> bounce_;
  BlockRequestList waiting_for_buffer_;
  bool giving_buffers_ = false;  // in ReleaseBuffer
  // The newest request, if it waits for the rate limit. Nothing is popped behind it.
  BlockRequest* throttled_ = nullptr;
  net::RateReservation reservation_;  // for the request that is about to begin
  Wait wait_;
};

}  // namespace virtio

#endif  // VIRTIO_BLOCK_BLOCK_QUEUE_H_
