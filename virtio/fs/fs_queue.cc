#include "virtio/fs/fs_queue.h"

#include <errno.h>

#include <algorithm>
#include <utility>

namespace virtio {
namespace {

constexpr uint32_t kHeaderBytes = sizeof(fuse_out_header);

// Returns whether the answer to `opcode` is how many bytes were written.
bool IsAnsweredWithCount(uint32_t opcode) {
  return opcode == FUSE_WRITE || opcode == FUSE_COPY_FILE_RANGE;
}

}  // namespace

FsQueue::FsQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index, FsServer& server,
                 FsShared& shared, RequestSlab<FsRequest> slab)
    : ShareQueue(loop, memory, index, shared.counters, std::move(slab)),
      server_(server),
      shared_(shared) {}

void FsRequest::OnComplete(int32_t result) { queue.OnComplete(*this, result); }
void FsRequest::OnSynced(HostError error) { queue.OnSynced(*this, error); }

bool FsQueue::MeetsLeases(const FsCommand& command) const {
  switch (command.opcode) {
    case FUSE_OPEN:
    case FUSE_CREATE:
    case FUSE_LINK:
    case FUSE_READ:
    case FUSE_REMOVEXATTR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_RMDIR:
    case FUSE_SETATTR:
    case FUSE_SETUPMAPPING:
    case FUSE_SETXATTR:
    case FUSE_UNLINK:
      return true;
    default:
      return false;
  }
}

// --- Parse and submit ----------------------------------------------------------------------------

void FsQueue::Start(Chain& chain) {
  loop().turn_budget().SpendHostCall();
  FsRequest& request = static_cast<FsRequest&>(chain);
  ParseFsRequest(chain, command_);
  request.unique = command_.unique;
  request.opcode = command_.opcode;
  server_.Count(command_);
  if (!command_.replies) {
    if (command_.error == 0) Forget(request);
    return Complete(chain, 0);
  }
  if (chain.writable_bytes() < kHeaderBytes) {
    ++counters().without_room;
    return Complete(chain, 0);
  }
  if (command_.error != 0) return Finish(request, command_.error);
  if (command_.opcode == FUSE_REMOVEMAPPING) return RemoveMappings(request);
  Execute(request, command_);
}

void FsQueue::Execute(FsRequest& request, const FsCommand& command) {
  if (server_.IsTransfer(command)) return BeginTransfer(request, command);
  const uint32_t room = request.writable_bytes() - kHeaderBytes;
  const ShareReply reply = server_.Execute(command, room);
  if (Rest(request, command, reply.error)) return;
  if (reply.payload.size() > room) return Finish(request, EINVAL);
  Finish(request, reply.error, reply.payload);
}

void FsQueue::Forget(FsRequest& request) {
  const FsCommand& command = command_;
  if (command.opcode == FUSE_FORGET) return server_.Forget(command.node, command.forget_count);
  if (command.opcode != FUSE_BATCH_FORGET) return;
  for (uint64_t i = 0; i < command.forget_count; ++i) {
    fuse_forget_one one;
    if (!request.Pop(one)) return;
    server_.Forget(one.nodeid, one.nlookup);
  }
}

void FsQueue::RemoveMappings(FsRequest& request) {
  for (uint32_t i = 0; i < command_.remove_count; ++i) {
    fuse_removemapping_one one;
    if (!request.Pop(one)) return Finish(request, EINVAL);
    const HostError error = server_.RemoveMapping(one.moffset, one.len);
    if (error != 0) return Finish(request, error);
  }
  Finish(request, 0);
}

void FsQueue::BeginTransfer(FsRequest& request, const FsCommand& command) {
  const uint32_t room = request.writable_bytes() - kHeaderBytes;
  if (IsAnsweredWithCount(request.opcode) && room < sizeof(fuse_write_out)) {
    return Finish(request, EINVAL);
  }
  const HostError error = server_.BeginTransfer(command, request.transfer);
  if (Rest(request, command, error)) return;
  if (error != 0) return Finish(request, error);
  switch (request.opcode) {
    case FUSE_READ:
      return BeginRead(request, command.read.offset, kHeaderBytes,
                       std::min({command.read.size, room, kFsMaxTransferBytes}));
    case FUSE_WRITE:
      return BeginWrite(request, command.write.offset, command.write.size);
    case FUSE_FALLOCATE:
      return BeginAllocation(request, static_cast<int>(command.fallocate.mode),
                             command.fallocate.offset, command.fallocate.length);
    case FUSE_COPY_FILE_RANGE:
      return BeginAfterCopy(request, request.transfer.copied_bytes);
    case FUSE_SYNCFS:
      if (shared_.sync == nullptr) return FinishTransfer(request, shared_.sync_error);
      return shared_.sync->Wait(request);
    default:
      return BeginFlush(request);
  }
}

bool FsQueue::ReadCached(FsRequest& request) {
  while (true) {
    const int32_t bytes =
        loop().ReadCached(request.transfer.file, request.target.left(), request.offset);
    if (bytes < 0) return false;  // the operation that is submitted now meets the error again
    if (!Advance(request, static_cast<uint32_t>(bytes))) return true;
    // A file that never changes ends where it ended when it was opened.
    if (request.offset >= request.transfer.constant_size) return true;
  }
}

// --- Complete and finish -------------------------------------------------------------------------

void FsQueue::OnSynced(FsRequest& request, HostError error) {
  if (error != 0) counters().NoteError(TransferStep::kFlush, error);
  FinishTransfer(request, error);
}

void FsQueue::Cancel(FsRequest& request) {
  if (request.opcode != FUSE_SYNCFS) return ShareQueue::Cancel(request);
  // The call of the host cannot be cancelled. It uses nothing of the request, so nobody has to wait
  // for the call.
  shared_.sync->Cancel(request);
  FinishTransfer(request, EINTR);
}

void FsQueue::FinishTransfer(FsRequest& request, HostError error) {
  server_.EndTransfer(request.transfer);
  if (request.opcode == FUSE_READ) {
    request.target.End();
    const uint32_t data_bytes = error == 0 ? request.data_bytes : 0;
    counters().read_bytes += data_bytes;
    return Finish(request, error, {}, data_bytes);
  }
  if (!IsAnsweredWithCount(request.opcode) || error != 0) return Finish(request, error);
  if (request.opcode == FUSE_WRITE) counters().written_bytes += request.data_bytes;
  const fuse_write_out out = {.size = request.data_bytes, .padding = 0};
  Finish(request, 0, base::BytesOf(out));
}

uint32_t FsQueue::PushAnswer(FsRequest& request, HostError error, std::span<const uint8_t> payload,
                             uint32_t data_bytes) {
  fuse_out_header header = {};
  header.unique = request.unique;
  header.error = -error.number();
  header.len = kHeaderBytes + static_cast<uint32_t>(payload.size()) + data_bytes;
  request.Push(memory(), header);
  if (!payload.empty()) request.PushWritable(memory(), payload);
  return header.len;
}

}  // namespace virtio
