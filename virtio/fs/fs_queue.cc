#include "virtio/fs/fs_queue.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace virtio {
namespace {

constexpr uint32_t kHeaderBytes = sizeof(fuse_out_header);
// How often a read that may be repeated is, without any progress.
constexpr uint8_t kMaxRetries = 16;

}  // namespace

FsQueue::FsQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index, FsServer& server,
                 FsShared& shared, RequestSlab<FsRequest> slab)
    : DeviceQueue(loop, memory, index), server_(server), shared_(shared), slab_(std::move(slab)) {}

void FsRequest::OnComplete(int32_t result) { queue.OnComplete(*this, result); }

// --- Parse and submit ----------------------------------------------------------------------------

void FsQueue::Start(Chain& chain) {
  FsRequest& request = static_cast<FsRequest&>(chain);
  ParseFsRequest(chain, request.command);
  const FsCommand& command = request.command;
  server_.Count(command);
  if (!command.replies) {
    if (command.error == 0) Forget(request);
    return Complete(chain, 0);
  }
  if (chain.writable_bytes() < kHeaderBytes) {
    ++shared_.without_room;
    return Complete(chain, 0);
  }
  if (command.error != 0) return Finish(request, command.error, {});
  if (command.opcode == FUSE_READ) return BeginRead(request);
  const uint32_t room = chain.writable_bytes() - kHeaderBytes;
  const FsServer::Reply reply = server_.Execute(command, room);
  if (reply.payload.size() > room) return Finish(request, EINVAL, {});
  Finish(request, reply.error, reply.payload);
}

void FsQueue::Forget(FsRequest& request) {
  const FsCommand& command = request.command;
  if (command.opcode == FUSE_FORGET) return server_.Forget(command.node, command.forget_count);
  if (command.opcode != FUSE_BATCH_FORGET) return;
  for (uint64_t i = 0; i < command.forget_count; ++i) {
    fuse_forget_one one;
    if (!request.PopReadable(std::span(reinterpret_cast<uint8_t*>(&one), sizeof(one)))) return;
    server_.Forget(one.nodeid, one.nlookup);
  }
}

void FsQueue::BeginRead(FsRequest& request) {
  const uint32_t room = request.writable_bytes() - kHeaderBytes;
  const uint32_t bytes = std::min({request.command.read.size, room, kFsMaxTransferBytes});
  const int error = server_.BeginRead(request.command, request.file);
  if (error != 0) return Finish(request, error, {});
  request.offset = request.command.read.offset;
  request.data_bytes = 0;
  request.retries = 0;
  request.target.Begin(request.writable(), kHeaderBytes, bytes);
  if (request.target.left().empty()) return FinishRead(request, 0);
  Submit(request);
}

void FsQueue::Submit(FsRequest& request) {
  loop().ReadV(request, request.file->file, request.target.left(), request.offset);
}

// --- Complete ------------------------------------------------------------------------------------

void FsQueue::OnComplete(FsRequest& request, int32_t result) {
  if (stopping() && result < 0) return FinishRead(request, EINTR);
  if ((result == -EINTR || result == -EAGAIN) && request.retries < kMaxRetries) {
    ++request.retries;
    ++shared_.retries;
    return Submit(request);
  }
  if (result < 0) {
    ++shared_.host_errors;
    LOG_EVERY_N_SEC(Error, 10) << "share " << shared_.id
                               << ": read failed: " << strerrordesc_np(-result)
                               << "; the guest sees the error";
    return FinishRead(request, -result);
  }
  if (result == 0) return FinishRead(request, 0);  // the end of the file
  request.retries = 0;
  request.offset += static_cast<uint32_t>(result);
  request.data_bytes += static_cast<uint32_t>(result);
  request.target.Consume(memory(), static_cast<size_t>(result));
  if (request.target.left().empty() || stopping()) return FinishRead(request, 0);
  // A short answer would mean the end of the file.
  ++shared_.short_transfers;
  Submit(request);
}

// --- Finish --------------------------------------------------------------------------------------

void FsQueue::FinishRead(FsRequest& request, int error) {
  server_.EndRead(*std::exchange(request.file, nullptr));
  request.target.End();
  const uint32_t data_bytes = error == 0 ? request.data_bytes : 0;
  shared_.read_bytes += data_bytes;
  Finish(request, error, {}, data_bytes);
}

void FsQueue::Finish(FsRequest& request, int error, std::span<const uint8_t> payload,
                     uint32_t data_bytes) {
  fuse_out_header header = {};
  header.unique = request.command.unique;
  header.error = -error;
  header.len = kHeaderBytes + static_cast<uint32_t>(payload.size()) + data_bytes;
  request.PushWritable(memory(), std::span(reinterpret_cast<uint8_t*>(&header), sizeof(header)));
  if (!payload.empty()) request.PushWritable(memory(), payload);
  Complete(request, header.len);
}

void FsQueue::CancelRequests() {
  slab_.ForEachInUse([this](FsRequest& request) { loop().Cancel(request); });
}

}  // namespace virtio
