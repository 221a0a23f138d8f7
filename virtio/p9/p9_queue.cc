#include "virtio/p9/p9_queue.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace virtio {
namespace {

constexpr uint32_t kHeaderBytes = sizeof(P9Header);
constexpr uint32_t kErrorBytes = kHeaderBytes + sizeof(P9ErrorReply);
// Where the data of a read begin; as long as an error, so that every request has room for one.
constexpr uint32_t kReadHeaderBytes = kHeaderBytes + sizeof(P9ReadReply);
static_assert(kReadHeaderBytes == kErrorBytes);
// How often a read that may be repeated is, without any progress.
constexpr uint8_t kMaxRetries = 16;

template <base::WireType T>
std::span<const uint8_t> BytesOf(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof(T)};
}

}  // namespace

P9Queue::P9Queue(base::EventLoop& loop, base::GuestMemory& memory, std::string id, P9Server& server,
                 RequestSlab<P9Request> slab)
    : DeviceQueue(loop, memory, /*index=*/0),
      id_(std::move(id)),
      server_(server),
      slab_(std::move(slab)) {}

void P9Request::OnComplete(int32_t result) { queue.OnComplete(*this, result); }

void P9Queue::AddCounters(Counters& counters) const {
  counters["read_bytes"] = read_bytes_;
  counters["host_errors"] = host_errors_;
  counters["short_transfers"] = short_transfers_;
  counters["retries"] = retries_;
  counters["requests_without_room"] = without_room_;
  counters["kicks"] = queue_counters().kicks;
  counters["chains"] = queue_counters().chains;
  counters["interrupts"] = queue_counters().interrupts;
}

// --- Parse and submit ----------------------------------------------------------------------------

void P9Queue::Start(Chain& chain) {
  P9Request& request = static_cast<P9Request&>(chain);
  ParseP9Request(chain, command_);
  server_.Count(command_);
  request.type = command_.type;
  request.tag = command_.tag;
  if (!command_.has_header || chain.writable_bytes() < kErrorBytes) {
    ++without_room_;
    return Complete(chain, 0);
  }
  if (command_.error != 0) return Finish(request, command_.error, {});
  // Until a size is agreed on only VERSION is answered with more than an error.
  const uint32_t max_bytes =
      std::min(chain.writable_bytes(), std::max(server_.max_message_bytes(), kP9MinMessageBytes));
  if (command_.type == kP9Read) return BeginRead(request, max_bytes - kReadHeaderBytes);
  if (command_.type == kP9Flush) return Flush(request);
  const uint32_t room = max_bytes - kHeaderBytes;
  const P9Server::Reply reply = server_.Execute(command_, room);
  if (reply.payload.size() > room) return Finish(request, EMSGSIZE, {});
  Finish(request, reply.error, reply.payload);
}

void P9Queue::BeginRead(P9Request& request, uint32_t max_bytes) {
  const int error = server_.BeginRead(command_, request.file);
  if (error != 0) return Finish(request, error, {});
  request.offset = command_.offset;
  request.data_bytes = 0;
  request.retries = 0;
  request.flushed = false;
  request.target.Begin(request.writable(), kReadHeaderBytes, std::min(command_.count, max_bytes));
  if (request.target.left().empty()) return FinishRead(request, 0);
  Submit(request);
}

void P9Queue::Submit(P9Request& request) {
  loop().ReadV(request, request.file->file, request.target.left(), request.offset);
}

// The guest may use the buffers and the tag of what it flushed again once the flush is answered, so
// the read has to have ended by then, and its chain has to be used.
void P9Queue::Flush(P9Request& request) {
  P9Request* read = nullptr;
  slab_.ForEachInUse([&](P9Request& other) {
    if (&other == &request || other.tag != command_.old_tag) return;
    if (other.file != nullptr) read = &other;
    if (other.waits_for != nullptr) read = other.waits_for;  // a flush of a flush
  });
  request.waits_for = read;
  if (read == nullptr) return Finish(request, 0, {});
  ++waiting_flushes_;
  read->flushed = true;
  loop().Cancel(*read);
}

// --- Complete ------------------------------------------------------------------------------------

void P9Queue::OnComplete(P9Request& request, int32_t result) {
  const bool ending = stopping() || request.flushed;
  if (ending && result < 0) return FinishRead(request, EINTR);
  if ((result == -EINTR || result == -EAGAIN) && request.retries < kMaxRetries) {
    ++request.retries;
    ++retries_;
    return Submit(request);
  }
  if (result < 0) {
    ++host_errors_;
    LOG_EVERY_N_SEC(Error, 10) << "share " << id_ << ": read failed: " << strerrordesc_np(-result)
                               << "; the guest sees the error";
    return FinishRead(request, -result);
  }
  if (result == 0) return FinishRead(request, 0);  // the end of the file
  request.retries = 0;
  request.offset += static_cast<uint32_t>(result);
  request.data_bytes += static_cast<uint32_t>(result);
  request.target.Consume(memory(), static_cast<size_t>(result));
  if (request.target.left().empty() || ending) return FinishRead(request, 0);
  // A short answer would mean the end of the file.
  ++short_transfers_;
  Submit(request);
}

// --- Finish --------------------------------------------------------------------------------------

void P9Queue::FinishRead(P9Request& request, int error) {
  server_.EndRead(*std::exchange(request.file, nullptr));
  request.target.End();
  if (error == 0) read_bytes_ += request.data_bytes;
  const P9ReadReply reply = {.count = request.data_bytes};
  Finish(request, error, BytesOf(reply), request.data_bytes);
  if (waiting_flushes_ > 0) FinishFlushes(request);
}

void P9Queue::FinishFlushes(const P9Request& read) {
  slab_.ForEachInUse([&](P9Request& request) {
    if (request.waits_for != &read) return;
    request.waits_for = nullptr;
    --waiting_flushes_;
    Finish(request, 0, {});
  });
}

void P9Queue::Finish(P9Request& request, int error, std::span<const uint8_t> payload,
                     uint32_t data_bytes) {
  const P9ErrorReply refusal = {.error = static_cast<uint32_t>(error)};
  if (error != 0) {
    payload = BytesOf(refusal);
    data_bytes = 0;
  }
  P9Header header;
  header.size = kHeaderBytes + static_cast<uint32_t>(payload.size()) + data_bytes;
  header.type = error != 0 ? uint8_t{kP9Error} : static_cast<uint8_t>(request.type + 1);
  header.tag = request.tag;
  request.PushWritable(memory(), BytesOf(header));
  if (!payload.empty()) request.PushWritable(memory(), payload);
  Complete(request, header.size.value());
}

void P9Queue::CancelRequests() {
  slab_.ForEachInUse([this](P9Request& request) {
    if (request.file != nullptr) loop().Cancel(request);
  });
}

}  // namespace virtio
