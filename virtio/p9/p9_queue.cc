#include "virtio/p9/p9_queue.h"

#include <errno.h>

#include <algorithm>
#include <utility>

namespace virtio {
namespace {

constexpr uint32_t kHeaderBytes = sizeof(P9Header);
constexpr uint32_t kErrorBytes = kHeaderBytes + sizeof(P9ErrorReply);
// Where the data of a read begin. An error is as long, so every request that has room for the
// header of a read has room for an error.
constexpr uint32_t kReadHeaderBytes = kHeaderBytes + sizeof(P9ReadReply);
static_assert(kReadHeaderBytes == kErrorBytes);

}  // namespace

P9Queue::P9Queue(base::EventLoop& loop, base::GuestMemory& memory, P9Server& server,
                 ShareCounters& counters, RequestSlab<P9Request> slab)
    : ShareQueue(loop, memory, /*index=*/0, counters, std::move(slab)), server_(server) {}

void P9Request::OnComplete(int32_t result) { queue.OnComplete(*this, result); }

// REMOVE and CLUNK are missing because their fid is gone by then: they cannot run again.
bool P9Queue::MeetsLeases(const P9Command& command) const {
  switch (command.type) {
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

// --- Parse and submit ----------------------------------------------------------------------------

void P9Queue::Start(Chain& chain) {
  loop().turn_budget().SpendHostCall();
  P9Request& request = static_cast<P9Request&>(chain);
  // Before a size is agreed on, only VERSION gets an answer that is longer than an error.
  const uint32_t agreed_bytes = std::max(server_.max_message_bytes(), kP9MinMessageBytes);
  const bool is_too_large = chain.readable_bytes() > agreed_bytes;
  ParseP9Request(chain, command_);
  if (is_too_large && command_.error == 0) command_.error = EMSGSIZE;
  server_.Count(command_);
  request.type = command_.type;
  request.tag = command_.tag;
  if (!command_.has_header || chain.writable_bytes() < kErrorBytes) {
    ++counters().without_room;
    return Complete(chain, 0);
  }
  request.flushed = false;
  if (command_.error != 0) return Finish(request, command_.error);
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
  const ShareReply reply = server_.Execute(command, room, request);
  if (Rest(request, command, reply.error)) return;
  if (reply.payload.size() > room) return Finish(request, EMSGSIZE);
  Finish(request, reply.error, reply.payload);
}

void P9Queue::BeginTransfer(P9Request& request, const P9Command& command, uint32_t max_read_bytes) {
  const HostError error = server_.BeginTransfer(command, request.transfer);
  if (Rest(request, command, error)) return;
  if (error != 0) return Finish(request, error);
  if (command.type == kP9FSync) return BeginFlush(request);
  if (command.type == kP9Write) return BeginWrite(request, command.offset, command.count);
  BeginRead(request, command.offset, kReadHeaderBytes, std::min(command.count, max_read_bytes));
}

// Once a FLUSH is answered, the guest may use the tag and the buffers of the flushed request again.
// So the flushed request must have ended and be in the used ring by then.
void P9Queue::Flush(P9Request& request) {
  P9Request* flushed = nullptr;
  slab().ForEachInUse([&](P9Request& other) {
    if (&other == &request || other.tag != command_.old_tag) return;
    if (other.pending()) flushed = &other;
    if (other.waits_for != nullptr) flushed = other.waits_for;  // a FLUSH of a FLUSH
  });
  request.waits_for = flushed;
  if (flushed == nullptr) return Finish(request, 0);
  flushed->flushed = true;
  loop().Cancel(*flushed);
}

// --- Finish --------------------------------------------------------------------------------------

void P9Queue::FinishTransfer(P9Request& request, HostError error) {
  server_.EndTransfer(request.transfer);
  if (request.type == kP9FSync) return Finish(request, error);
  const P9WriteReply count = {.count = request.data_bytes};  // READ has the same layout
  if (request.type == kP9Write) {
    if (error == 0) counters().written_bytes += request.data_bytes;
    return Finish(request, error, base::BytesOf(count));
  }
  request.target.End();
  if (error == 0) counters().read_bytes += request.data_bytes;
  Finish(request, error, base::BytesOf(count), request.data_bytes);
}

uint32_t P9Queue::PushAnswer(P9Request& request, HostError error, std::span<const uint8_t> payload,
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
  return header.size.value();
}

void P9Queue::OnFinished(const P9Request& request) {
  if (!request.flushed) return;
  slab().ForEachInUse([&](P9Request& flush) {
    if (flush.waits_for != &request) return;
    flush.waits_for = nullptr;
    Finish(flush, 0);
  });
}

}  // namespace virtio
