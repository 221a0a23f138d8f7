#include "virtio/p9/p9_queue.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "base/limited_log.h"

namespace virtio {
namespace {

constexpr uint32_t kHeaderBytes = sizeof(P9Header);
constexpr uint32_t kErrorBytes = kHeaderBytes + sizeof(P9ErrorReply);
// Where the data of a read begin; as long as an error, so that every request has room for one.
constexpr uint32_t kReadHeaderBytes = kHeaderBytes + sizeof(P9ReadReply);
static_assert(kReadHeaderBytes == kErrorBytes);
// How often a read that may be repeated is, without any progress.
constexpr uint8_t kMaxRetries = 16;

// Whether an error says that the guest asked for what cannot be, and nothing about the host.
bool IsTheGuests(HostError error) {
  return error == EBADF || error == EFBIG || error == EINVAL || error == EOPNOTSUPP ||
         error == EPERM || error == ENODEV || error == ESPIPE;
}

// Whether EAGAIN, as the answer to a request, says that another process has a lease on the file, or
// that it is delegated, and that nothing was done. Not of REMOVE and CLUNK: the fid is gone by
// then.
bool MeetsLeases(uint8_t type) {
  switch (type) {
    case kP9Open:
    case kP9Create:
    case kP9SetAttr:
    case kP9Read:
    case kP9Write:
    case kP9FSync:
    case kP9Link:
    case kP9Rename:
    case kP9RenameAt:
    case kP9UnlinkAt:
      return true;
    default:
      return false;
  }
}

}  // namespace

P9Queue::P9Queue(base::EventLoop& loop, base::GuestMemory& memory, std::string id, P9Server& server,
                 RequestSlab<P9Request> slab)
    : DeviceQueue(loop, memory, /*index=*/0),
      id_(std::move(id)),
      server_(server),
      slab_(std::move(slab)),
      leased_(loop, slab_.capacity()) {}

void P9Request::OnComplete(int32_t result) { queue.OnComplete(*this, result); }

void P9Queue::AddCounters(Counters& counters) const {
  counters["read_bytes"] = read_bytes_;
  counters["written_bytes"] = written_bytes_;
  counters["host_errors"] = host_errors_;
  counters["short_transfers"] = short_transfers_;
  counters["retries"] = retries_;
  counters["requests_without_room"] = without_room_;
}

// --- Parse and submit ----------------------------------------------------------------------------

void P9Queue::Start(Chain& chain) {
  loop().turn_budget().SpendHostCall();
  P9Request& request = static_cast<P9Request&>(chain);
  // Until a size is agreed on only VERSION is answered with more than an error.
  const uint32_t agreed_bytes = std::max(server_.max_message_bytes(), kP9MinMessageBytes);
  const bool too_large = chain.readable_bytes() > agreed_bytes;
  ParseP9Request(chain, command_);
  if (too_large && command_.error == 0) command_.error = EMSGSIZE;
  server_.Count(command_);
  request.type = command_.type;
  request.tag = command_.tag;
  if (!command_.has_header || chain.writable_bytes() < kErrorBytes) {
    ++without_room_;
    return Complete(chain, 0);
  }
  if (command_.error != 0) return Finish(request, HostError::FromErrno(command_.error), {});
  request.flushed = false;
  if (command_.type == kP9Flush) return Flush(request);
  Execute(request, command_);
}

void P9Queue::Execute(P9Request& request, const P9Command& command) {
  const uint32_t max_bytes =
      std::min(request.writable_bytes(), std::max(server_.max_message_bytes(), kP9MinMessageBytes));
  if (server_.IsTransfer(command)) {
    return BeginTransfer(request, command, max_bytes - kReadHeaderBytes);
  }
  const uint32_t room = max_bytes - kHeaderBytes;
  const P9Server::Reply reply = server_.Execute(command, room, request);
  if (reply.error == EAGAIN && WaitForLease(request, command)) return;
  if (reply.payload.size() > room) return Finish(request, EMSGSIZE, {});
  Finish(request, reply.error, reply.payload);
}

bool P9Queue::WaitForLease(P9Request& request, const P9Command& command) {
  return MeetsLeases(command.type) && !stopping() && leased_.Rest(request, command);
}

void P9Queue::EndLeaseWait(P9Request& request) {
  // Nothing is done for a guest that is paused.
  if (paused() && !stopping() && !request.flushed) return;
  leased_.EndRest(request);
  if (stopping() || request.flushed) {
    Finish(request, EINTR, {});
    if (waiting_flushes_ > 0) FinishFlushes(request);
    return;
  }
  loop().turn_budget().SpendHostCall();
  Execute(request, request.leased->command);
}

void P9Queue::BeginTransfer(P9Request& request, const P9Command& command, uint32_t max_read_bytes) {
  const HostError error = server_.BeginTransfer(command, request.transfer);
  if (error == EAGAIN && WaitForLease(request, command)) return;
  if (error != 0) return Finish(request, error, {});
  request.transferring = true;
  request.offset = command.offset;
  request.data_bytes = 0;
  request.retries = 0;
  request.syncing = command.type == kP9FSync;
  if (command.type == kP9Read) {
    const uint32_t bytes = std::min(command.count, max_read_bytes);
    request.target.Begin(request.writable(), kReadHeaderBytes, bytes);
    if (bytes == 0) return FinishTransfer(request, 0);
  } else if (command.type == kP9Write) {
    request.source = request.readable();
    KeepFront(request.source, command.count);
    if (command.count == 0) return FinishTransfer(request, 0);
  }
  Submit(request);
}

void P9Queue::Submit(P9Request& request) {
  const base::LoopFile file = request.transfer.file;
  if (request.syncing) {
    if (request.transfer.sync == FileSync::kData) return loop().Fdatasync(request, file);
    return loop().Fsync(request, file);
  }
  if (request.type == kP9Read) {
    return loop().ReadV(request, file, request.target.left(), request.offset);
  }
  if (request.transfer.append) return loop().AppendV(request, file, request.source);
  loop().WriteV(request, file, request.source, request.offset);
}

// The guest may use the buffers and the tag of what it flushed again once the flush is answered, so
// a transfer has to have ended by then, and its chain has to be used.
void P9Queue::Flush(P9Request& request) {
  P9Request* transfer = nullptr;
  slab_.ForEachInUse([&](P9Request& other) {
    if (&other == &request || other.tag != command_.old_tag) return;
    if (other.transferring || leased_.IsResting(other)) transfer = &other;
    if (other.waits_for != nullptr) transfer = other.waits_for;  // a flush of a flush
  });
  request.waits_for = transfer;
  if (transfer == nullptr) return Finish(request, 0, {});
  ++waiting_flushes_;
  transfer->flushed = true;
  loop().Cancel(*transfer);
}

// --- Complete ------------------------------------------------------------------------------------

void P9Queue::OnComplete(P9Request& request, int32_t result) {
  if (leased_.IsResting(request)) return EndLeaseWait(request);
  const bool ending = stopping() || request.flushed;
  // What was written before an error is written. A read is not short for one: that would mean the
  // end of the file.
  const bool partly = request.type == kP9Write && request.data_bytes > 0 && !request.syncing;
  if (ending && result < 0) {
    return partly ? EndData(request, ending) : FinishTransfer(request, EINTR);
  }
  if ((result == -EINTR || result == -EAGAIN) && request.retries < kMaxRetries) {
    ++request.retries;
    ++retries_;
    return Submit(request);
  }
  if (result < 0) {
    if (!IsTheGuests(HostError::FromErrno(-result))) {
      ++host_errors_;
      LOG_LIMITED(Error, 10, id_) << "share " << id_ << ": "
                                  << (request.syncing           ? "flush"
                                      : request.type == kP9Read ? "read"
                                                                : "write")
                                  << " failed: " << strerrordesc_np(-result)
                                  << "; the guest sees the error";
    }
    return partly ? EndData(request, ending)
                  : FinishTransfer(request, HostError::FromErrno(-result));
  }
  // The end of the file, or of a flush; or nothing was written, which the guest is told.
  if (result == 0) return EndData(request, ending);
  request.retries = 0;
  if (!Advance(request, static_cast<uint32_t>(result)) || ending) return EndData(request, ending);
  // A short answer would mean the end of the file, or of the room for it.
  ++short_transfers_;
  Submit(request);
}

bool P9Queue::Advance(P9Request& request, uint32_t bytes) {
  request.offset += bytes;
  request.data_bytes += bytes;
  if (request.type == kP9Read) {
    request.target.Consume(memory(), bytes);
    return !request.target.left().empty();
  }
  ConsumeFront(request.source, bytes);
  return !request.source.empty();
}

// --- Finish --------------------------------------------------------------------------------------

void P9Queue::EndData(P9Request& request, bool ending) {
  const bool must_sync = request.type == kP9Write && request.data_bytes > 0 && !request.syncing &&
                         request.transfer.sync != FileSync::kNone;
  if (!must_sync) return FinishTransfer(request, 0);
  // What may not be on the disk is not said to be written.
  if (ending) return FinishTransfer(request, EINTR);
  request.syncing = true;
  request.retries = 0;
  Submit(request);
}

void P9Queue::FinishTransfer(P9Request& request, HostError error) {
  request.transferring = false;
  server_.EndTransfer(request.transfer);
  const P9WriteReply count = {.count = request.data_bytes};  // a read's looks the same
  if (request.type == kP9Read) {
    request.target.End();
    if (error == 0) read_bytes_ += request.data_bytes;
    Finish(request, error, base::BytesOf(count), request.data_bytes);
  } else if (request.type == kP9Write) {
    if (error == 0) written_bytes_ += request.data_bytes;
    Finish(request, error, base::BytesOf(count));
  } else {
    Finish(request, error, {});
  }
  if (waiting_flushes_ > 0) FinishFlushes(request);
}

void P9Queue::FinishFlushes(const P9Request& request) {
  slab_.ForEachInUse([&](P9Request& flush) {
    if (flush.waits_for != &request) return;
    flush.waits_for = nullptr;
    --waiting_flushes_;
    Finish(flush, 0, {});
  });
}

void P9Queue::Finish(P9Request& request, HostError error, std::span<const uint8_t> payload,
                     uint32_t data_bytes) {
  const P9ErrorReply refusal = {.error = static_cast<uint32_t>(error.number())};
  if (error != 0) {
    payload = base::BytesOf(refusal);
    data_bytes = 0;
  }
  P9Header header;
  header.size = kHeaderBytes + static_cast<uint32_t>(payload.size()) + data_bytes;
  header.type = error != 0 ? uint8_t{kP9Error} : static_cast<uint8_t>(request.type + 1);
  header.tag = request.tag;
  request.Push(memory(), header);
  if (!payload.empty()) request.PushWritable(memory(), payload);
  leased_.Remove(request);
  Complete(request, header.size.value());
}

void P9Queue::CancelRequests() {
  slab_.ForEachInUse([this](P9Request& request) {
    if (leased_.IsOverdue(request)) return EndLeaseWait(request);  // the queue is paused
    if (leased_.IsResting(request) || request.transferring) loop().Cancel(request);
  });
}

void P9Queue::ResumeRequests() {
  slab_.ForEachInUse([this](P9Request& request) {
    if (leased_.IsOverdue(request)) EndLeaseWait(request);
  });
}

}  // namespace virtio
