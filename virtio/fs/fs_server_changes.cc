// The part of the FUSE server that changes files. If the share is read-only, HostTree refuses each
// change.

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "virtio/fs/fs_server.h"

namespace virtio {
namespace {

constexpr uint32_t kAllocationModes = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE |
                                      FALLOC_FL_ZERO_RANGE | FALLOC_FL_COLLAPSE_RANGE |
                                      FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE;

Caller CallerOf(const FsCommand& command, uint32_t umask) {
  return {.uid = command.uid, .gid = command.gid, .umask = umask, .clears_privileges = false};
}

// Makes the time to set, which is UTIME_NOW if `now` is true. Returns false if the time is invalid.
bool ToTime(bool now, uint64_t seconds, uint32_t nanoseconds, timespec& time) {
  time = {static_cast<time_t>(seconds), static_cast<long>(nanoseconds)};
  if (now) time = {0, UTIME_NOW};
  return now || nanoseconds < 1'000'000'000;
}

bool ToChanges(const fuse_setattr_in& in, AttributeChanges& changes) {
  const auto has = [&in](uint32_t bit) { return (in.valid & bit) != 0; };
  if (has(FATTR_MODE)) changes.mode = in.mode & 07777;
  if (has(FATTR_UID)) changes.uid = in.uid;
  if (has(FATTR_GID)) changes.gid = in.gid;
  if (has(FATTR_SIZE)) changes.size_bytes = in.size;
  changes.clear_privileges = has(FATTR_KILL_SUIDGID);
  return (!has(FATTR_ATIME) ||
          ToTime(has(FATTR_ATIME_NOW), in.atime, in.atimensec, changes.accessed)) &&
         (!has(FATTR_MTIME) ||
          ToTime(has(FATTR_MTIME_NOW), in.mtime, in.mtimensec, changes.modified));
}

// Returns whether a request that changes data shall take the set-user-id and set-group-id bits off
// the file. For opcodes without a flag for that, Linux leaves the decision to the server. Only root
// in the guest certainly has the right to keep the bits.
bool TakesSetIdOff(const FsCommand& command) { return command.uid != 0; }

}  // namespace

// --- Names and attributes ------------------------------------------------------------------------

FsServer::Reply FsServer::Change(const FsCommand& command, uint32_t room) {
  const NodeId node{command.node};
  switch (command.opcode) {
    case FUSE_CREATE:
      return Create(command, room);
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
      return MakeNode(command, room);
    case FUSE_UNLINK:
      return {.error = tree_.Unlink(node, command.name())};
    case FUSE_RMDIR:
      return {.error = tree_.RemoveDirectory(node, command.name())};
    case FUSE_RENAME:
    case FUSE_RENAME2:
      return {.error = tree_.Rename(node, command.name(), NodeId{command.rename.newdir},
                                    command.second(), command.rename.flags,
                                    CallerOf(command, /*umask=*/0))};
    case FUSE_SETATTR:
      return SetAttributes(command, room);
    case FUSE_SETXATTR:
      return {.error = tree_.SetXattr(node, command.name(), command.second(),
                                      static_cast<int>(command.xattr_flags & INT32_MAX))};
    case FUSE_REMOVEXATTR:
      return {.error = tree_.RemoveXattr(node, command.name())};
    case FUSE_WRITE:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE:
      return {.error = EROFS};  // in a writable share these are transfers
    case FUSE_LSEEK:
      return tree_.writable() ? Seek(command) : Reply{.error = ENOSYS};
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
      // A closure has no extended attributes. Linux remembers ENOSYS and does not ask again.
      return tree_.has_closure() ? Reply{.error = ENOSYS} : GetXattr(command);
    default:
      // Linux remembers this answer for ACCESS, FLUSH and POLL, and does not ask again. In
      // read-only shares it does the same for SYNCFS, LSEEK and FSYNC. Locks stay within the guest,
      // because INIT does not offer FUSE_POSIX_LOCKS.
      return {.error = ENOSYS};
  }
}

FsServer::Reply FsServer::EntryReply(HostError error, const FoundNode& found) {
  if (error != 0) return {.error = error};
  return Answer(ToEntry(found));
}

FsServer::Reply FsServer::Create(const FsCommand& command, uint32_t room) {
  struct Answered {
    fuse_entry_out entry;
    fuse_open_out open;
  };
  static_assert(sizeof(Answered) == sizeof(fuse_entry_out) + sizeof(fuse_open_out));
  // If the answer did not fit, the guest would hold a node and a handle that it does not know.
  if (room < sizeof(Answered)) return {.error = EINVAL};
  if (tree_.writable() && handles_.full()) return {.error = ENFILE};
  const fuse_create_in& in = command.create;
  const NodeId directory{command.node};
  FoundNode found;
  std::unique_ptr<HostFile> file;
  Caller caller = CallerOf(command, in.umask);
  caller.clears_privileges = (in.open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
  HostError error = tree_.Create(directory, command.name(), caller, in.mode,
                                 static_cast<int>(in.flags) & ~O_APPEND, found, file);
  if (error != 0) return {.error = error};
  Answered answered = {};
  answered.entry = ToEntry(found);
  error = AddHandle(std::move(file), in.flags, answered.open);
  if (error == 0) return Answer(answered);
  tree_.Forget(found.id, 1);
  return {.error = error};
}

FsServer::Reply FsServer::MakeNode(const FsCommand& command, uint32_t room) {
  if (room < sizeof(fuse_entry_out)) return {.error = EINVAL};
  const NodeId directory{command.node};
  const absl::string_view name = command.name();
  FoundNode found;
  if (command.opcode == FUSE_MKDIR) {
    const Caller caller = CallerOf(command, command.mkdir.umask);
    const HostError error = tree_.MakeDirectory(directory, name, caller, command.mkdir.mode, found);
    return EntryReply(error, found);
  }
  if (command.opcode == FUSE_MKNOD) {
    const fuse_mknod_in& in = command.mknod;
    const HostError error = tree_.MakeNode(directory, name, CallerOf(command, in.umask), in.mode,
                                           MajorOf(in.rdev), MinorOf(in.rdev), found);
    return EntryReply(error, found);
  }
  if (command.opcode == FUSE_SYMLINK) {
    const Caller caller = CallerOf(command, 0);
    return EntryReply(tree_.MakeSymlink(directory, name, caller, command.second(), found), found);
  }
  return EntryReply(tree_.Link(NodeId{command.link.oldnodeid}, directory, name, found), found);
}

FsServer::Reply FsServer::SetAttributes(const FsCommand& command, uint32_t room) {
  if (room < sizeof(fuse_attr_out)) return {.error = EINVAL};
  AttributeChanges changes;
  if (!ToChanges(command.setattr, changes)) return {.error = EINVAL};
  const HostFile* file = nullptr;
  if ((command.setattr.valid & FATTR_FH) != 0) {
    GuestFileHandles::Handle* handle = handles_.Find(command.setattr.fh, NodeId{command.node});
    if (handle == nullptr) return {.error = HostError::FromErrno(tree_.writable() ? EBADF : EROFS)};
    file = handle->file.get();
  }
  FileAttributes attributes;
  const HostError error = tree_.SetAttributes(NodeId{command.node}, changes, file, attributes);
  if (error != 0) return {.error = error};
  fuse_attr_out out = {};
  out.attr_valid = static_cast<uint64_t>(AttributeTime(command.node).count());
  out.attr = ToAttr(attributes);
  return Answer(out);
}

FsServer::Reply FsServer::GetXattr(const FsCommand& command) {
  const NodeId node{command.node};
  const HostError error = command.opcode == FUSE_LISTXATTR
                              ? tree_.ListXattrs(node, text_)
                              : tree_.GetXattr(node, command.name(), text_);
  if (error != 0) return {.error = error};
  if (command.getxattr.size == 0) {  // the guest asks for the size only
    return Answer(fuse_getxattr_out{static_cast<uint32_t>(text_.size()), 0});
  }
  if (text_.size() > command.getxattr.size) return {.error = ERANGE};
  return {.payload = {reinterpret_cast<const uint8_t*>(text_.data()), text_.size()}};
}

// --- Files ---------------------------------------------------------------------------------------

HostError FsServer::AddHandle(std::unique_ptr<HostFile> file, uint32_t flags, fuse_open_out& out) {
  GuestFileHandles::Handle* handle = nullptr;
  if (const HostError error = handles_.Add(std::move(file), SyncOf(flags), handle); error != 0)
    return error;
  out.fh = handle->number;
  if (cache_ == FsCache::kNever) out.open_flags = FOPEN_DIRECT_IO;
  return 0;
}

FsServer::Reply FsServer::Seek(const FsCommand& command) {
  const GuestFileHandles::Handle* handle = handles_.Find(command.lseek.fh, NodeId{command.node});
  if (handle == nullptr) return {.error = EBADF};
  fuse_lseek_out out = {};
  const HostError error = handle->file->Seek(
      command.lseek.offset, static_cast<int>(command.lseek.whence & INT32_MAX), out.offset);
  return error != 0 ? Reply{.error = error} : Answer(out);
}

// --- Transfers -----------------------------------------------------------------------------------

bool FsServer::IsTransfer(const FsCommand& command) const {
  switch (command.opcode) {
    case FUSE_READ:
      return true;
    case FUSE_WRITE:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE:
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_SYNCFS:
      return tree_.writable();
    default:
      return false;
  }
}

HostError FsServer::BeginTransfer(const FsCommand& command, FsTransfer& transfer) {
  if (!initialized_) return EIO;
  transfer = {};
  switch (command.opcode) {
    case FUSE_READ:
      return BeginRead(command, transfer);
    case FUSE_WRITE:
      return BeginWrite(command, transfer);
    case FUSE_FALLOCATE:
      return BeginAllocation(command, transfer);
    case FUSE_SYNCFS:
      return 0;  // needs no file
    case FUSE_COPY_FILE_RANGE:
      return BeginCopy(command, transfer);
    default:
      return BeginFlush(command, transfer);
  }
}

void FsServer::EndTransfer(FsTransfer& transfer) {
  if (transfer.cached != nullptr) files_.Release(*transfer.cached);
  if (transfer.handle != nullptr) handles_.Release(*transfer.handle);
  transfer = {};
}

HostError FsServer::UseHandle(uint64_t number, uint64_t node, FsTransfer& transfer) {
  GuestFileHandles::Handle* handle = handles_.Find(number, NodeId{node});
  if (handle == nullptr) return EBADF;
  handles_.Use(*handle);
  transfer.handle = handle;
  transfer.file = handle->loop_file;
  transfer.sync = handle->sync;
  return 0;
}

HostError FsServer::BeginRead(const FsCommand& command, FsTransfer& transfer) {
  if (command.read.offset > INT64_MAX - kFsMaxTransferBytes) return EINVAL;
  if (HasHandles()) return UseHandle(command.read.fh, command.node, transfer);
  const HostError error = files_.Acquire(NodeId{command.node}, transfer.cached);
  if (error != 0) return error;
  transfer.file = transfer.cached->file;
  transfer.constant_size = transfer.cached->size_bytes;
  return 0;
}

HostError FsServer::BeginWrite(const FsCommand& command, FsTransfer& transfer) {
  const fuse_write_in& in = command.write;
  if (in.size > kFsMaxTransferBytes) return EINVAL;
  if (in.offset > INT64_MAX - kFsMaxTransferBytes) return EFBIG;
  if (const HostError error = UseHandle(in.fh, command.node, transfer); error != 0) return error;
  // Data from the guest's page cache belong to their offset, even if the file was opened to append.
  transfer.append = (in.flags & O_APPEND) != 0 && (in.write_flags & FUSE_WRITE_CACHE) == 0;
  // A single write can ask for a flush, and a guest's mount option can ask for all writes.
  transfer.sync = std::max(transfer.sync, SyncOf(in.flags));
  if ((in.write_flags & FUSE_WRITE_KILL_SUIDGID) == 0) return 0;
  const HostError error = tree_.ClearPrivileges(*transfer.handle->file);
  if (error != 0) EndTransfer(transfer);
  return error;
}

HostError FsServer::BeginAllocation(const FsCommand& command, FsTransfer& transfer) {
  const fuse_fallocate_in& in = command.fallocate;
  if ((in.mode & ~kAllocationModes) != 0) return EOPNOTSUPP;
  if (in.length == 0 || in.offset > INT64_MAX || in.length > INT64_MAX) return EINVAL;
  if (const HostError error = UseHandle(in.fh, command.node, transfer); error != 0) return error;
  if (!TakesSetIdOff(command)) return 0;
  const HostError error = tree_.ClearPrivileges(*transfer.handle->file);
  if (error != 0) EndTransfer(transfer);
  return error;
}

HostError FsServer::BeginCopy(const FsCommand& command, FsTransfer& transfer) {
  const fuse_copy_file_range_in& in = command.copy;
  const GuestFileHandles::Handle* from = handles_.Find(in.fh_in, NodeId{command.node});
  if (from == nullptr) return EBADF;
  if (const HostError error = UseHandle(in.fh_out, in.nodeid_out, transfer); error != 0)
    return error;
  const HostFile& to = *transfer.handle->file;
  HostError error = HostError::FromErrno(in.flags != 0 ? EINVAL : 0);
  if (error == 0 && TakesSetIdOff(command)) error = tree_.ClearPrivileges(to);
  uint64_t copied = 0;
  if (error == 0) error = from->file->CopyTo(to, in.off_in, in.off_out, in.len, copied);
  if (error != 0) {
    EndTransfer(transfer);
    return error;
  }
  transfer.copied_bytes = static_cast<uint32_t>(copied);
  return 0;
}

HostError FsServer::BeginFlush(const FsCommand& command, FsTransfer& transfer) {
  if (command.opcode == FUSE_FSYNC) {
    const HostError error = UseHandle(command.fsync.fh, command.node, transfer);
    if (error != 0) return error;
  } else {
    // The guest has no handle of a directory. The flush gets one for as long as it takes.
    std::unique_ptr<HostFile> directory;
    HostError error = tree_.OpenDirectory(NodeId{command.node}, directory);
    if (error == 0) error = handles_.AddForFlush(std::move(directory), transfer.handle);
    if (error != 0) return error;
    transfer.file = transfer.handle->loop_file;
  }
  const bool data_only = (command.fsync.fsync_flags & FUSE_FSYNC_FDATASYNC) != 0;
  transfer.sync = data_only ? FileSync::kData : FileSync::kAll;
  return 0;
}

}  // namespace virtio
