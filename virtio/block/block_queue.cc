#include "virtio/block/block_queue.h"

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limited_log.h"
#include "virtio/block/block_image.h"
#include "virtio/block/block_wire.h"
#include "virtio/queue/iovecs.h"

namespace virtio {
namespace {

// How often a host call is repeated without progress.
constexpr uint8_t kMaxRetries = 16;

// The source of written zeros. It is never written, so all its pages are the kernel's zero page.
constexpr size_t kZeroBytes = 256 << 10;
alignas(4096) uint8_t g_zeros[kZeroBytes];

// `unit` is a power of two.
constexpr uint64_t RoundDown(uint64_t value, uint64_t unit) { return value & ~(unit - 1); }
constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return RoundDown(value + unit - 1, unit);
}

absl::string_view Verb(BlockKind kind) {
  switch (kind) {
    case BlockKind::kRead:
      return "read";
    case BlockKind::kWrite:
      return "write";
    case BlockKind::kFlush:
      return "flush";
    case BlockKind::kDiscard:
      return "discard";
    case BlockKind::kWriteZeroes:
      return "write of zeros";
    default:
      return "request";
  }
}

}  // namespace

BlockQueue::BlockQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index,
                       BlockShared& shared, RequestSlab<BlockRequest> slab,
                       std::optional<BouncePool> bounce)
    : DeviceQueue(loop, memory, index),
      shared_(shared),
      slab_(std::move(slab)),
      bounce_(std::move(bounce)),
      reservation_(shared.limiter),
      wait_(*this) {}

void BlockRequest::OnComplete(int32_t result) { queue.OnComplete(*this, result); }

void BlockRequestList::Append(BlockRequest& request) {
  request.next_waiting = nullptr;
  (first_ == nullptr ? first_ : last_->next_waiting) = &request;
  last_ = &request;
}

BlockRequest* BlockRequestList::TakeFirst() {
  BlockRequest* const request = first_;
  if (request != nullptr) first_ = request->next_waiting;
  return request;
}

BlockRequestList BlockRequestList::TakeAllOf(const BlockQueue& queue) {
  BlockRequestList taken, kept;
  while (BlockRequest* request = TakeFirst()) {
    (&request->queue == &queue ? taken : kept).Append(*request);
  }
  *this = kept;
  return taken;
}

// --- Parse and submit ----------------------------------------------------------------------------

Chain* BlockQueue::AcquireChain() {
  // The wait of a request that was given back may not have ended yet. OnWaited serves the queue
  // again.
  return throttled_ != nullptr || wait_.pending() ? nullptr : slab_.Acquire(*this);
}

void BlockQueue::Start(Chain& chain) {
  BlockRequest& request = static_cast<BlockRequest&>(chain);
  ParseBlockRequest(chain, shared_.limits, request.command);
  request.retries = 0;
  request.range = 0;
  request.offset = request.command.offset_bytes;
  switch (request.command.kind) {
    case BlockKind::kRead:
    case BlockKind::kWrite:
    case BlockKind::kFlush:
    case BlockKind::kDiscard:
    case BlockKind::kWriteZeroes:
      return BeginLimited(request);
    default:
      return Begin(request);
  }
}

void BlockQueue::BeginLimited(BlockRequest& request) {
  const BlockCommand& command = request.command;
  const bool transfer = command.kind == BlockKind::kRead || command.kind == BlockKind::kWrite;
  const std::chrono::nanoseconds wait =
      reservation_.Take(transfer ? command.data_bytes : 0, loop());
  if (wait > wait.zero()) {
    ++shared_.counters.throttled;
    throttled_ = &request;
    return loop().Timeout(wait_, wait);
  }
  reservation_.Use(0);
  Begin(request);
}

void BlockQueue::OnWaited() {
  if (throttled_ != nullptr) BeginLimited(*std::exchange(throttled_, nullptr));
  ServeAtTurnEnd();
}

void BlockQueue::OnRateLimitChanged() {
  reservation_.Cancel();
  loop().Cancel(wait_);  // OnWaited tries again
}

void BlockQueue::GiveThrottledBack() {
  reservation_.Cancel();
  if (throttled_ != nullptr) GiveBack(*std::exchange(throttled_, nullptr));
  loop().Cancel(wait_);
}

void BlockQueue::Begin(BlockRequest& request) {
  Chain& chain = request;
  switch (request.command.kind) {
    case BlockKind::kRead:
    case BlockKind::kWrite:
      return BeginTransfer(request);
    case BlockKind::kFlush:
      return BeginSync(request);
    case BlockKind::kDiscard:
    case BlockKind::kWriteZeroes:
      return BeginRange(request);
    case BlockKind::kGetId: {
      // Padded with NULs; no NUL if all 20 bytes are used.
      std::array<uint8_t, VIRTIO_BLK_ID_BYTES> id = {};
      std::copy_n(shared_.serial.begin(), std::min(shared_.serial.size(), id.size()), id.begin());
      const size_t written = chain.PushWritable(memory(), id);
      return Finish(request, VIRTIO_BLK_S_OK, static_cast<uint32_t>(written));
    }
    case BlockKind::kInvalid:
      ++shared_.counters.invalid;
      return Finish(request, VIRTIO_BLK_S_IOERR, 0);
    case BlockKind::kUnsupported:
      ++shared_.counters.unsupported;
      return Finish(request, VIRTIO_BLK_S_UNSUPP, 0);
    case BlockKind::kNoStatus:
      ++shared_.counters.without_status;
      return Finish(request, VIRTIO_BLK_S_IOERR, 0);
  }
}

bool BlockQueue::NeedsBounce(const BlockRequest& request) const {
  if (!shared_.direct) return false;
  // O_DIRECT requires that the offset and each length are multiples of io_alignment and each
  // address is a multiple of memory_alignment.
  return request.offset % shared_.io_alignment != 0 ||
         std::ranges::any_of(request.left, [this](const iovec& buffer) {
           return reinterpret_cast<uintptr_t>(buffer.iov_base) % shared_.memory_alignment != 0 ||
                  buffer.iov_len % shared_.io_alignment != 0;
         });
}

bool BlockQueue::BeginWrite(BlockRequest& request, uint64_t start, uint64_t end) {
  const uint64_t unit = shared_.io_alignment;
  if (unit <= kSectorBytes) return true;
  const uint64_t first = RoundDown(start, unit), last = RoundUp(end, unit);
  const bool partial = first != start || last != end;
  if (partial) ++shared_.counters.unaligned_writes;
  return shared_.order.Enter(request, first, last, partial);
}

void BlockQueue::EndWrite(BlockRequest& request) {
  if (!request.entered()) return;
  shared_.order.Leave(request);
  BeginOrdered();
}

void BlockQueue::BeginOrdered() {
  // A loop, not a recursion: a request that begins here may end at once and call this function
  // again, and the guest decides how many requests there are.
  if (std::exchange(shared_.beginning_ordered, true)) return;
  while (OrderedWrite* const write = shared_.order.TakeReady()) {
    BlockRequest& request = static_cast<BlockRequest&>(*write);
    if (request.command.kind == BlockKind::kWrite) {
      request.queue.ContinueTransfer(request);
    } else {
      request.queue.ContinueRange(request);
    }
  }
  shared_.beginning_ordered = false;
}

void BlockQueue::BeginTransfer(BlockRequest& request) {
  request.left = IsRead(request) ? request.writable() : request.readable();
  if (request.left.empty()) return Succeed(request);
  const uint64_t end = request.offset + request.command.data_bytes;
  if (IsRead(request) || BeginWrite(request, request.offset, end)) ContinueTransfer(request);
}

void BlockQueue::ContinueTransfer(BlockRequest& request) {
  if (NeedsBounce(request)) {
    ++shared_.counters.bounced;
    return BeginBounce(request);
  }
  request.step = BlockRequest::Step::kTransfer;
  Submit(request);
}

// Copies whole blocks through the buffer, together with the next piece of the guest's data.
void BlockQueue::BeginBounce(BlockRequest& request) {
  if (request.buffer.empty()) request.buffer = bounce_->Acquire();
  // If there is no free buffer, the request waits, in order, until another request releases one.
  if (request.buffer.empty()) return waiting_for_buffer_.Append(request);
  request.skip = static_cast<uint32_t>(request.offset % shared_.io_alignment);
  if (request.command.kind != BlockKind::kWriteZeroes) {
    const uint32_t data = IsRead(request) ? request.writable_bytes() : request.readable_bytes();
    request.piece_bytes =
        static_cast<uint32_t>(std::min<size_t>(data, request.buffer.size() - request.skip));
  }
  const size_t bytes = RoundUp(request.skip + request.piece_bytes, shared_.io_alignment);
  request.offset -= request.skip;
  request.single = {request.buffer.data(), bytes};
  request.left = {&request.single, 1};
  request.step = BlockRequest::Step::kBounce;
  if (!IsRead(request)) {
    if (bytes == request.piece_bytes) return WriteBuffer(request);
    request.step = BlockRequest::Step::kReadBlocks;
  }
  Submit(request);
}

void BlockQueue::WriteBuffer(BlockRequest& request) {
  const std::span<uint8_t> data = request.buffer.subspan(request.skip, request.piece_bytes);
  if (request.command.kind == BlockKind::kWriteZeroes) {
    std::ranges::fill(data, uint8_t{0});
  } else if (!request.PopReadable(data)) {  // data in a window cannot be copied here
    return Finish(request, VIRTIO_BLK_S_IOERR, 0);
  }
  request.step = BlockRequest::Step::kBounce;
  Submit(request);
}

void BlockQueue::BeginRange(BlockRequest& request) {
  if (request.range == request.command.range_count) {
    return request.command.kind == BlockKind::kWriteZeroes && shared_.write_through
               ? BeginSync(request)
               : Succeed(request);
  }
  const BlockCommand::Range& range = request.command.ranges[request.range];
  request.offset = range.offset_bytes;
  request.range_end = range.offset_bytes + range.length_bytes;
  if (request.command.kind == BlockKind::kDiscard) {
    // A discard is advice: parts of blocks may stay as they are. [VIRTIO 1.2 §5.2.6.2]
    request.offset = RoundUp(request.offset, shared_.range_alignment);
    request.range_end = RoundDown(request.range_end, shared_.range_alignment);
  } else if (!BeginWrite(request, request.offset, request.range_end)) {
    return;
  }
  ContinueRange(request);
}

void BlockQueue::ContinueRange(BlockRequest& request) {
  if (request.offset >= request.range_end) {
    EndWrite(request);
    ++request.range;
    return BeginRange(request);
  }
  // A discard is advice: if the host cannot do it, it succeeds anyway.
  const bool discard = request.command.kind == BlockKind::kDiscard;
  if (discard && !shared_.can_discard) return Succeed(request);
  const uint64_t unit = shared_.range_alignment;
  const uint64_t whole_end = RoundDown(request.range_end, unit);
  if (request.offset % unit != 0 || request.offset == whole_end) {  // a part of one block
    request.piece_bytes = static_cast<uint32_t>(
        std::min(RoundDown(request.offset, unit) + unit, request.range_end) - request.offset);
    return shared_.direct ? BeginBounce(request) : BeginZeros(request);
  }
  request.piece_bytes = static_cast<uint32_t>(whole_end - request.offset);
  const bool unmap = request.command.ranges[request.range].unmap && shared_.can_zero_by_unmap;
  if (!discard && !unmap && !shared_.can_zero_range) return BeginZeros(request);
  request.step = BlockRequest::Step::kRange;
  if (shared_.ranges_in_flight == BlockShared::kMaxRangesInFlight) {
    return shared_.waiting_for_range.Append(request);
  }
  ++shared_.ranges_in_flight;
  request.punch = discard || unmap;
  Submit(request);
}

void BlockQueue::BeginZeros(BlockRequest& request) {
  request.step = BlockRequest::Step::kZeros;
  request.single = {g_zeros, std::min<size_t>(request.piece_bytes, kZeroBytes)};
  request.left = {&request.single, 1};
  Submit(request);
}

void BlockQueue::BeginSync(BlockRequest& request) {
  request.step = BlockRequest::Step::kSync;
  if (shared_.limits.readonly) return Succeed(request);  // nothing was written
  if (shared_.syncing) return shared_.waiting_to_sync.Append(request);
  if (shared_.lost_writes_error != 0) return Fail(request, EIO);
  shared_.syncing = true;
  ++shared_.counters.syncs;
  Submit(request);
}

void BlockQueue::BeginWaiting() {
  while (!shared_.syncing) {
    BlockRequest* const next = shared_.waiting_to_sync.TakeFirst();
    if (next == nullptr) break;
    next->queue.BeginSync(*next);
    // BeginSync adds no request to the list here, so the whole list is covered.
    if (shared_.syncing) std::swap(shared_.synced_along, shared_.waiting_to_sync);
  }
  while (shared_.ranges_in_flight < BlockShared::kMaxRangesInFlight) {
    BlockRequest* const next = shared_.waiting_for_range.TakeFirst();
    if (next == nullptr) break;
    next->queue.ContinueRange(*next);
  }
}

void BlockQueue::Submit(BlockRequest& request) {
  switch (request.step) {
    case BlockRequest::Step::kTransfer:
    case BlockRequest::Step::kBounce:
      if (IsRead(request)) {
        return loop().ReadV(request, shared_.file, request.left, request.offset);
      }
      return loop().WriteV(request, shared_.file, request.left, request.offset);
    case BlockRequest::Step::kReadBlocks:
      return loop().ReadV(request, shared_.file, request.left, request.offset);
    case BlockRequest::Step::kZeros:
      return loop().WriteV(request, shared_.file, request.left, request.offset);
    case BlockRequest::Step::kRange:
      return loop().Fallocate(
          request, shared_.file,
          (request.punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE,
          request.offset, request.piece_bytes);
    case BlockRequest::Step::kSync:
      return loop().Fdatasync(request, shared_.file);
  }
}

// --- Complete ------------------------------------------------------------------------------------

void BlockQueue::OnComplete(BlockRequest& request, int32_t result) {
  const bool again = result == -EINTR || result == -EAGAIN;
  if (again && !stopping() && request.retries < kMaxRetries) {
    ++request.retries;
    ++shared_.counters.retries;
    return Submit(request);
  }
  switch (request.step) {
    case BlockRequest::Step::kTransfer:
    case BlockRequest::Step::kBounce:
    case BlockRequest::Step::kReadBlocks:
    case BlockRequest::Step::kZeros:
      return OnTransferred(request, result);
    case BlockRequest::Step::kRange:
      return OnRangeDone(request, result);
    case BlockRequest::Step::kSync:
      return OnSynced(request, result);
  }
}

void BlockQueue::OnTransferred(BlockRequest& request, int32_t result) {
  // A read of nothing: another process has truncated the file. A write of nothing: the host gave no
  // reason.
  if (result == 0) return Fail(request, EIO);
  if (result < 0) return stopping() ? Drop(request) : Fail(request, -result);
  // Direct I/O can continue only at a block.
  const uint64_t bytes = RoundDown(static_cast<uint64_t>(result), shared_.io_alignment);
  if (bytes > 0) request.retries = 0;
  Advance(request, bytes);
  if (request.left.empty()) return OnPieceDone(request);
  ++shared_.counters.short_transfers;
  if (stopping()) return Drop(request);
  if (bytes == 0 && ++request.retries > kMaxRetries) return Fail(request, EIO);
  Submit(request);
}

void BlockQueue::Advance(BlockRequest& request, size_t bytes) {
  request.offset += bytes;
  const bool to_guest = request.step == BlockRequest::Step::kTransfer && IsRead(request);
  ConsumeFront(request.left, bytes, [this, to_guest](const iovec& piece) {
    if (to_guest) memory().MarkWritten(piece);
  });
}

void BlockQueue::OnPieceDone(BlockRequest& request) {
  switch (request.step) {
    case BlockRequest::Step::kReadBlocks: {
      if (stopping()) return Drop(request);
      const size_t bytes = RoundUp(request.skip + request.piece_bytes, shared_.io_alignment);
      request.offset -= bytes;
      request.single = {request.buffer.data(), bytes};
      request.left = {&request.single, 1};
      return WriteBuffer(request);
    }
    case BlockRequest::Step::kBounce: {
      // Set the offset to the end of the guest's data, not to the end of the blocks.
      const uint64_t end = request.skip + request.piece_bytes;
      request.offset -= RoundUp(end, shared_.io_alignment) - end;
      if (request.command.kind == BlockKind::kWriteZeroes) {
        ReleaseBuffer(request);  // before the next range, which may have to wait for its turn
        return stopping() ? Drop(request) : ContinueRange(request);
      }
      if (IsRead(request)) {
        request.PushWritable(memory(), request.buffer.subspan(request.skip, request.piece_bytes));
      }
      if ((IsRead(request) ? request.writable_bytes() : request.readable_bytes()) > 0) {
        return stopping() ? Drop(request) : BeginBounce(request);
      }
      break;
    }
    case BlockRequest::Step::kZeros:
      return stopping() ? Drop(request) : ContinueRange(request);
    default:
      break;
  }
  if (IsRead(request)) return Succeed(request);
  EndWrite(request);
  if (!shared_.write_through) return Succeed(request);
  return stopping() ? Drop(request) : BeginSync(request);
}

void BlockQueue::OnRangeDone(BlockRequest& request, int32_t result) {
  --shared_.ranges_in_flight;
  BeginWaiting();  // first: the waiting requests came before this request's next range
  if (stopping()) return Drop(request);
  if (result == -EOPNOTSUPP || result == -ENOSYS) {
    // Remember this; ContinueRange takes the next best way.
    if (request.command.kind == BlockKind::kDiscard) {
      shared_.can_discard = false;
    } else {
      (request.punch ? shared_.can_zero_by_unmap : shared_.can_zero_range) = false;
    }
    return ContinueRange(request);
  }
  if (result < 0) return Fail(request, -result);
  request.retries = 0;
  request.offset += request.piece_bytes;
  ContinueRange(request);
}

void BlockQueue::OnSynced(BlockRequest& request, int32_t result) {
  const SyncOutcome outcome = OutcomeOfSync(result < 0 ? -result : 0);
  shared_.syncing = false;
  // Do this also if the queue is being stopped, since the kernel reports a failed write only once;
  // and also for direct I/O, since a file system may have fallen back to its page cache.
  if (outcome == SyncOutcome::kLost) NoteLostWrites(-result);
  const bool undone = outcome == SyncOutcome::kUnknown;
  BlockRequestList along = std::exchange(shared_.synced_along, {});
  EndSync(request, result);
  while (BlockRequest* other = along.TakeFirst()) {
    if (undone && stopping() && !other->queue.stopping()) {
      shared_.waiting_to_sync.Append(*other);  // only the stopping queue gave up the fdatasync
    } else {
      other->queue.EndSync(*other, result);
    }
  }
  BeginWaiting();
}

void BlockQueue::NoteLostWrites(int error) {
  if (shared_.lost_writes_error != 0) return;
  shared_.lost_writes_error = error;
  // UNLIMITED: once in the life of an image.
  LOG(Error) << "disk " << shared_.id << ": " << shared_.path
             << ": fdatasync failed: " << strerrordesc_np(error) << " (" << strerrorname_np(error)
             << "); writes of the guest are lost, and all its later flushes fail";
}

void BlockQueue::EndSync(BlockRequest& request, int32_t result) {
  if (result >= 0) return Succeed(request);
  return stopping() ? Drop(request) : Fail(request, -result);
}

// --- Finish --------------------------------------------------------------------------------------

void BlockQueue::Fail(BlockRequest& request, int error) {
  ++shared_.counters.host_errors;
  LOG_LIMITED(Error, 10, shared_.id)
      << "disk " << shared_.id << ": " << Verb(request.command.kind) << " failed at byte "
      << request.offset << ": " << strerrordesc_np(error) << " (" << strerrorname_np(error)
      << "); the guest sees an I/O error";
  Finish(request, VIRTIO_BLK_S_IOERR, 0);
}

void BlockQueue::Succeed(BlockRequest& request) {
  BlockShared::Counters& counters = shared_.counters;
  uint32_t data_bytes = 0;
  switch (request.command.kind) {
    case BlockKind::kRead:
      ++counters.read_ops;
      counters.read_bytes += request.command.data_bytes;
      data_bytes = request.command.data_bytes;
      break;
    case BlockKind::kWrite:
      ++counters.write_ops;
      counters.write_bytes += request.command.data_bytes;
      break;
    case BlockKind::kFlush:
      ++counters.flush_ops;
      break;
    case BlockKind::kDiscard:
      ++counters.discard_ops;
      break;
    case BlockKind::kWriteZeroes:
      ++counters.write_zeroes_ops;
      break;
    default:
      break;
  }
  Finish(request, VIRTIO_BLK_S_OK, data_bytes);
}

void BlockQueue::Finish(BlockRequest& request, uint8_t status, uint32_t data_bytes) {
  ReleaseBuffer(request);
  EndWrite(request);
  request.StoreStatus(memory(), status);
  // The used length describes a prefix: it includes the status byte, the last byte, only if all
  // bytes before it were written. [VIRTIO 1.2 §2.7.8.2]
  const bool has_status = request.command.kind != BlockKind::kNoStatus;
  const bool whole = has_status && data_bytes + 1 == request.original_writable_bytes();
  Complete(request, whole ? data_bytes + 1 : data_bytes);
}

void BlockQueue::ReleaseBuffer(BlockRequest& request) {
  if (request.buffer.empty()) return;
  bounce_->Release(std::exchange(request.buffer, {}));
  // A loop, not a recursion: a request that begins here may end at once and call this function
  // again, and the guest decides how many requests there are.
  if (stopping() || std::exchange(giving_buffers_, true)) return;
  while (bounce_->has_free()) {
    BlockRequest* const next = waiting_for_buffer_.TakeFirst();
    if (next == nullptr) break;
    BeginBounce(*next);
  }
  giving_buffers_ = false;
}

void BlockQueue::CancelRequests() {
  GiveThrottledBack();
  // Collect all of them first: a request that leaves lets the next one begin, which must not be one
  // of these.
  BlockRequestList waiting_for_turn;
  slab_.ForEachInUse([&](BlockRequest& request) {
    if (!request.waits()) return;
    shared_.order.Leave(request);
    waiting_for_turn.Append(request);
  });
  // Requests in synced_along need not wait for the fdatasync, which may be another queue's.
  for (BlockRequestList waiting :
       {waiting_for_turn, std::exchange(waiting_for_buffer_, {}),
        shared_.waiting_to_sync.TakeAllOf(*this), shared_.synced_along.TakeAllOf(*this),
        shared_.waiting_for_range.TakeAllOf(*this)}) {
    while (BlockRequest* request = waiting.TakeFirst()) Drop(*request);
  }
  BeginOrdered();
  slab_.ForEachInUse([this](BlockRequest& request) { loop().Cancel(request); });
}

}  // namespace virtio
