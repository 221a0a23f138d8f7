#include "virtio/fs/fs_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "base/limited_log.h"

namespace virtio {
namespace {

constexpr uint32_t kHeaderBytes = sizeof(fuse_out_header);
// How often what may be repeated is, without any progress.
constexpr uint8_t kMaxRetries = 16;

// Whether an error says that the guest asked for what cannot be, and nothing about the host.
bool IsTheGuests(HostError error) {
  return error == EBADF || error == EFBIG || error == EINVAL || error == EOPNOTSUPP ||
         error == EPERM || error == ENODEV || error == ESPIPE;
}

const char* What(uint32_t opcode) {
  return opcode == FUSE_READ ? "read" : opcode == FUSE_WRITE ? "write" : "allocation";
}

// Whether EAGAIN, as the answer to a request, says that another process has a lease on the file, or
// that it is delegated, and that nothing was done.
bool MeetsLeases(uint32_t opcode) {
  switch (opcode) {
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

}  // namespace

FsQueue::FsQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index, FsServer& server,
                 FsShared& shared, RequestSlab<FsRequest> slab)
    : DeviceQueue(loop, memory, index),
      server_(server),
      shared_(shared),
      slab_(std::move(slab)),
      leased_(loop, slab_.capacity()) {}

void FsRequest::OnComplete(int32_t result) { queue.OnComplete(*this, result); }
void FsRequest::OnSynced(HostError error) { queue.OnSynced(*this, error); }

// --- Parse and submit ----------------------------------------------------------------------------

void FsQueue::Start(Chain& chain) {
  loop().turn_budget().SpendHostCall();
  FsRequest& request = static_cast<FsRequest&>(chain);
  ParseFsRequest(chain, command_);
  const FsCommand& command = command_;
  request.unique = command.unique;
  request.opcode = command.opcode;
  server_.Count(command);
  if (!command.replies) {
    if (command.error == 0) Forget(request);
    return Complete(chain, 0);
  }
  if (chain.writable_bytes() < kHeaderBytes) {
    ++shared_.without_room;
    return Complete(chain, 0);
  }
  if (command.error != 0) return Finish(request, HostError::FromErrno(command.error), {});
  if (command.opcode == FUSE_REMOVEMAPPING) return RemoveMappings(request);
  Execute(request, command);
}

void FsQueue::Execute(FsRequest& request, const FsCommand& command) {
  if (server_.IsTransfer(command)) return BeginTransfer(request, command);
  const uint32_t room = request.writable_bytes() - kHeaderBytes;
  const FsServer::Reply reply = server_.Execute(command, room);
  if (reply.error == EAGAIN && WaitForLease(request, command)) return;
  if (reply.payload.size() > room) return Finish(request, EINVAL, {});
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
    if (!request.Pop(one)) return Finish(request, EINVAL, {});
    const HostError error = server_.RemoveMapping(one.moffset, one.len);
    if (error != 0) return Finish(request, error, {});
  }
  Finish(request, 0, {});
}

bool FsQueue::WaitForLease(FsRequest& request, const FsCommand& command) {
  return MeetsLeases(command.opcode) && !stopping() && leased_.Rest(request, command);
}

void FsQueue::EndLeaseWait(FsRequest& request) {
  // Nothing is done for a guest that is paused.
  if (paused() && !stopping()) return;
  leased_.EndRest(request);
  if (stopping()) return Finish(request, EINTR, {});
  loop().turn_budget().SpendHostCall();
  Execute(request, request.leased->command);
}

void FsQueue::BeginTransfer(FsRequest& request, const FsCommand& command) {
  const uint32_t room = request.writable_bytes() - kHeaderBytes;
  const bool counts = request.opcode == FUSE_WRITE || request.opcode == FUSE_COPY_FILE_RANGE;
  if (counts && room < sizeof(fuse_write_out)) {
    return Finish(request, EINVAL, {});
  }
  const HostError error = server_.BeginTransfer(command, request.transfer);
  if (error == EAGAIN && WaitForLease(request, command)) return;
  if (error != 0) return Finish(request, error, {});
  request.data_bytes = 0;
  request.retries = 0;
  request.syncing = false;
  switch (request.opcode) {
    case FUSE_READ:
      request.offset = command.read.offset;
      request.target.Begin(request.writable(), kHeaderBytes,
                           std::min({command.read.size, room, kFsMaxTransferBytes}));
      if (request.target.left().empty()) return FinishTransfer(request, 0);
      break;
    case FUSE_WRITE:
      request.offset = command.write.offset;
      request.source = request.readable();
      KeepFront(request.source, command.write.size);
      if (request.source.empty()) return FinishTransfer(request, 0);
      break;
    case FUSE_FALLOCATE:
      request.allocation = command.fallocate;
      break;
    case FUSE_SYNCFS:
      request.syncing = true;
      if (shared_.sync == nullptr) return FinishTransfer(request, shared_.sync_error);
      return shared_.sync->Wait(request);
    case FUSE_COPY_FILE_RANGE:
      request.data_bytes = request.transfer.copied_bytes;
      return EndData(request);
    default:
      request.syncing = true;
  }
  if (request.opcode == FUSE_READ && ReadCached(request)) return FinishTransfer(request, 0);
  Submit(request);
}

bool FsQueue::ReadCached(FsRequest& request) {
  while (true) {
    // Errors are for Submit to meet again.
    const int32_t bytes =
        loop().ReadCached(request.transfer.file, request.target.left(), request.offset);
    if (bytes < 0) return false;
    if (!Advance(request, static_cast<uint32_t>(bytes))) return true;
    // Where nothing changes the end is where it was when the file was opened.
    if (request.offset >= request.transfer.constant_size) return true;
  }
}

void FsQueue::Submit(FsRequest& request) {
  const base::LoopFile file = request.transfer.file;
  if (request.syncing) {
    if (request.transfer.sync == FileSync::kData) return loop().Fdatasync(request, file);
    return loop().Fsync(request, file);
  }
  switch (request.opcode) {
    case FUSE_READ:
      return loop().ReadV(request, file, request.target.left(), request.offset);
    case FUSE_WRITE:
      if (request.transfer.append) return loop().AppendV(request, file, request.source);
      return loop().WriteV(request, file, request.source, request.offset);
    default:
      return loop().Fallocate(request, file, static_cast<int>(request.allocation.mode),
                              request.allocation.offset, request.allocation.length);
  }
}

// --- Complete ------------------------------------------------------------------------------------

void FsQueue::OnComplete(FsRequest& request, int32_t result) {
  if (leased_.IsResting(request)) return EndLeaseWait(request);
  // What was written before an error is written.
  const bool partly = request.opcode == FUSE_WRITE && request.data_bytes > 0 && !request.syncing;
  if (stopping() && result < 0) {
    return partly ? EndData(request) : FinishTransfer(request, EINTR);
  }
  if ((result == -EINTR || result == -EAGAIN) && request.retries < kMaxRetries) {
    ++request.retries;
    ++shared_.retries;
    return Submit(request);
  }
  if (result < 0) {
    NoteError(request, HostError::FromErrno(-result));
    return partly ? EndData(request) : FinishTransfer(request, HostError::FromErrno(-result));
  }
  if (!Advance(request, static_cast<uint32_t>(result)) || stopping()) return EndData(request);
  // A short answer would mean the end of the file, or an error.
  request.retries = 0;
  ++shared_.short_transfers;
  Submit(request);
}

void FsQueue::OnSynced(FsRequest& request, HostError error) {
  if (error != 0) NoteError(request, error);
  FinishTransfer(request, error);
}

bool FsQueue::Advance(FsRequest& request, uint32_t bytes) {
  if (bytes == 0) return false;  // the end of the file; or done, where there are no data
  request.offset += bytes;
  request.data_bytes += bytes;
  if (request.opcode == FUSE_READ) {
    request.target.Consume(memory(), bytes);
    return !request.target.left().empty();
  }
  ConsumeFront(request.source, bytes);
  return !request.source.empty();
}

void FsQueue::EndData(FsRequest& request) {
  const bool changed =
      request.opcode == FUSE_FALLOCATE || (request.opcode != FUSE_READ && request.data_bytes > 0);
  const bool must_sync = changed && !request.syncing && request.transfer.sync != FileSync::kNone;
  if (!must_sync) return FinishTransfer(request, 0);
  // What may not be on the disk is not said to be written.
  if (stopping()) return FinishTransfer(request, EINTR);
  request.syncing = true;
  request.retries = 0;
  Submit(request);
}

void FsQueue::NoteError(const FsRequest& request, HostError error) {
  if (IsTheGuests(error)) return;
  ++shared_.host_errors;
  LOG_LIMITED(Error, 10, shared_.id)
      << "share " << shared_.id << ": " << (request.syncing ? "flush" : What(request.opcode))
      << " failed: " << strerrordesc_np(error.number()) << "; the guest sees the error";
}

// --- Finish --------------------------------------------------------------------------------------

void FsQueue::FinishTransfer(FsRequest& request, HostError error) {
  server_.EndTransfer(request.transfer);
  if (request.opcode == FUSE_READ) {
    request.target.End();
    const uint32_t data_bytes = error == 0 ? request.data_bytes : 0;
    shared_.read_bytes += data_bytes;
    return Finish(request, error, {}, data_bytes);
  }
  const bool counts = request.opcode == FUSE_WRITE || request.opcode == FUSE_COPY_FILE_RANGE;
  if (!counts || error != 0) return Finish(request, error, {});
  if (request.opcode == FUSE_WRITE) shared_.written_bytes += request.data_bytes;
  const fuse_write_out out = {.size = request.data_bytes, .padding = 0};
  Finish(request, 0, base::BytesOf(out));
}

void FsQueue::Finish(FsRequest& request, HostError error, std::span<const uint8_t> payload,
                     uint32_t data_bytes) {
  fuse_out_header header = {};
  header.unique = request.unique;
  header.error = -error.number();
  header.len = kHeaderBytes + static_cast<uint32_t>(payload.size()) + data_bytes;
  request.Push(memory(), header);
  if (!payload.empty()) request.PushWritable(memory(), payload);
  leased_.Remove(request);
  Complete(request, header.len);
}

void FsQueue::CancelRequests() {
  slab_.ForEachInUse([this](FsRequest& request) {
    if (leased_.IsOverdue(request)) return EndLeaseWait(request);  // the queue is paused
    if (request.opcode != FUSE_SYNCFS) return loop().Cancel(request);
    // The host's call cannot be cancelled, and nobody has to wait for it: it has no part of the
    // request.
    shared_.sync->Cancel(request);
    FinishTransfer(request, EINTR);
  });
}

void FsQueue::ResumeRequests() {
  slab_.ForEachInUse([this](FsRequest& request) {
    if (leased_.IsOverdue(request)) EndLeaseWait(request);
  });
}

}  // namespace virtio
