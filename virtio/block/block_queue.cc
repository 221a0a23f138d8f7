#include "virtio/block/block_queue.h"

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "virtio/block/block_image.h"
#include "virtio/block/block_wire.h"

namespace virtio {
namespace {

// How often a host call that may be repeated is, without any progress.
constexpr uint8_t kMaxRetries = 16;

// What zeroes are written from. Never written to, so its pages stay the kernel's one zero page.
constexpr size_t kZeroesBytes = 256 << 10;
alignas(4096) uint8_t g_zeroes[kZeroesBytes];

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
      return "write of zeroes";
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
      bounce_(std::move(bounce)) {}

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

void BlockQueue::Start(Chain& chain) {
  BlockRequest& request = static_cast<BlockRequest&>(chain);
  ParseBlockRequest(chain, shared_.limits, request.command);
  request.retries = 0;
  request.range = 0;
  request.offset = request.command.offset_bytes;
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
      std::array<uint8_t, VIRTIO_BLK_ID_BYTES> id = {};  // padded with NUL, none if full
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

bool BlockQueue::NeedsBounce(std::span<const iovec> buffers) const {
  if (!shared_.direct) return false;
  // O_DIRECT wants each address aligned to the one and each length to the other.
  return std::ranges::any_of(buffers, [this](const iovec& buffer) {
    return reinterpret_cast<uintptr_t>(buffer.iov_base) % shared_.memory_alignment != 0 ||
           buffer.iov_len % shared_.block_bytes != 0;
  });
}

void BlockQueue::BeginTransfer(BlockRequest& request) {
  request.left = IsRead(request) ? request.writable() : request.readable();
  if (request.left.empty()) return Succeed(request);
  if (NeedsBounce(request.left)) {
    ++shared_.counters.bounced;
    return BeginBounce(request);
  }
  request.step = BlockRequest::Step::kTransfer;
  Submit(request);
}

void BlockQueue::BeginBounce(BlockRequest& request) {
  request.step = BlockRequest::Step::kBounce;
  if (request.buffer.empty()) request.buffer = bounce_->Acquire();
  // Else served in order, when another is done with its buffer.
  if (request.buffer.empty()) return waiting_for_buffer_.Append(request);
  const size_t bytes = std::min<size_t>(
      IsRead(request) ? request.writable_bytes() : request.readable_bytes(), request.buffer.size());
  request.piece_bytes = static_cast<uint32_t>(bytes);
  // Data in a window cannot be copied here.
  if (!IsRead(request) && !request.PopReadable(request.buffer.first(bytes))) {
    return Finish(request, VIRTIO_BLK_S_IOERR, 0);
  }
  request.single = {request.buffer.data(), bytes};
  request.left = {&request.single, 1};
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
  request.piece_bytes = range.length_bytes;
  request.step = BlockRequest::Step::kRange;
  // Discarding is advice: a host that cannot has done enough. [VIRTIO 1.2 §5.2.6.2]
  if (request.command.kind == BlockKind::kDiscard && !shared_.can_discard) {
    return Succeed(request);
  }
  if (request.command.kind == BlockKind::kWriteZeroes && !shared_.can_zero_range &&
      !(range.unmap && shared_.can_zero_by_unmap)) {
    return BeginZeroes(request);
  }
  if (shared_.ranges_in_flight == BlockShared::kMaxRangesInFlight) {
    return shared_.waiting_for_range.Append(request);
  }
  ++shared_.ranges_in_flight;
  request.punch =
      request.command.kind == BlockKind::kDiscard || (range.unmap && shared_.can_zero_by_unmap);
  Submit(request);
}

void BlockQueue::BeginZeroes(BlockRequest& request) {
  request.step = BlockRequest::Step::kZeroes;
  request.single = {g_zeroes, std::min<size_t>(request.piece_bytes, kZeroesBytes)};
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
    // Nothing can be added to the list meanwhile.
    if (shared_.syncing) std::swap(shared_.synced_along, shared_.waiting_to_sync);
  }
  while (shared_.ranges_in_flight < BlockShared::kMaxRangesInFlight) {
    BlockRequest* const next = shared_.waiting_for_range.TakeFirst();
    if (next == nullptr) break;
    next->queue.BeginRange(*next);
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
    case BlockRequest::Step::kZeroes:
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
    case BlockRequest::Step::kZeroes:
      return OnTransferred(request, result);
    case BlockRequest::Step::kRange:
      return OnRangeDone(request, result);
    case BlockRequest::Step::kSync:
      return OnSynced(request, result);
  }
}

void BlockQueue::OnTransferred(BlockRequest& request, int32_t result) {
  // Nothing read: the file was cut short behind our back. Nothing written: the host is out of luck.
  if (result == 0) return Fail(request, EIO);
  if (result < 0) return stopping() ? Drop(request) : Fail(request, -result);
  request.retries = 0;
  Consume(request, static_cast<size_t>(result));
  if (request.left.empty()) return OnPieceDone(request);
  ++shared_.counters.short_transfers;
  if (stopping()) return Drop(request);
  Submit(request);
}

void BlockQueue::Consume(BlockRequest& request, size_t bytes) {
  request.offset += bytes;
  const bool to_guest = request.step == BlockRequest::Step::kTransfer && IsRead(request);
  while (bytes > 0 && !request.left.empty()) {
    iovec& iov = request.left.front();
    const size_t taken = std::min(bytes, iov.iov_len);
    if (to_guest) memory().MarkWritten({iov.iov_base, taken});
    iov.iov_base = static_cast<uint8_t*>(iov.iov_base) + taken;
    iov.iov_len -= taken;
    bytes -= taken;
    if (iov.iov_len == 0) request.left = request.left.subspan(1);
  }
}

void BlockQueue::OnPieceDone(BlockRequest& request) {
  switch (request.step) {
    case BlockRequest::Step::kBounce:
      if (IsRead(request)) {
        request.PushWritable(memory(), request.buffer.first(request.piece_bytes));
      }
      if ((IsRead(request) ? request.writable_bytes() : request.readable_bytes()) > 0) {
        if (stopping()) return Drop(request);
        return BeginBounce(request);
      }
      break;
    case BlockRequest::Step::kZeroes: {
      const BlockCommand::Range& range = request.command.ranges[request.range];
      request.piece_bytes =
          static_cast<uint32_t>(range.offset_bytes + range.length_bytes - request.offset);
      if (stopping()) return Drop(request);
      if (request.piece_bytes > 0) return BeginZeroes(request);
      ++request.range;
      return BeginRange(request);
    }
    default:
      break;
  }
  if (!IsRead(request) && shared_.write_through) {
    return stopping() ? Drop(request) : BeginSync(request);
  }
  Succeed(request);
}

void BlockQueue::OnRangeDone(BlockRequest& request, int32_t result) {
  --shared_.ranges_in_flight;
  BeginWaiting();  // first: they were here before this request's next range
  if (stopping()) return Drop(request);
  if (result == -EOPNOTSUPP || result == -ENOSYS) {
    // Found out once, remembered; BeginRange takes the next best way.
    if (request.command.kind == BlockKind::kDiscard) {
      shared_.can_discard = false;
    } else {
      (request.punch ? shared_.can_zero_by_unmap : shared_.can_zero_range) = false;
    }
    return BeginRange(request);
  }
  if (result < 0) return Fail(request, -result);
  request.retries = 0;
  ++request.range;
  BeginRange(request);
}

void BlockQueue::OnSynced(BlockRequest& request, int32_t result) {
  const SyncOutcome outcome = OutcomeOfSync(result < 0 ? -result : 0);
  shared_.syncing = false;
  // Also if the queue is being stopped: the kernel tells of a failed write only once. Also of an
  // image opened for direct I/O: a file system may have fallen back to its page cache.
  if (outcome == SyncOutcome::kLost) NoteLostWrites(-result);
  const bool undone = outcome == SyncOutcome::kUnknown;
  BlockRequestList along = std::exchange(shared_.synced_along, {});
  EndSync(request, result);
  while (BlockRequest* other = along.TakeFirst()) {
    if (undone && stopping() && !other->queue.stopping()) {
      shared_.waiting_to_sync.Append(*other);  // it was the other queue's that was given up
    } else {
      other->queue.EndSync(*other, result);
    }
  }
  BeginWaiting();
}

void BlockQueue::NoteLostWrites(int error) {
  if (shared_.lost_writes_error != 0) return;
  shared_.lost_writes_error = error;
  // Once in the life of an image.
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
  if (uint64_t suppressed; shared_.error_log.Allow(10, suppressed)) {
    LOG(Error) << "disk " << shared_.id << ": " << Verb(request.command.kind) << " failed at byte "
               << request.offset << ": " << strerrordesc_np(error) << " (" << strerrorname_np(error)
               << "); the guest sees an I/O error"
               << (suppressed > 0 ? absl::StrCat("; ", suppressed, " more since the last line")
                                  : "");
  }
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
  request.StoreStatus(memory(), status);
  // The used length promises a prefix: it reaches the status byte, the last one, only if every byte
  // before was written. [VIRTIO 1.2 §2.7.8.2]
  const bool has_status = request.command.kind != BlockKind::kNoStatus;
  const bool whole = has_status && data_bytes + 1 == request.original_writable_bytes();
  Complete(request, whole ? data_bytes + 1 : data_bytes);
}

void BlockQueue::ReleaseBuffer(BlockRequest& request) {
  if (request.buffer.empty()) return;
  bounce_->Release(std::exchange(request.buffer, {}));
  if (stopping()) return;
  if (BlockRequest* next = waiting_for_buffer_.TakeFirst()) BeginBounce(*next);
}

void BlockQueue::CancelRequests() {
  // Those that are synced along need not wait for the fdatasync, which may be another queue's.
  for (BlockRequestList waiting :
       {std::exchange(waiting_for_buffer_, {}), shared_.waiting_to_sync.TakeAllOf(*this),
        shared_.synced_along.TakeAllOf(*this), shared_.waiting_for_range.TakeAllOf(*this)}) {
    while (BlockRequest* request = waiting.TakeFirst()) Drop(*request);
  }
  slab_.ForEachInUse([this](BlockRequest& request) { loop().Cancel(request); });
}

}  // namespace virtio
