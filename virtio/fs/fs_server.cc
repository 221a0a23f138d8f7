#include "virtio/fs/fs_server.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace virtio {
namespace {

using std::chrono::seconds;

// Longer than any guest runs, and so short that adding it to a clock does not overflow.
constexpr seconds kForever{100LL * 365 * 24 * 3600};

// How many files KeptContents remembers. They take at most 4 MiB.
constexpr size_t kMaxKept = 1 << 15;

constexpr std::pair<uint32_t, const char*> kOpcodeNames[] = {
    {FUSE_LOOKUP, "lookup"},
    {FUSE_FORGET, "forget"},
    {FUSE_GETATTR, "getattr"},
    {FUSE_READLINK, "readlink"},
    {FUSE_OPEN, "open"},
    {FUSE_READ, "read"},
    {FUSE_STATFS, "statfs"},
    {FUSE_RELEASE, "release"},
    {FUSE_GETXATTR, "getxattr"},
    {FUSE_LISTXATTR, "listxattr"},
    {FUSE_FLUSH, "flush"},
    {FUSE_INIT, "init"},
    {FUSE_OPENDIR, "opendir"},
    {FUSE_READDIR, "readdir"},
    {FUSE_RELEASEDIR, "releasedir"},
    {FUSE_ACCESS, "access"},
    {FUSE_INTERRUPT, "interrupt"},
    {FUSE_DESTROY, "destroy"},
    {FUSE_BATCH_FORGET, "batch_forget"},
    {FUSE_READDIRPLUS, "readdirplus"},
    {FUSE_SYNCFS, "syncfs"},
    {FUSE_SETATTR, "setattr"},
    {FUSE_SYMLINK, "symlink"},
    {FUSE_MKNOD, "mknod"},
    {FUSE_MKDIR, "mkdir"},
    {FUSE_UNLINK, "unlink"},
    {FUSE_RMDIR, "rmdir"},
    {FUSE_RENAME, "rename"},
    {FUSE_RENAME2, "rename2"},
    {FUSE_LINK, "link"},
    {FUSE_WRITE, "write"},
    {FUSE_FSYNC, "fsync"},
    {FUSE_SETXATTR, "setxattr"},
    {FUSE_REMOVEXATTR, "removexattr"},
    {FUSE_FSYNCDIR, "fsyncdir"},
    {FUSE_CREATE, "create"},
    {FUSE_FALLOCATE, "fallocate"},
    {FUSE_LSEEK, "lseek"},
    {FUSE_COPY_FILE_RANGE, "copy_file_range"},
    {FUSE_SETUPMAPPING, "setupmapping"},
    {FUSE_REMOVEMAPPING, "removemapping"},
};

// Returns whether a request asks about something below the share's root. FORGET, and requests about
// the whole share, do not.
bool IsBelowRoot(const FsCommand& command) {
  switch (command.opcode) {
    case FUSE_INIT:
    case FUSE_DESTROY:
    case FUSE_STATFS:
    case FUSE_SYNCFS:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
    case FUSE_REMOVEMAPPING:
      return false;
    default:
      return command.node != FUSE_ROOT_ID;
  }
}

uint64_t Seconds(seconds time) { return static_cast<uint64_t>(time.count()); }

}  // namespace

FsServer::FsServer(HostTree& tree, ReadFileCache& files, GuestFileHandles& handles, FsCache cache,
                   DaxWindow* dax, Clock real_time)
    : tree_(tree),
      files_(files),
      handles_(handles),
      cache_(cache),
      dax_(dax),
      real_time_(real_time),
      kept_(kMaxKept),
      reply_(kReplyBytes) {}

std::chrono::nanoseconds FsServer::RealTime() {
  timespec time = {};
  clock_gettime(CLOCK_REALTIME, &time);
  return seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

void FsServer::Count(const FsCommand& command) {
  if (command.error != 0) ++malformed_;
  if (IsBelowRoot(command)) ++requests_below_root_;
  const bool named =
      std::any_of(std::begin(kOpcodeNames), std::end(kOpcodeNames),
                  [&command](const auto& opcode) { return opcode.first == command.opcode; });
  ++(named ? requests_[command.opcode] : other_requests_);
}

void FsServer::AddCounters(Counters& counters) const {
  for (const auto& [opcode, name] : kOpcodeNames) counters[name] = requests_[opcode];
  counters["other_requests"] = other_requests_;
  counters["malformed_requests"] = malformed_;
  counters["requests_below_root"] = requests_below_root_;
  counters["nodes"] = tree_.node_count();
  counters["node_bytes"] = tree_.node_bytes();
  counters["open_directories"] = tree_.open_directories();
  counters["open_files"] = files_.size() + handles_.size();
  counters["dax_ranges"] = dax_ == nullptr ? 0 : dax_->mapped_ranges();
  counters["dax_truncated"] = dax_ == nullptr ? 0 : dax_->truncated_ranges();
}

FsServer::Reply FsServer::Execute(const FsCommand& command, uint32_t room) {
  if (command.opcode == FUSE_INIT) return Init(command);
  if (!initialized_) return {.error = EIO};
  switch (command.opcode) {
    case FUSE_LOOKUP:
      return Lookup(command, room);
    case FUSE_GETATTR:
      return GetAttributes(command);
    case FUSE_READLINK:
      return ReadLink(command);
    case FUSE_OPEN:
      return Open(command);
    case FUSE_OPENDIR:
      return OpenDirectory(command);
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return ReadDirectory(command, room);
    case FUSE_RELEASE:
      if (handles_.Find(command.release.fh, NodeId{command.node}) != nullptr) {
        handles_.Close(command.release.fh);
      }
      return {};
    case FUSE_RELEASEDIR:
      return {};
    case FUSE_STATFS:
      return GetFileSystem(command);
    case FUSE_SETUPMAPPING:
      return SetUpMapping(command);
    case FUSE_DESTROY:
      EndSession();
      return {};
    default:
      return Change(command, room);
  }
}

FsServer::Reply FsServer::Init(const FsCommand& command) {
  if (command.init.major < FUSE_KERNEL_VERSION) return {.error = EPROTO};
  if (command.init.major == FUSE_KERNEL_VERSION && command.init.minor < kFuseMinor) {
    return {.error = EPROTO};
  }
  fuse_init_out out = {};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = kFuseMinor;
  // If the guest speaks a newer major version, it asks again with ours.
  if (command.init.major > FUSE_KERNEL_VERSION) return Answer(out);
  EndSession();  // a guest that crashed did not end its session
  initialized_ = true;
  uint32_t flags = FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS |
                   FUSE_READDIRPLUS_AUTO | FUSE_MAX_PAGES | FUSE_BIG_WRITES | FUSE_INIT_EXT;
  if (cache_ == FsCache::kAlways) {
    // The guest shall not drop cached data because it gets new attributes.
    flags |= FUSE_CACHE_SYMLINKS | FUSE_EXPLICIT_INVAL_DATA;
  } else {
    flags |= FUSE_AUTO_INVAL_DATA;
  }
  if (tree_.writable()) {
    // WRITEBACK_CACHE is not offered: with it the guest ignores the size and the times that the
    // server reports, so it would not see what the host writes.
    flags |= FUSE_ATOMIC_O_TRUNC | FUSE_DONT_MASK;
    // Without this flag the guest's kernel takes set-id bits off itself, by changing the mode.
    if (tree_.takes_set_ids()) flags |= FUSE_HANDLE_KILLPRIV_V2;
  }
  uint32_t flags2 = 0;
  if (dax_ != nullptr) {
    flags |= FUSE_MAP_ALIGNMENT;
    flags2 |= kHasInodeDax2;
    out.map_alignment = DaxWindow::kRangeShift;
  }
  // Files that are opened for direct I/O can still be mapped shared and writable.
  if (cache_ == FsCache::kNever) flags2 |= kDirectIoAllowMmap2;
  out.flags = flags & command.init.flags;
  if ((out.flags & FUSE_INIT_EXT) != 0) {
    out.minor = kFuseMinorWithFlags2;
    out.flags2 = flags2 & command.init_flags2;
  }
  // This is our limit, not the minimum of ours and the guest's. Linux returns from mount(2) before
  // this reply arrives, and then lowers read_ahead_kb to the reply: a script that has raised
  // read_ahead_kb meanwhile would lose its change.
  out.max_readahead = kFsMaxTransferBytes;
  out.max_background = 256;  // requests in flight; Linux's default of 12 is too few
  out.congestion_threshold = 192;
  out.max_write = kFsMaxTransferBytes;
  out.time_gran = 1;  // ns
  out.max_pages = kFsMaxTransferBytes / kFsPageBytes;
  return Answer(out);
}

void FsServer::EndSession() {
  initialized_ = false;
  if (dax_ != nullptr) dax_->UnmapAll();
  files_.DropAll();
  handles_.CloseAll();
  kept_.ForgetAll();
  tree_.ForgetAll();
}

void FsServer::Forget(uint64_t node, uint64_t count) {
  if (!initialized_ || !tree_.Forget(NodeId{node}, count)) return;
  files_.Drop(NodeId{node});
  kept_.Forget(NodeId{node});
}

seconds FsServer::AttributeTime(uint64_t node) const {
  if (cache_ == FsCache::kNever) return seconds(0);
  // The guest shall look at the root again and again, because names appear there when the closure
  // grows.
  return cache_ == FsCache::kAuto || node == FUSE_ROOT_ID ? seconds(1) : kForever;
}

seconds FsServer::NegativeTime(uint64_t directory) const {
  if (cache_ == FsCache::kAuto) return seconds(1);
  // A name that is missing at the root may appear there when the closure grows.
  return cache_ == FsCache::kAlways && directory != FUSE_ROOT_ID ? kForever : seconds(0);
}

fuse_attr FsServer::ToAttr(const FileAttributes& attributes) const {
  fuse_attr attr = {};
  attr.ino = attributes.inode;
  attr.size = attributes.size_bytes;
  attr.blocks = attributes.blocks;
  attr.atime = static_cast<uint64_t>(attributes.accessed.seconds);
  attr.mtime = static_cast<uint64_t>(attributes.modified.seconds);
  attr.ctime = static_cast<uint64_t>(attributes.changed.seconds);
  attr.atimensec = attributes.accessed.nanoseconds;
  attr.mtimensec = attributes.modified.nanoseconds;
  attr.ctimensec = attributes.changed.nanoseconds;
  attr.mode = attributes.mode;
  attr.nlink = attributes.links;
  attr.uid = attributes.uid;
  attr.gid = attributes.gid;
  attr.rdev = EncodeDevice(attributes.device_major, attributes.device_minor);
  attr.blksize = attributes.block_bytes;
  if (dax_ != nullptr && S_ISREG(attributes.mode) && attributes.size_bytes >= kMinDaxFileBytes) {
    attr.flags = FUSE_ATTR_DAX;
  }
  return attr;
}

fuse_entry_out FsServer::ToEntry(const FoundNode& found) const {
  fuse_entry_out entry = {};
  entry.nodeid = static_cast<uint64_t>(found.id);
  entry.entry_valid = Seconds(AttributeTime(entry.nodeid));
  entry.attr_valid = entry.entry_valid;
  entry.attr = ToAttr(found.attributes);
  return entry;
}

FsServer::Reply FsServer::Lookup(const FsCommand& command, uint32_t room) {
  // If the answer did not fit, the guest would hold a node that it does not know.
  if (room < sizeof(fuse_entry_out)) return {.error = EINVAL};
  FoundNode found;
  const HostError error = tree_.Lookup(NodeId{command.node}, command.name(), found);
  if (error == ENOENT && NegativeTime(command.node) > seconds(0)) {
    fuse_entry_out nothing = {};  // node 0: the name is missing for as long as the entry is valid
    nothing.entry_valid = Seconds(NegativeTime(command.node));
    return Answer(nothing);
  }
  if (error != 0) return {.error = error};
  return Answer(ToEntry(found));
}

FsServer::Reply FsServer::GetAttributes(const FsCommand& command) {
  FileAttributes attributes;
  const HostError error = tree_.GetAttributes(NodeId{command.node}, attributes);
  if (error != 0) return {.error = error};
  fuse_attr_out out = {};
  out.attr_valid = Seconds(AttributeTime(command.node));
  out.attr = ToAttr(attributes);
  return Answer(out);
}

FsServer::Reply FsServer::ReadLink(const FsCommand& command) {
  if (const HostError error = tree_.ReadLink(NodeId{command.node}, text_); error != 0) {
    return {.error = error};
  }
  return {.payload = {reinterpret_cast<const uint8_t*>(text_.data()), text_.size()}};
}

FsServer::Reply FsServer::Open(const FsCommand& command) {
  // Linux remembers this answer: it never opens or closes a file again, and may cache all data.
  if (cache_ == FsCache::kAlways) return {.error = ENOSYS};
  // The file stays open for the guest, even if the host removes or replaces its name.
  if (handles_.full()) return {.error = ENFILE};
  std::unique_ptr<HostFile> file;
  // Each WRITE says itself whether it appends.
  const int flags = static_cast<int>(command.open.flags) & ~O_APPEND;
  HostError error = tree_.OpenFile(NodeId{command.node}, flags, file);
  if (error == 0 && (command.open.open_flags & FUSE_OPEN_KILL_SUIDGID) != 0) {
    error = tree_.ClearPrivileges(*file);
  }
  fuse_open_out out = {};
  if (error == 0) error = AddHandle(std::move(file), command.open.flags, out);
  if (error != 0) return {.error = error};
  // Look after opening: NFS asks its server for new attributes when a file is opened.
  FileAttributes attributes;
  if (cache_ == FsCache::kAuto && tree_.GetAttributes(NodeId{command.node}, attributes) == 0 &&
      kept_.Open(NodeId{command.node}, attributes, tree_.HasCoarseTimes(attributes),
                 real_time_()) == KeptContents::Answer::kKeepAll) {
    out.open_flags |= FOPEN_KEEP_CACHE;
  }
  return Answer(out);
}

FsServer::Reply FsServer::OpenDirectory(const FsCommand& command) {
  if (cache_ == FsCache::kAlways) return {.error = ENOSYS};
  fuse_open_out out = {};  // without a handle: directories are read by node
  const NodeId node{command.node};
  FileAttributes attributes;
  if (cache_ != FsCache::kAuto || tree_.GetAttributes(node, attributes) != 0) return Answer(out);
  const auto kept = kept_.OpenDirectory(node, attributes, tree_.HasCoarseTimes(attributes),
                                        real_time_(), AttributeTime(command.node));
  if (kept != KeptContents::Answer::kDrop) out.open_flags |= FOPEN_CACHE_DIR;
  if (kept == KeptContents::Answer::kKeepAll) out.open_flags |= FOPEN_KEEP_CACHE;
  return Answer(out);
}

FsServer::Reply FsServer::ReadDirectory(const FsCommand& command, uint32_t room) {
  const size_t limit = std::min<size_t>({command.read.size, room, reply_.size()});
  reply_size_ = 0;
  bool first_did_not_fit = false;
  const HostError error = tree_.ReadDirectory(
      NodeId{command.node}, command.read.offset,
      [&](const DirectoryEntry& entry) {
        const bool fits = AppendEntry(command, entry, limit);
        first_did_not_fit = !fits && reply_size_ == 0;
        return fits;
      },
      /*looks_up=*/command.opcode == FUSE_READDIRPLUS);
  // The guest may hold nodes by entries in the reply, so it must get the reply even if the host
  // failed later.
  if (reply_size_ > 0) return {.payload = std::span(reply_).first(reply_size_)};
  // An empty answer would mean the end of the directory.
  if (first_did_not_fit) return {.error = EINVAL};
  return {.error = error};
}

bool FsServer::AppendEntry(const FsCommand& command, const DirectoryEntry& entry, size_t limit) {
  const bool plus = command.opcode == FUSE_READDIRPLUS;
  const size_t header = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
  const size_t size = FUSE_DIRENT_ALIGN(header + entry.name.size());
  if (size > limit - reply_size_) return false;
  uint8_t* at = reply_.data() + reply_size_;
  std::memset(at, 0, size);
  fuse_dirent dirent = {};
  dirent.ino = entry.inode;
  if (plus) {
    // Node 0 tells the guest to look the name up itself. It stands for "." and "..", which the
    // guest does not get as nodes, and for names that have vanished or cannot be looked up.
    fuse_entry_out out = {};
    FoundNode found;
    if (entry.name != "." && entry.name != ".." &&
        tree_.Lookup(NodeId{command.node}, entry.name, found) == 0) {
      out = ToEntry(found);
      dirent.ino = out.attr.ino;
    }
    std::memcpy(at, &out, sizeof(out));
    at += sizeof(out);
  }
  dirent.off = entry.next_offset;
  dirent.namelen = static_cast<uint32_t>(entry.name.size());
  dirent.type = entry.type;
  std::memcpy(at, &dirent, FUSE_NAME_OFFSET);
  std::memcpy(at + FUSE_NAME_OFFSET, entry.name.data(), entry.name.size());
  reply_size_ += size;
  return true;
}

FsServer::Reply FsServer::GetFileSystem(const FsCommand& command) {
  struct statfs file_system;
  const HostError error = tree_.GetFileSystem(NodeId{command.node}, file_system);
  if (error != 0) return {.error = error};
  fuse_statfs_out out = {};
  out.st.blocks = file_system.f_blocks;
  out.st.bfree = file_system.f_bfree;
  out.st.bavail = file_system.f_bavail;
  out.st.files = file_system.f_files;
  out.st.ffree = file_system.f_ffree;
  out.st.bsize = static_cast<uint32_t>(file_system.f_bsize);
  out.st.namelen = static_cast<uint32_t>(file_system.f_namelen);
  out.st.frsize = static_cast<uint32_t>(file_system.f_frsize);
  return Answer(out);
}

FsServer::Reply FsServer::SetUpMapping(const FsCommand& command) {
  if (dax_ == nullptr) return {.error = ENOSYS};
  // The file is found by its node. There is no handle, since the guest opens nothing in a share
  // with a window.
  const fuse_setupmapping_in& mapping = command.setup_mapping;
  if ((mapping.flags & FUSE_SETUPMAPPING_FLAG_WRITE) != 0) return {.error = EROFS};
  if (mapping.flags != FUSE_SETUPMAPPING_FLAG_READ) return {.error = EINVAL};
  base::UniqueFd file;
  if (const HostError error = tree_.OpenFile(NodeId{command.node}, file); error != 0) {
    return {.error = error};
  }
  return {.error = dax_->Map(file.get(), mapping.foffset, mapping.moffset, mapping.len)};
}

HostError FsServer::RemoveMapping(uint64_t window_offset, uint64_t bytes) {
  if (!initialized_) return EIO;
  return dax_ == nullptr ? ENOSYS : dax_->Unmap(window_offset, bytes);
}

}  // namespace virtio
