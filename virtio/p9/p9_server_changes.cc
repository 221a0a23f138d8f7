// The part of the 9P server that changes files.

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>

#include "virtio/p9/p9_server.h"

namespace virtio {
namespace {

// Makes the time that a SETATTR sets. Leaves `to` alone if the time shall stay.
HostError ToTime(uint32_t valid, uint32_t now, uint32_t given, const P9Time& from, timespec& to) {
  if ((valid & now) == 0) return 0;
  to.tv_nsec = UTIME_NOW;
  if ((valid & given) == 0) return 0;
  // Larger numbers are invalid; some of them have a meaning for the host (UTIME_NOW, UTIME_OMIT).
  if (from.nanoseconds.value() >= 1'000'000'000) return EINVAL;
  to.tv_sec = static_cast<time_t>(from.seconds.value());
  to.tv_nsec = static_cast<long>(from.nanoseconds.value());
  return 0;
}

int16_t ToHostType(uint8_t type) {
  return type == kP9ReadLock ? F_RDLCK : type == kP9WriteLock ? F_WRLCK : F_UNLCK;
}

}  // namespace

// --- Making --------------------------------------------------------------------------------------

P9Server::Reply P9Server::Create(const P9Command& command, Fid& fid) {
  if (fid.open) return {.error = EBADF};
  // Make room before the file is made: if the open failed later, the file would stay.
  if (!files_.MakeRoom() || !tree_.Fits(2 * P9OpenFiles::kFileBytes)) return {.error = ENFILE};
  P9Places::Place* place = places_.Acquire(fid.node, command.name(0));
  if (place == nullptr) return {.error = ENFILE};
  if (const HostError error = CreateAt(command, *place, fid); error != 0) {
    places_.Release(*place);
    return {.error = error};
  }
  return Answer(P9OpenReply{.qid = fid.qid, .io_bytes = 0});
}

HostError P9Server::CreateAt(const P9Command& command, P9Places::Place& place, Fid& directory) {
  // Fids share the descriptor, so the descriptor does not append or flush. Each write does what its
  // own fid asks for.
  const auto flags = static_cast<int>(command.flags & ~uint32_t{O_APPEND | O_SYNC});
  // A guest that caches its writes opens the file once more, also for reading, to read the rest of
  // a page. The mode of the file may forbid that second open. So the descriptor, which both fids
  // then share, is opened for both from the start.
  const int wider = (flags & O_ACCMODE) == O_WRONLY ? (flags & ~O_ACCMODE) | O_RDWR : flags;
  FoundNode found;
  std::unique_ptr<HostFile> made;
  const uint32_t uid = directory.uid;
  const Caller caller = {.uid = uid, .gid = command.gid, .umask = 0, .clears_privileges = uid != 0};
  const auto create = [&](int as) {
    return tree_.Create(directory.node, command.name(0), caller, command.mode, as, found, made);
  };
  int host_flags = wider;
  HostError error = create(host_flags);
  if (error == EACCES && wider != flags) {
    host_flags = flags;
    error = create(host_flags);
  }
  if (error != 0) return error;
  P9OpenFiles::OpenFile* file = nullptr;
  error = files_.Add(std::move(made), host_flags & O_ACCMODE, command.mode, file);
  if (error != 0) {
    Forget(found.id);
    return error;
  }
  LetGo(directory);
  directory = MakeFid(found);
  directory.place = &place;
  directory.uid = uid;
  directory.file = file;
  directory.open = true;
  directory.access = static_cast<uint8_t>(flags & O_ACCMODE);
  directory.append = (command.flags & O_APPEND) != 0;
  directory.sync = SyncOf(command.flags);
  return 0;
}

P9Server::Reply P9Server::MakeNode(const P9Command& command, const Fid& directory) {
  const Caller caller = {.uid = directory.uid, .gid = command.gid};
  const absl::string_view name = command.name(0);
  FoundNode found;
  HostError error = 0;
  if (command.type == kP9MkDir) {
    error = tree_.MakeDirectory(directory.node, name, caller, command.mode, found);
  } else if (command.type == kP9SymLink) {
    error = tree_.MakeSymlink(directory.node, name, caller, command.name(1), found);
  } else {
    error = tree_.MakeNode(directory.node, name, caller, command.mode, command.device_major,
                           command.device_minor, found);
  }
  if (error != 0) return {.error = error};
  Forget(found.id);  // no fid stands for the new node
  return Answer(MakeFid(found).qid);
}

P9Server::Reply P9Server::Link(const P9Command& command, const Fid& directory) {
  const Fid* file = Find(command.new_fid);
  if (file == nullptr || file->xattr) return {.error = EBADF};
  FoundNode found;
  const HostError error = tree_.Link(file->node, directory.node, command.name(0), found);
  if (error == 0) Forget(found.id);
  return {.error = error};
}

// --- Renaming and removing -----------------------------------------------------------------------

P9Server::Reply P9Server::Rename(const P9Command& command, const Fid& fid) {
  const Fid* to = Find(command.new_fid);
  if (to == nullptr || to->xattr) return {.error = EBADF};
  NodeId from{0};
  if (const HostError error = FindPlace(fid, from, text_); error != 0) return {.error = error};
  return {.error = RenameIn(from, text_, to->node, command.name(0))};
}

P9Server::Reply P9Server::RenameAt(const P9Command& command, const Fid& from) {
  const Fid* to = Find(command.new_fid);
  if (to == nullptr || to->xattr) return {.error = EBADF};
  return {.error = RenameIn(from.node, command.name(0), to->node, command.name(1))};
}

P9Server::Reply P9Server::UnlinkAt(const P9Command& command, const Fid& directory) {
  const bool is_directory = (command.flags & AT_REMOVEDIR) != 0;
  return {.error = UnlinkIn(directory.node, command.name(0), is_directory)};
}

P9Server::Reply P9Server::Remove(const Fid& fid) {
  if (fid.xattr) return {.error = EBADF};
  if (!tree_.writable()) return {.error = EROFS};
  NodeId directory{0};
  if (const HostError error = FindPlace(fid, directory, text_); error != 0) return {.error = error};
  return {.error = UnlinkIn(directory, text_, (fid.qid.type & kP9QidDirectory) != 0)};
}

HostError P9Server::RenameIn(NodeId from, absl::string_view from_name, NodeId to,
                             absl::string_view to_name) {
  DoubtVictim(to, to_name);
  const HostError error = tree_.Rename(from, from_name, to, to_name, 0);
  if (error != 0) return error;
  // If both names are of the same file, rename does nothing, and the old name still leads there.
  if (tree_.FindKnown(from, from_name) == NodeId{0}) places_.Move(from, from_name, to, to_name);
  return 0;
}

HostError P9Server::UnlinkIn(NodeId directory, absl::string_view name, bool is_directory) {
  if (is_directory) return tree_.RemoveDirectory(directory, name);
  DoubtVictim(directory, name);
  const HostError error = tree_.Unlink(directory, name);
  if (error == 0) places_.Remove(directory, name);
  return error;
}

void P9Server::DoubtVictim(NodeId directory, absl::string_view name) {
  if (files_.empty()) return;
  const NodeId victim = tree_.FindKnown(directory, name);
  if (victim != NodeId{0}) files_.Doubt(victim);
}

HostError P9Server::FindPlace(const Fid& fid, NodeId& directory, std::string& name) {
  if (fid.place == nullptr) return tree_.FindPlace(fid.node, directory, name);
  if (!fid.place->is_there()) return ESTALE;
  directory = fid.place->directory();
  name = std::string(fid.place->name());
  // The host may have given the name to another file.
  return HostError::FromErrno(tree_.FindKnown(directory, name) == fid.node ? 0 : ESTALE);
}

// --- Attributes ----------------------------------------------------------------------------------

P9Server::Reply P9Server::SetAttributes(const P9Command& command, const Fid& fid) {
  const P9SetAttrRequest& wanted = command.attributes;
  const uint32_t valid = wanted.valid.value();
  AttributeChanges changes;
  if ((valid & kP9SetMode) != 0) changes.mode = wanted.mode.value() & 07777;
  if ((valid & kP9SetUid) != 0) changes.uid = wanted.uid.value();
  if ((valid & kP9SetGid) != 0) changes.gid = wanted.gid.value();
  if ((valid & kP9SetSize) != 0) changes.size_bytes = wanted.size_bytes.value();
  HostError error =
      ToTime(valid, kP9SetAccessed, kP9SetAccessedTo, wanted.accessed, changes.accessed);
  if (error == 0) {
    error = ToTime(valid, kP9SetModified, kP9SetModifiedTo, wanted.modified, changes.modified);
  }
  if (error != 0) return {.error = error};
  // As in Linux's truncate, a change of the size by a user clears set-id bits, unless the guest
  // also sets the mode.
  changes.clear_privileges = fid.uid != 0 && !changes.mode.has_value();
  // Open files can still be read and written after the mode forbids that, but not opened again.
  if (changes.mode.has_value() && (*changes.mode & 0600) != 0600) files_.Doubt(fid.node);
  const HostFile* file = fid.file != nullptr ? fid.file->host.get() : nullptr;
  FileAttributes attributes;
  return {.error = tree_.SetAttributes(fid.node, changes, file, attributes)};
}

// --- Locks ---------------------------------------------------------------------------------------

P9Server::Reply P9Server::Lock(const P9Command& command, const Fid& fid) {
  if (!tree_.writable()) return {.error = EOPNOTSUPP};
  if (fid.file == nullptr) return {.error = EBADF};
  if (command.lock.type > kP9Unlock) return {.error = EINVAL};
  const FileLock lock = {.type = ToHostType(command.lock.type),
                         .start = command.lock.start.value(),
                         .length = command.lock.length.value()};
  const HostError error = locks_.Set(fid.node, {command.fid, command.lock.process.value()}, lock);
  if (error == EINVAL) return {.error = EINVAL};
  return Answer(P9LockReply{.status = error == 0        ? uint8_t{kP9LockSuccess}
                                      : error == EAGAIN ? uint8_t{kP9LockBlocked}
                                                        : uint8_t{kP9LockError}});
}

P9Server::Reply P9Server::GetLock(const P9Command& command, const Fid& fid) {
  if (!tree_.writable()) return {.error = EOPNOTSUPP};
  if (fid.file == nullptr) return {.error = EBADF};
  if (command.lock.type > kP9Unlock) return {.error = EINVAL};
  // Linux sends "unlock" as the type: it has looked for its own locks before, which overwrote the
  // type in the structure. So the type that the process asked for is not known.
  const bool untold = command.lock.type == kP9Unlock;
  FileLock lock = {.type = untold ? int16_t{F_WRLCK} : ToHostType(command.lock.type),
                   .start = command.lock.start.value(),
                   .length = command.lock.length.value()};
  uint32_t process = 0;
  const HostError error =
      locks_.Get(fid.node, {command.fid, command.lock.process.value()}, lock, process);
  if (error != 0) return {.error = error};
  P9Lock reply = command.lock;
  reply.type = kP9Unlock;
  if (lock.type != F_UNLCK) {
    reply.type = lock.type == F_WRLCK ? kP9WriteLock : kP9ReadLock;
    reply.start = lock.start;
    reply.length = lock.length;
    reply.process = process;
  }
  Answer(reply);
  const absl::string_view guest = command.name(0);
  const base::Le16 size(static_cast<uint16_t>(guest.size()));
  Append(&size, sizeof(size));
  Append(guest.data(), guest.size());
  return Replied();
}

}  // namespace virtio
