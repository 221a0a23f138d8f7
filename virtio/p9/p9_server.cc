#include "virtio/p9/p9_server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace virtio {
namespace {

constexpr std::pair<uint8_t, const char*> kTypeNames[] = {
    {kP9Version, "version"},     {kP9Attach, "attach"},     {kP9Walk, "walk"},
    {kP9Open, "lopen"},          {kP9Read, "read"},         {kP9ReadDir, "readdir"},
    {kP9GetAttr, "getattr"},     {kP9ReadLink, "readlink"}, {kP9StatFs, "statfs"},
    {kP9XattrWalk, "xattrwalk"}, {kP9Clunk, "clunk"},       {kP9Flush, "flush"},
    {kP9FSync, "fsync"},         {kP9Remove, "remove"},
};

constexpr size_t kMaxDevices = 256;  // that are told apart
constexpr int kDeviceShift = 48;     // host inode numbers are hardly ever as long

uint32_t EncodeDevice(uint32_t major, uint32_t minor) {
  // As the kernel's new_encode_dev.
  return (minor & 0xff) | (major << 8) | ((minor & ~uint32_t{0xff}) << 12);
}

uint8_t QidType(uint32_t mode) {
  return S_ISDIR(mode) ? kP9QidDirectory : S_ISLNK(mode) ? kP9QidSymLink : 0;
}

P9Time ToTime(const FileTime& time) {
  return {.seconds = static_cast<uint64_t>(time.seconds), .nanoseconds = time.nanoseconds};
}

// Any number but 0 that is another one after a change.
uint32_t VersionOf(const FileAttributes& attributes) {
  const uint64_t time = static_cast<uint64_t>(attributes.modified.seconds) * 1'000'000'000 +
                        attributes.modified.nanoseconds;
  const uint64_t mixed = (time ^ attributes.size_bytes << 20) * 0x9e3779b97f4a7c15;
  return static_cast<uint32_t>(mixed >> 32) | 1;
}

}  // namespace

P9Server::P9Server(HostTree& tree, OpenFiles& files, P9Versions versions, uint32_t max_fids)
    : tree_(tree), files_(files), versions_(versions), max_fids_(max_fids), reply_(kReplyBytes) {}

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
  counters["open_directories"] = tree_.open_directories();
  counters["open_files"] = files_.size();
}

void P9Server::Append(const void* bytes, size_t size) {
  std::memcpy(reply_.data() + reply_size_, bytes, size);
  reply_size_ += size;
}

template <typename T>
P9Server::Reply P9Server::Answer(const T& value) {
  static_assert(base::WireType<T> && sizeof(T) <= kReplyBytes);
  reply_size_ = 0;
  Append(&value, sizeof(T));
  return Replied();
}

P9Server::Reply P9Server::Execute(const P9Command& command, uint32_t room) {
  if (command.type == kP9Version) return Version(command);
  if (max_message_bytes_ == 0) return {.error = EPROTO};
  switch (command.type) {
    case kP9Attach:
      return Attach(command);
    case kP9Walk:
      return Walk(command, room);
    case kP9Open:
      return Open(command);
    case kP9Clunk:
      return Clunk(command.fid);
    case kP9Remove: {
      // The fid is gone even if the file is not.
      const int error = Clunk(command.fid).error;
      return {.error = error != 0 ? error : EROFS};
    }
    case kP9GetAttr:
    case kP9ReadLink:
    case kP9ReadDir:
    case kP9StatFs:
    case kP9FSync:
    case kP9XattrWalk:
      break;
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
      return {.error = EROFS};
    default:
      return {.error = EOPNOTSUPP};
  }
  const Fid* fid = Find(command.fid);
  if (fid == nullptr) return {.error = EBADF};
  switch (command.type) {
    case kP9GetAttr:
      return GetAttributes(*fid);
    case kP9ReadLink:
      return ReadLink(*fid);
    case kP9ReadDir:
      return ReadDirectory(command, *fid, room);
    case kP9StatFs:
      return GetFileSystem();
    case kP9FSync:
      return {};  // nothing was written
    default:
      return {.error = EOPNOTSUPP};  // there are no extended attributes
  }
}

// --- Session -------------------------------------------------------------------------------------

P9Server::Reply P9Server::Version(const P9Command& command) {
  EndSession();  // whatever the answer is
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
  fids_ = {};
  files_.DropAll();
  tree_.ForgetAll();
}

P9Server::Reply P9Server::Attach(const P9Command& command) {
  // There is one tree, and it has no name.
  if (!command.name(0).empty() && command.name(0) != "/") return {.error = ENOENT};
  if (command.fid == kP9NoFid || Find(command.fid) != nullptr) return {.error = EBADF};
  FoundNode found;
  if (const int error = tree_.LookupParent(kRootNode, found); error != 0) return {.error = error};
  const Fid fid = MakeFid(found);
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
    Forget(std::exchange(*old, fid).node);
    return true;
  }
  if (fids_.size() >= max_fids_) {
    Forget(fid.node);
    return false;
  }
  fids_.emplace(number, fid);
  return true;
}

void P9Server::Forget(NodeId node) {
  if (tree_.Forget(node, 1)) files_.Drop(node);
}

P9Server::Reply P9Server::Clunk(uint32_t number) {
  const auto found = fids_.find(number);
  if (found == fids_.end()) return {.error = EBADF};
  const NodeId node = found->second.node;
  fids_.erase(found);
  Forget(node);
  // A table that was large is given back.
  if (fids_.bucket_count() > 1024 && fids_.size() < fids_.bucket_count() / 8) fids_.rehash(0);
  return {};
}

int P9Server::Step(NodeId directory, absl::string_view name, Fid& fid) {
  FoundNode found;
  const int error =
      name == ".." ? tree_.LookupParent(directory, found) : tree_.Lookup(directory, name, found);
  if (error == 0) fid = MakeFid(found);
  return error;
}

P9Server::Reply P9Server::Walk(const P9Command& command, uint32_t room) {
  const Fid* from = Find(command.fid);
  if (from == nullptr || command.new_fid == kP9NoFid) return {.error = EBADF};
  if (command.new_fid != command.fid && Find(command.new_fid) != nullptr) return {.error = EBADF};
  // Without room for the answer the guest would hold a fid that it does not know.
  if (room < sizeof(base::Le16) + command.name_count * sizeof(P9Qid)) return {.error = EMSGSIZE};
  std::array<P9Qid, kP9MaxWalkNames> qids;
  Fid at = *from;
  at.open = false;
  tree_.Hold(at.node);
  uint16_t walked = 0;
  int error = 0;
  for (; walked < command.name_count; ++walked) {
    const NodeId directory = at.node;
    error = Step(directory, command.name(walked), at);
    if (error != 0) break;
    Forget(directory);
    qids[walked] = at.qid;
  }
  if (walked < command.name_count) {
    Forget(at.node);
    if (walked == 0) return {.error = error};  // else the answer says how far it went
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
  fid.device = DeviceIndex(found.attributes.device);
  fid.qid = MakeQid(found.attributes, fid.device);
  return fid;
}

P9Qid P9Server::MakeQid(const FileAttributes& attributes, uint8_t device) const {
  P9Qid qid;
  qid.type = QidType(attributes.mode);
  qid.path = attributes.inode ^ uint64_t { device } << kDeviceShift;
  qid.version = versions_ == P9Versions::kConstant   ? 1
                : versions_ == P9Versions::kContents ? VersionOf(attributes)
                                                     : 0;
  return qid;
}

// Inode numbers are unique within one file system of the host, paths of qids have to be within all
// of the share.
uint8_t P9Server::DeviceIndex(uint64_t device) {
  const auto found = std::find(devices_.begin(), devices_.end(), device);
  if (found == devices_.end() && devices_.size() < kMaxDevices) devices_.push_back(device);
  const auto index = static_cast<size_t>(found - devices_.begin());
  return static_cast<uint8_t>(std::min(index, kMaxDevices - 1));
}

// --- Files ---------------------------------------------------------------------------------------

P9Server::Reply P9Server::Open(const P9Command& command) {
  Fid* fid = Find(command.fid);
  if (fid == nullptr) return {.error = EBADF};
  if ((command.flags & O_ACCMODE) != O_RDONLY || (command.flags & O_TRUNC) != 0) {
    return {.error = EROFS};
  }
  if ((fid->qid.type & kP9QidDirectory) == 0) {
    if ((command.flags & O_DIRECTORY) != 0) return {.error = ENOTDIR};
    OpenFiles::File* file = nullptr;
    const int error = files_.Acquire(fid->node, file);
    if (error != 0) return {.error = error};
    files_.Release(*file);
  }
  fid->open = true;
  return Answer(P9OpenReply{.qid = fid->qid, .io_bytes = 0});
}

int P9Server::BeginRead(const P9Command& command, OpenFiles::File*& file) {
  if (max_message_bytes_ == 0) return EPROTO;
  const Fid* fid = Find(command.fid);
  if (fid == nullptr || !fid->open) return EBADF;
  if (command.offset > INT64_MAX - kP9MaxMessageBytes) return EINVAL;
  return files_.Acquire(fid->node, file);
}

P9Server::Reply P9Server::GetAttributes(const Fid& fid) {
  FileAttributes attributes;
  const int error = tree_.GetAttributes(fid.node, attributes);
  if (error != 0) return {.error = error};
  P9AttributesReply reply;
  reply.valid = kP9BasicAttributes;
  reply.qid = MakeQid(attributes, fid.device);
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
  if (const int error = tree_.ReadLink(fid.node, link_target_); error != 0) {
    return {.error = error};
  }
  Answer(base::Le16(static_cast<uint16_t>(link_target_.size())));
  Append(link_target_.data(), link_target_.size());
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
  const int error = tree_.ReadDirectory(fid.node, command.offset, [&](const DirectoryEntry& entry) {
    const bool fits = AppendEntry(fid, entry, limit);
    first_did_not_fit = !fits && reply_size_ == none;
    return fits;
  });
  // An empty answer would mean the end.
  if (first_did_not_fit) return {.error = EINVAL};
  if (error != 0 && reply_size_ == none) return {.error = error};
  P9ReadReply header;
  header.count = static_cast<uint32_t>(reply_size_ - none);
  std::memcpy(reply_.data(), &header, sizeof(header));
  return Replied();
}

bool P9Server::AppendEntry(const Fid& directory, const DirectoryEntry& entry, size_t limit) {
  if (sizeof(P9DirectoryEntry) + entry.name.size() > limit - reply_size_) return false;
  FileAttributes attributes;
  attributes.inode = entry.inode;
  attributes.mode = static_cast<uint32_t>(DTTOIF(entry.type));
  P9DirectoryEntry out;
  out.qid = MakeQid(attributes, directory.device);
  if (versions_ == P9Versions::kContents) out.qid.version = 0;  // nobody has looked
  out.next_offset = entry.next_offset;
  out.type = entry.type;
  out.name_size = static_cast<uint16_t>(entry.name.size());
  Append(&out, sizeof(out));
  Append(entry.name.data(), entry.name.size());
  return true;
}

P9Server::Reply P9Server::GetFileSystem() {
  struct statfs file_system;
  if (const int error = tree_.GetFileSystem(file_system); error != 0) return {.error = error};
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
