// The part of the 9P server that opens, reads and looks at files.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "virtio/p9/p9_server.h"

namespace virtio {
namespace {

P9Time ToTime(const FileTime& time) {
  return {.seconds = static_cast<uint64_t>(time.seconds), .nanoseconds = time.nanoseconds};
}

}  // namespace

// --- Opening -------------------------------------------------------------------------------------

P9Server::Reply P9Server::Open(const P9Command& command, Fid& fid) {
  const auto flags = static_cast<int>(command.flags);
  const int access = flags & O_ACCMODE;
  const bool changes = access != O_RDONLY || (flags & O_TRUNC) != 0;
  if (fid.open) return {.error = EBADF};
  if (changes && !tree_.writable()) return {.error = EROFS};
  if ((fid.qid.type & kP9QidDirectory) != 0) {
    if (changes) return {.error = EISDIR};
  } else if ((flags & O_DIRECTORY) != 0) {
    return {.error = ENOTDIR};
  } else if (!HasOwnFiles(tree_, versions_)) {
    // READ opens the file when it reads. OPEN only finds out whether that is possible.
    ReadFileCache::CachedFile* file = nullptr;
    if (const HostError error = shared_files_.Acquire(fid.node, file); error != 0) {
      return {.error = error};
    }
    shared_files_.Release(*file);
  } else {
    P9OpenFiles::OpenFile* file = nullptr;
    if (const HostError error = files_.Open(fid.node, access, file); error != 0)
      return {.error = error};
    if ((flags & O_TRUNC) != 0) {
      FileAttributes attributes;
      const AttributeChanges empty = {.size_bytes = 0, .clear_privileges = fid.uid != 0};
      const HostError error = tree_.SetAttributes(fid.node, empty, file->host.get(), attributes);
      if (error != 0) {
        files_.Close(*file);
        return {.error = error};
      }
      fid.qid = MakeQid(attributes);
    }
    fid.file = file;
  }
  fid.open = true;
  fid.access = static_cast<uint8_t>(access);
  fid.append = (flags & O_APPEND) != 0;
  fid.sync = SyncOf(command.flags);
  return Answer(P9OpenReply{.qid = fid.qid, .io_bytes = 0});
}

// --- Transfers -----------------------------------------------------------------------------------

bool P9Server::IsTransfer(const P9Command& command) {
  if (command.type == kP9FSync) return tree_.writable();
  if (command.type != kP9Read && command.type != kP9Write) return false;
  const Fid* fid = Find(command.fid);
  return fid == nullptr || !fid->xattr;
}

HostError P9Server::BeginTransfer(const P9Command& command, P9Transfer& transfer) {
  transfer = {};
  if (max_message_bytes_ == 0) return EPROTO;
  if (command.type == kP9Write && !tree_.writable()) return EROFS;
  const Fid* fid = Find(command.fid);
  if (fid == nullptr) return EBADF;
  if (command.type == kP9FSync) {
    transfer.sync = command.flags != 0 ? FileSync::kData : FileSync::kAll;
    return BeginFlush(*fid, transfer);
  }
  if (!fid->open || fid->access == (command.type == kP9Read ? O_WRONLY : O_RDONLY)) return EBADF;
  if ((fid->qid.type & kP9QidDirectory) != 0) return EISDIR;
  if (command.offset > INT64_MAX - kP9MaxMessageBytes) {
    return HostError::FromErrno(command.type == kP9Read ? EINVAL : EFBIG);
  }
  if (command.type == kP9Write) {
    transfer.append = fid->append;
    transfer.sync = fid->sync;
  }
  if (fid->file != nullptr) {
    HostError own_error = files_.Begin(*fid->file);
    if (own_error == 0) UseOpened(*fid->file, transfer);
    // Linux leaves it to the server to take set-user-id bits off files that users write to.
    if (own_error == 0 && command.type == kP9Write && command.count > 0 && fid->uid != 0) {
      own_error = tree_.ClearPrivileges(*fid->file->host);
      if (own_error != 0) EndTransfer(transfer);
    }
    return own_error;
  }
  const HostError error = shared_files_.Acquire(fid->node, transfer.cached);
  if (error == 0) transfer.file = transfer.cached->file;
  return error;
}

HostError P9Server::BeginFlush(const Fid& fid, P9Transfer& transfer) {
  if (fid.xattr) return EBADF;
  P9OpenFiles::OpenFile* file = fid.file;
  const bool is_directory = (fid.qid.type & kP9QidDirectory) != 0;
  const HostError error =
      file != nullptr ? files_.BeginFlush(*file)
                      : files_.BeginFlush(fid.node, is_directory ? O_DIRECTORY : O_RDONLY, file);
  if (error == 0) UseOpened(*file, transfer);
  return error;
}

void P9Server::UseOpened(P9OpenFiles::OpenFile& file, P9Transfer& transfer) {
  transfer.opened = &file;
  transfer.file = file.loop_file;
}

void P9Server::EndTransfer(P9Transfer& transfer) {
  const P9Transfer ended = std::exchange(transfer, {});
  if (ended.cached != nullptr) shared_files_.Release(*ended.cached);
  if (ended.opened != nullptr) files_.End(*ended.opened);
}

// --- Reading -------------------------------------------------------------------------------------

P9Server::Reply P9Server::GetAttributes(const Fid& fid) {
  FileAttributes attributes;
  const HostError error = tree_.GetAttributes(fid.node, attributes);
  if (error != 0) return {.error = error};
  P9AttributesReply reply;
  reply.valid = kP9BasicAttributes | kP9Generation;
  // Linux takes files with the same qid for the same file, unless their generations differ. If it
  // finds a directory at a second place, it believes that the directory was moved.
  reply.generation = attributes.mount;
  reply.qid = MakeQid(attributes);
  reply.mode = attributes.mode;
  reply.uid = attributes.uid;
  reply.gid = attributes.gid;
  reply.links = attributes.links;
  reply.device = EncodeDevice(attributes.device_major, attributes.device_minor);
  reply.size_bytes = attributes.size_bytes;
  reply.block_bytes = attributes.block_bytes;
  reply.blocks = attributes.blocks;
  reply.accessed = ToTime(attributes.accessed);
  reply.modified = ToTime(attributes.modified);
  reply.changed = ToTime(attributes.changed);
  return Answer(reply);
}

P9Server::Reply P9Server::ReadLink(const Fid& fid) {
  if (const HostError error = tree_.ReadLink(fid.node, text_); error != 0) {
    return {.error = error};
  }
  Answer(base::Le16(static_cast<uint16_t>(text_.size())));
  Append(text_.data(), text_.size());
  return Replied();
}

P9Server::Reply P9Server::ReadDirectory(const P9Command& command, const Fid& fid, uint32_t room) {
  if (!fid.open) return {.error = EBADF};
  const size_t limit = std::min<size_t>({uint64_t{command.count} + sizeof(P9ReadReply), room,
                                         max_message_bytes_ - sizeof(P9Header), reply_.size()});
  Answer(P9ReadReply());
  const size_t none = reply_size_;
  if (limit < none) return {.error = EINVAL};
  bool first_did_not_fit = false;
  const HostError error =
      tree_.ReadDirectory(fid.node, command.offset, [&](const DirectoryEntry& entry) {
        const bool fits = AppendEntry(entry, limit);
        first_did_not_fit = !fits && reply_size_ == none;
        return fits;
      });
  // An empty answer would mean the end of the directory.
  if (first_did_not_fit) return {.error = EINVAL};
  if (error != 0 && reply_size_ == none) return {.error = error};
  P9ReadReply header;
  header.count = static_cast<uint32_t>(reply_size_ - none);
  std::memcpy(reply_.data(), &header, sizeof(header));
  return Replied();
}

bool P9Server::AppendEntry(const DirectoryEntry& entry, size_t limit) {
  if (sizeof(P9DirectoryEntry) + entry.name.size() > limit - reply_size_) return false;
  FileAttributes attributes;
  attributes.inode = entry.inode;
  attributes.mode = static_cast<uint32_t>(DTTOIF(entry.type));
  P9DirectoryEntry out;
  out.qid = MakeQid(attributes);
  if (versions_ == P9Versions::kContents) out.qid.version = 0;  // the file was not looked at
  out.next_offset = entry.next_offset;
  out.type = entry.type;
  out.name_size = static_cast<uint16_t>(entry.name.size());
  Append(&out, sizeof(out));
  Append(entry.name.data(), entry.name.size());
  return true;
}

P9Server::Reply P9Server::GetFileSystem(const Fid& fid) {
  struct statfs file_system;
  const HostError error = tree_.GetFileSystem(fid.node, file_system);
  if (error != 0) return {.error = error};
  P9StatFsReply reply;
  reply.type = uint32_t{V9FS_MAGIC};
  reply.block_bytes = static_cast<uint32_t>(file_system.f_bsize);
  reply.blocks = file_system.f_blocks;
  reply.free_blocks = file_system.f_bfree;
  reply.available_blocks = file_system.f_bavail;
  reply.files = file_system.f_files;
  reply.free_files = file_system.f_ffree;
  reply.max_name_bytes = static_cast<uint32_t>(file_system.f_namelen);
  return Answer(reply);
}

}  // namespace virtio
