#include "virtio/p9/p9_server.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

namespace virtio {
namespace {

constexpr std::pair<uint8_t, const char*> kTypeNames[] = {
    {kP9Version, "version"},
    {kP9Attach, "attach"},
    {kP9Walk, "walk"},
    {kP9Open, "lopen"},
    {kP9Create, "lcreate"},
    {kP9Read, "read"},
    {kP9Write, "write"},
    {kP9ReadDir, "readdir"},
    {kP9GetAttr, "getattr"},
    {kP9SetAttr, "setattr"},
    {kP9ReadLink, "readlink"},
    {kP9StatFs, "statfs"},
    {kP9MkDir, "mkdir"},
    {kP9MkNod, "mknod"},
    {kP9SymLink, "symlink"},
    {kP9Link, "link"},
    {kP9Rename, "rename"},
    {kP9RenameAt, "renameat"},
    {kP9UnlinkAt, "unlinkat"},
    {kP9Remove, "remove"},
    {kP9XattrWalk, "xattrwalk"},
    {kP9Clunk, "clunk"},
    {kP9XattrCreate, "xattrcreate"},
    {kP9Lock, "lock"},
    {kP9GetLock, "getlock"},
    {kP9Flush, "flush"},
    {kP9FSync, "fsync"},
};

// Returns whether a message of this type needs a writable share.
bool IsChange(uint8_t type) {
  switch (type) {
    case kP9Create:
    case kP9SymLink:
    case kP9MkNod:
    case kP9Rename:
    case kP9SetAttr:
    case kP9XattrCreate:
    case kP9Link:
    case kP9MkDir:
    case kP9RenameAt:
    case kP9UnlinkAt:
    case kP9Write:
      return true;
    default:
      return false;
  }
}

uint8_t QidType(uint32_t mode) {
  return S_ISDIR(mode) ? kP9QidDirectory : S_ISLNK(mode) ? kP9QidSymLink : 0;
}

// Returns a number that differs after a change of the file, and is not 0.
uint32_t VersionOf(const FileAttributes& attributes) {
  const uint64_t time = static_cast<uint64_t>(attributes.modified.seconds) * 1'000'000'000 +
                        attributes.modified.nanoseconds;
  const uint64_t mixed = (time ^ attributes.size_bytes << 20) * 0x9e3779b97f4a7c15;
  return static_cast<uint32_t>(mixed >> 32) | 1;
}

}  // namespace

P9Server::P9Server(HostTree& tree, base::EventLoop& loop, P9Versions versions, Limits limits)
    : tree_(tree),
      versions_(versions),
      max_fids_(limits.fids),
      shared_files_(tree, loop, limits.open_files),
      files_(tree, loop, MaxOwnFiles(limits.open_files)),
      locks_(tree, MaxLockedFiles(limits.open_files)),
      places_(tree, limits.fids * kNameBytesPerFid),
      reply_(kReplyBytes) {}

void P9Server::Count(const P9Command& command) {
  if (command.error != 0) ++malformed_;
  if (command.has_header) ++requests_[command.type];
}

void P9Server::AddCounters(Counters& counters) const {
  uint64_t all = 0;
  for (const uint64_t requests : requests_) all += requests;
  for (const auto& [type, name] : kTypeNames) {
    counters[name] = requests_[type];
    all -= requests_[type];
  }
  counters["other_requests"] = all;
  counters["malformed_requests"] = malformed_;
  counters["fids"] = fids_.size();
  counters["nodes"] = tree_.node_count();
  counters["node_bytes"] = tree_.node_bytes();
  counters["open_directories"] = tree_.open_directories();
  counters["open_files"] = shared_files_.size() + files_.open_count() + locks_.size();
}

P9Server::Reply P9Server::Execute(const P9Command& command, uint32_t room, Chain& chain) {
  if (command.type == kP9Version) return Version(command);
  if (max_message_bytes_ == 0) return {.error = EPROTO};
  if (command.type == kP9Attach) return Attach(command);
  if (IsChange(command.type) && !tree_.writable()) return {.error = EROFS};
  Fid* fid = Find(command.fid);
  if (fid == nullptr) {
    const bool is_known =
        std::any_of(std::begin(kTypeNames), std::end(kTypeNames),
                    [&](const auto& known) { return known.first == command.type; });
    return {.error = HostError::FromErrno(is_known ? EBADF : EOPNOTSUPP)};
  }
  // A fid of an extended attribute can only be read, written and given up.
  if (fid->xattr && command.type != kP9Read && command.type != kP9Write &&
      command.type != kP9Clunk && command.type != kP9Remove) {
    return {.error = EBADF};
  }
  return ExecuteOnFid(command, *fid, room, chain);
}

P9Server::Reply P9Server::ExecuteOnFid(const P9Command& command, Fid& fid, uint32_t room,
                                       Chain& chain) {
  switch (command.type) {
    case kP9Walk:
      return Walk(command, room);
    case kP9Open:
      return Open(command, fid);
    case kP9Clunk:
      return Clunk(command.fid);
    case kP9Remove: {
      const Reply reply = Remove(fid);
      // The fid is gone even if the file could not be removed.
      Clunk(command.fid);
      return reply;
    }
    case kP9GetAttr:
      return GetAttributes(fid);
    case kP9SetAttr:
      return SetAttributes(command, fid);
    case kP9ReadLink:
      return ReadLink(fid);
    case kP9ReadDir:
      return ReadDirectory(command, fid, room);
    case kP9StatFs:
      return GetFileSystem(fid);
    case kP9Create:
      return Create(command, fid);
    case kP9MkDir:
    case kP9MkNod:
    case kP9SymLink:
      return MakeNode(command, fid);
    case kP9Link:
      return Link(command, fid);
    case kP9Rename:
      return Rename(command, fid);
    case kP9RenameAt:
      return RenameAt(command, fid);
    case kP9UnlinkAt:
      return UnlinkAt(command, fid);
    case kP9Lock:
      return Lock(command, fid);
    case kP9GetLock:
      return GetLock(command, fid);
    case kP9XattrWalk:
      return XattrWalk(command, fid);
    case kP9XattrCreate:
      return XattrCreate(command, fid);
    case kP9Read:
      return ReadXattr(command, room);
    case kP9Write:
      return WriteXattr(command, chain);
    case kP9FSync:
      return {};  // nothing was written
    default:
      return {.error = EOPNOTSUPP};
  }
}

// --- Session -------------------------------------------------------------------------------------

P9Server::Reply P9Server::Version(const P9Command& command) {
  EndSession();  // also if the answer is an error
  uint32_t max_bytes = std::min(command.max_message_bytes, kP9MaxMessageBytes);
  if (max_bytes < kP9MinMessageBytes) return {.error = EMSGSIZE};
  const absl::string_view dialect = command.known_dialect ? kP9Dialect : kP9UnknownDialect;
  if (command.known_dialect) max_message_bytes_ = max_bytes;
  P9VersionRequest reply;  // the answer looks the same
  reply.max_message_bytes = max_bytes;
  reply.dialect_size = static_cast<uint16_t>(dialect.size());
  Answer(reply);
  Append(dialect.data(), dialect.size());
  return Replied();
}

void P9Server::EndSession() {
  max_message_bytes_ = 0;
  tree_.Charge(FidBytes(), 0);
  fids_ = {};
  xattrs_ = {};
  xattr_bytes_ = 0;
  places_.Clear();
  locks_.DropAll();
  files_.CloseAll();
  shared_files_.DropAll();
  tree_.ForgetAll();
}

P9Server::Reply P9Server::Attach(const P9Command& command) {
  // There is one tree, and it has no name.
  if (!command.name(0).empty() && command.name(0) != "/") return {.error = ENOENT};
  if (command.fid == kP9NoFid || Find(command.fid) != nullptr) return {.error = EBADF};
  FoundNode found;
  if (const HostError error = tree_.LookupParent(kRootNode, found); error != 0)
    return {.error = error};
  Fid fid = MakeFid(found);
  fid.uid = command.uid == kP9NoUser ? 0 : command.uid;
  if (!Keep(command.fid, fid)) return {.error = ENFILE};
  return Answer(fid.qid);
}

// --- Fids ----------------------------------------------------------------------------------------

P9Server::Fid* P9Server::Find(uint32_t number) {
  const auto found = fids_.find(number);
  return found == fids_.end() ? nullptr : &found->second;
}

bool P9Server::Keep(uint32_t number, const Fid& fid) {
  if (Fid* old = Find(number); old != nullptr) {
    Release(number, std::exchange(*old, fid));
    return true;
  }
  if (fids_.size() >= max_fids_ || !tree_.Fits(MoreFidBytes())) {
    LetGo(fid);
    return false;
  }
  const size_t bytes = FidBytes();
  fids_.emplace(number, fid);
  tree_.Charge(bytes, FidBytes());
  return true;
}

void P9Server::Hold(const Fid& fid) {
  tree_.Hold(fid.node);
  if (fid.place != nullptr) P9Places::Hold(*fid.place);
}

void P9Server::LetGo(const Fid& fid) {
  if (fid.place != nullptr) places_.Release(*fid.place);
  Forget(fid.node);
}

bool P9Server::KeepPlace(Fid& fid, NodeId directory, absl::string_view name) {
  if (!tree_.writable() || (fid.qid.type & kP9QidDirectory) != 0) return true;
  fid.place = places_.Acquire(directory, name);
  return fid.place != nullptr;
}

size_t P9Server::FidBytes() const {
  // A flat_hash_map has one byte of control data for each slot.
  return fids_.capacity() * (sizeof(decltype(fids_)::value_type) + 1);
}

size_t P9Server::MoreFidBytes() const {
  // When an eighth of its slots is left, the table grows: to twice its size, or from nothing to a
  // few slots.
  const size_t slots = fids_.capacity();
  const bool grows = fids_.size() >= slots - slots / 8;
  return grows ? (slots + 8) * (sizeof(decltype(fids_)::value_type) + 1) : 0;
}

void P9Server::Forget(NodeId node) {
  if (tree_.Forget(node, 1)) shared_files_.Drop(node);
}

void P9Server::Release(uint32_t number, const Fid& fid) {
  if (fid.xattr) DropXattr(number);
  if (fid.file != nullptr) {
    locks_.Drop(fid.node, number);
    files_.Close(*fid.file);
  }
  LetGo(fid);
}

P9Server::Reply P9Server::Clunk(uint32_t number) {
  const auto found = fids_.find(number);
  if (found == fids_.end()) return {.error = EBADF};
  const Fid fid = found->second;
  HostError error = 0;
  if (fid.xattr && xattrs_[number].set) error = SetXattr(fid.node, xattrs_[number]);
  Release(number, fid);
  fids_.erase(number);
  // Give memory back if the table was large and is nearly empty now.
  const size_t bytes = FidBytes();
  if (fids_.bucket_count() > 1024 && fids_.size() < fids_.bucket_count() / 8) fids_.rehash(0);
  tree_.Charge(bytes, FidBytes());
  return {.error = error};
}

HostError P9Server::Step(NodeId directory, absl::string_view name, Fid& fid) {
  FoundNode found;
  const HostError error =
      name == ".." ? tree_.LookupParent(directory, found) : tree_.Lookup(directory, name, found);
  if (error != 0) return error;
  const uint32_t uid = fid.uid;
  fid = MakeFid(found);
  fid.uid = uid;
  return 0;
}

P9Server::Reply P9Server::Walk(const P9Command& command, uint32_t room) {
  const Fid* from = Find(command.fid);
  if (from == nullptr || command.new_fid == kP9NoFid) return {.error = EBADF};
  if (command.new_fid != command.fid && Find(command.new_fid) != nullptr) return {.error = EBADF};
  // If the answer did not fit, the guest would hold a fid that it does not know.
  if (room < sizeof(base::Le16) + command.name_count * sizeof(P9Qid)) return {.error = EMSGSIZE};
  std::array<P9Qid, kP9MaxWalkNames> qids;
  Fid at = *from;
  at.open = at.append = false;
  at.file = nullptr;
  Hold(at);
  uint16_t walked = 0;
  HostError error = 0;
  for (; walked < command.name_count; ++walked) {
    const Fid directory = at;
    error = Step(directory.node, command.name(walked), at);
    if (error != 0) break;
    if (!KeepPlace(at, directory.node, command.name(walked))) error = ENFILE;
    LetGo(directory);
    if (error != 0) break;
    qids[walked] = at.qid;
  }
  if (walked < command.name_count) {
    LetGo(at);
    if (walked == 0) return {.error = error};  // else the answer says how far the walk went
  } else if (!Keep(command.new_fid, at)) {
    return {.error = ENFILE};
  }
  Answer(base::Le16(walked));
  Append(qids.data(), walked * sizeof(P9Qid));
  return Replied();
}

P9Server::Fid P9Server::MakeFid(const FoundNode& found) {
  Fid fid;
  fid.node = found.id;
  fid.qid = MakeQid(found.attributes);
  return fid;
}

P9Qid P9Server::MakeQid(const FileAttributes& attributes) const {
  P9Qid qid;
  qid.type = QidType(attributes.mode);
  qid.path = attributes.inode;
  qid.version = versions_ == P9Versions::kConstant   ? 1
                : versions_ == P9Versions::kContents ? VersionOf(attributes)
                                                     : 0;
  return qid;
}

}  // namespace virtio
