// Changing what is in a HostTree: making, removing and renaming. Every call goes from a directory
// that is held open to one name in it; none of them follows a link of that name.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "virtio/host_tree/file_name.h"
#include "virtio/host_tree/file_status.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/owner_rights.h"

namespace virtio {
namespace {

// How often to try again when the host makes and removes the same name meanwhile.
constexpr int kMaxTries = 4;

// Set once a file has its owner: until then they would be those of vmm's user.
constexpr uint32_t kSetIds = S_ISUID | S_ISGID;

// The thread's umask is the guest's while this is there. The first one in a thread gives it an
// umask (and working directory) of its own, which are the whole process's otherwise.
class GuestUmask {
 public:
  explicit GuestUmask(uint32_t mask) {
    static thread_local const HostError unshared = HostError::Of(unshare(CLONE_FS));
    error_ = unshared;
    if (error_ == 0) before_ = umask(mask & 0777);
  }
  ~GuestUmask() {
    if (error_ == 0) umask(before_);
  }
  GuestUmask(const GuestUmask&) = delete;
  GuestUmask& operator=(const GuestUmask&) = delete;

  HostError error() const { return error_; }

 private:
  HostError error_;
  mode_t before_ = 0;
};

// True if this may be a pipe, socket or link that was made since then.
bool IsNew(const struct statx& status, time_t since) {
  if (status.stx_nlink != 1) return false;
  // Who owns a link may do nothing with it. Where files have a time of birth it is this machine's.
  return S_ISLNK(status.stx_mode) || (status.stx_mask & STATX_BTIME) == 0 ||
         status.stx_btime.tv_sec >= since;
}

// True if nothing is in the directory, as in one that was just made.
bool IsEmptyDirectory(base::UniqueFd fd) {
  DIR* directory = fdopendir(fd.get());
  if (directory == nullptr) return false;
  fd.release();     // it is closed with the stream
  int entries = 0;  // with "." and ".."
  errno = 0;
  while (entries <= 2 && readdir(directory) != nullptr) ++entries;
  const bool empty = entries <= 2 && errno == 0;
  closedir(directory);
  return empty;
}

}  // namespace

absl::Status HostTree::PrepareChanges() {
  const OwnerRights rights = OwnRights();
  RETURN_IF_ERROR(CheckOwnerRights(options_.name, options_.uids, options_.gids, rights));
  keeps_owners_ =
      rights.any_owner && !(options_.uids.ranges().empty() && options_.gids.ranges().empty());
  own_uid_ = rights.uid;
  return watch_.Start();
}

HostError HostTree::BeginChange(NodeId directory, absl::string_view name, Node*& parent, int& fd) {
  if (!options_.writable) return EROFS;
  if (const HostError error = CheckFileName(name); error != 0) return error;
  parent = nodes_.Find(directory);
  if (parent == nullptr) return ESTALE;
  return DirectoryFd(*parent, fd);
}

HostError HostTree::BeginMaking(NodeId directory, absl::string_view name, const Caller& caller,
                                Node*& parent, int& fd, HostOwner& owner) {
  if (const HostError error = BeginChange(directory, name, parent, fd); error != 0) return error;
  if (!nodes_.FitsNew(name)) return ENFILE;
  return FindOwner(caller, owner);
}

HostError HostTree::FindOwner(const Caller& caller, HostOwner& owner) {
  const auto uid = options_.uids.ToHost(caller.uid);
  const auto gid = options_.gids.ToHost(caller.gid);
  // The largest number is nobody's: to the host it means "as it is".
  if (uid.value_or(UINT32_MAX) == UINT32_MAX || gid.value_or(UINT32_MAX) == UINT32_MAX) {
    return EPERM;
  }
  owner = {*uid, *gid};
  making_since_ = time(nullptr);
  return 0;
}

HostError HostTree::FinishMaking(Node& parent, int parent_fd, absl::string_view name,
                                 const HostOwner& owner, uint32_t mode, FoundNode& found) {
  const NameBuffer name_buffer(name);
  SeenFile seen;
  HostError error = Look(parent_fd, name_buffer.bytes, seen);
  if (error != 0) return error;
  struct statx& status = seen.status;
  if (status.stx_uid != owner.uid || status.stx_gid != owner.gid || (mode & kSetIds) != 0) {
    base::UniqueFd fd;
    error = OpenIn(parent_fd, name_buffer.bytes, O_PATH, fd);
    if (error == 0) error = Look(fd.get(), "", seen);
    base::UniqueFd listing;
    if (error == 0 && S_ISDIR(status.stx_mode)) {
      error = OpenIn(fd.get(), ".", O_RDONLY | O_DIRECTORY, listing);
    }
    if (error != 0) return error;
    // The host may have put something else there meanwhile, which is not to be given away.
    const bool made_here =
        status.stx_uid == own_uid_ && TypeOf(status) == (mode & S_IFMT) &&
        (listing.valid() ? IsEmptyDirectory(std::move(listing)) : IsNew(status, making_since_));
    if (!made_here) return ESTALE;
    error = GiveOwner(parent_fd, fd.get(), owner, mode, status);
    if (error != 0) {
      RemoveMade(parent_fd, name, seen.identity);
      return error;
    }
    if (seen.kind->numbers == FileNumbers::kPinned) seen.pin = std::move(fd);
  }
  return Enter(parent, name, seen, found);
}

void HostTree::RemoveMade(int parent_fd, absl::string_view name, const FileIdentity& made) {
  const NameBuffer name_buffer(name);
  SeenFile seen;
  if (Look(parent_fd, name_buffer.bytes, seen) != 0 || !(seen.identity == made)) return;
  unlinkat(parent_fd, name_buffer.bytes, S_ISDIR(seen.status.stx_mode) ? AT_REMOVEDIR : 0);
}

HostError HostTree::GiveOwner(int parent_fd, int fd, const HostOwner& owner, uint32_t mode,
                              struct statx& status) {
  uint32_t gid = owner.gid;
  if (gid != status.stx_gid) {
    struct statx directory;
    if (const HostError error = Status(parent_fd, "", directory); error != 0) return error;
    // What is made in such a directory has its group.
    if ((directory.stx_mode & S_ISGID) != 0) gid = status.stx_gid;
  }
  const bool other_owner = owner.uid != status.stx_uid || gid != status.stx_gid;
  if (other_owner && fchownat(fd, "", owner.uid, gid, AT_EMPTY_PATH) != 0) return HostError::Last();
  uint32_t set_ids = S_ISDIR(status.stx_mode) ? 0 : mode & kSetIds;
  // Not for a group that the guest does not have.
  if (keeps_owners_ && !options_.gids.Has(gid)) set_ids &= ~uint32_t{S_ISGID};
  if (set_ids != 0) {
    const HostError error = ChangeMode(fd, (status.stx_mode & ~kSetIds & 07777) | set_ids);
    if (error != 0) return error;
  }
  return other_owner || set_ids != 0 ? Status(fd, "", status) : 0;
}

HostError HostTree::Create(NodeId directory, absl::string_view name, const Caller& caller,
                           uint32_t mode, int flags, FoundNode& found,
                           std::unique_ptr<HostFile>& file) {
  constexpr int kKept = O_ACCMODE | O_APPEND;
  Node* parent;
  int parent_fd;
  HostOwner owner;
  HostError error = BeginMaking(directory, name, caller, parent, parent_fd, owner);
  for (int tries = 0; error == 0 && tries < kMaxTries; ++tries) {
    base::UniqueFd fd;
    {
      const GuestUmask guest_umask(caller.umask);
      if (guest_umask.error() != 0) return guest_umask.error();
      error = OpenIn(parent_fd, NameBuffer(name).bytes, O_CREAT | O_EXCL | (flags & kKept), fd,
                     mode & 07777 & ~kSetIds);
    }
    if (error == 0) {
      SeenFile seen;
      error = Look(fd.get(), "", seen);
      // Then nobody knows whether what has the name is what was made: it stays.
      if (error != 0) return error;
      error = GiveOwner(parent_fd, fd.get(), owner, mode, seen.status);
      if (error == 0) error = Enter(*parent, name, seen, found);
      if (error != 0) {
        RemoveMade(parent_fd, name, seen.identity);
        return error;
      }
      file = std::make_unique<HostFile>(nodes_, *nodes_.Find(found.id), std::move(fd));
      return 0;
    }
    if (error != EEXIST || (flags & O_EXCL) != 0) return error;
    error = Enter(*parent, parent_fd, name, found);
    if (error == 0) {
      error = OpenFile(found.id, flags, file);
      if (error == 0 && (flags & O_TRUNC) != 0) {
        if (caller.clears_privileges) error = ClearPrivileges(*file);
        if (error == 0) error = GetAttributes(found.id, found.attributes);
      }
      if (error == 0) return 0;
      file = nullptr;
      Forget(found.id, 1);
      return error;
    }
    if (error == ENOENT) error = 0;  // it has gone again
  }
  return error != 0 ? error : ESTALE;
}

HostError HostTree::MakeDirectory(NodeId directory, absl::string_view name, const Caller& caller,
                                  uint32_t mode, FoundNode& found) {
  Node* parent;
  int parent_fd;
  HostOwner owner;
  if (const HostError error = BeginMaking(directory, name, caller, parent, parent_fd, owner);
      error != 0) {
    return error;
  }
  const GuestUmask guest_umask(caller.umask);
  if (guest_umask.error() != 0) return guest_umask.error();
  if (mkdirat(parent_fd, NameBuffer(name).bytes, mode & 07777) != 0) return HostError::Last();
  return FinishMaking(*parent, parent_fd, name, owner, S_IFDIR, found);
}

HostError HostTree::MakeNode(NodeId directory, absl::string_view name, const Caller& caller,
                             uint32_t mode, uint32_t device_major, uint32_t device_minor,
                             FoundNode& found) {
  if (S_ISREG(mode)) {
    // By a descriptor from the start: the host's files are given to nobody, whatever it swaps in.
    std::unique_ptr<HostFile> file;
    return Create(directory, name, caller, mode, O_RDONLY | O_EXCL, found, file);
  }
  Node* parent;
  int parent_fd;
  HostOwner owner;
  if (const HostError error = BeginMaking(directory, name, caller, parent, parent_fd, owner);
      error != 0) {
    return error;
  }
  switch (mode & S_IFMT) {
    case S_IFIFO:
    case S_IFSOCK:
      break;
    case S_IFCHR:
      if (device_major == 0 && device_minor == 0) break;
      return EPERM;
    case S_IFBLK:
      return EPERM;
    default:
      return EINVAL;
  }
  const GuestUmask guest_umask(caller.umask);
  if (guest_umask.error() != 0) return guest_umask.error();
  const mode_t host_mode = mode & (S_IFMT | 07777) & ~kSetIds;
  if (mknodat(parent_fd, NameBuffer(name).bytes, host_mode, makedev(0, 0)) != 0)
    return HostError::Last();
  return FinishMaking(*parent, parent_fd, name, owner, mode, found);
}

HostError HostTree::MakeSymlink(NodeId directory, absl::string_view name, const Caller& caller,
                                absl::string_view target, FoundNode& found) {
  Node* parent;
  int parent_fd;
  HostOwner owner;
  if (const HostError error = BeginMaking(directory, name, caller, parent, parent_fd, owner);
      error != 0) {
    return error;
  }
  if (target.size() >= PATH_MAX) return ENAMETOOLONG;
  if (target.find('\0') != absl::string_view::npos) return EINVAL;
  if (symlinkat(std::string(target).c_str(), parent_fd, NameBuffer(name).bytes) != 0)
    return HostError::Last();
  return FinishMaking(*parent, parent_fd, name, owner, S_IFLNK, found);
}

HostError HostTree::Link(NodeId id, NodeId directory, absl::string_view name, FoundNode& found) {
  Node* parent;
  int parent_fd;
  if (const HostError error = BeginChange(directory, name, parent, parent_fd); error != 0)
    return error;
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  if (node->type == S_IFDIR) return EPERM;
  // Getting at the file may close the directory.
  const base::UniqueFd to(fcntl(parent_fd, F_DUPFD_CLOEXEC, 0));
  if (!to.valid()) return HostError::Last();
  int fd;
  base::UniqueFd opened;
  if (const HostError error = NodeFd(*node, fd, opened); error != 0) return error;
  // By descriptor: its name may be another's by now.
  const NameBuffer name_buffer(name);
  const HostError error = watch_.Run([&] {
    return linkat(descriptors_.get(), std::to_string(fd).c_str(), to.get(), name_buffer.bytes,
                  AT_SYMLINK_FOLLOW);
  });
  if (error != 0) return error;
  return Enter(*parent, to.get(), name, found);
}

HostError HostTree::Unlink(NodeId directory, absl::string_view name) {
  return Remove(directory, name, 0);
}

HostError HostTree::RemoveDirectory(NodeId directory, absl::string_view name) {
  return Remove(directory, name, AT_REMOVEDIR);
}

HostError HostTree::Remove(NodeId directory, absl::string_view name, int flags) {
  Node* parent;
  int parent_fd;
  if (const HostError error = BeginChange(directory, name, parent, parent_fd); error != 0)
    return error;
  Node* victim = KeepVictim(*parent, parent_fd, name);
  const NameBuffer name_buffer(name);
  const HostError error = watch_.Run([&] { return unlinkat(parent_fd, name_buffer.bytes, flags); });
  if (error != 0) return error;
  if (victim != nullptr) victim->orphan = true;
  return 0;
}

Node* HostTree::KeepVictim(Node& parent, int parent_fd, absl::string_view name) {
  SeenFile seen;
  if (Look(parent_fd, NameBuffer(name).bytes, seen) != 0) return nullptr;
  Node* node = nodes_.Find(seen.identity);
  if (node == nullptr || node->parent != &parent || node->name() != name) return nullptr;
  if (node->path_fd >= 0 || node->files != nullptr) return node;
  // A file that the guest has not open, and that has no other name, nobody can ask for again.
  const bool is_directory = node->type == S_IFDIR;
  if (!is_directory && (seen.status.stx_nlink == 1 || seen.kind->remote)) return node;
  base::UniqueFd fd = std::move(seen.pin);
  if (fd.valid() || OpenPathIn(parent_fd, NameBuffer(name).bytes, *node, fd) == 0)
    directories_.Keep(*node, std::move(fd));
  return node;
}

HostError HostTree::Rename(NodeId from, absl::string_view from_name, NodeId to,
                           absl::string_view to_name, uint32_t flags, const Caller& caller) {
  Node* from_parent;
  Node* to_parent;
  int fd;
  if (const HostError error = BeginChange(from, from_name, from_parent, fd); error != 0)
    return error;
  const bool leaves_whiteout = (flags & RENAME_WHITEOUT) != 0;
  if (flags != RENAME_EXCHANGE && (flags & ~uint32_t{RENAME_NOREPLACE | RENAME_WHITEOUT}) != 0) {
    return EINVAL;
  }
  HostOwner owner;
  if (leaves_whiteout) {
    if (const HostError error = FindOwner(caller, owner); error != 0) return error;
  }
  // Longer names take more memory.
  if (!nodes_.FitsNames()) return ENFILE;
  // Getting at one directory may close the other.
  const base::UniqueFd from_fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!from_fd.valid()) return HostError::Last();
  if (const HostError error = BeginChange(to, to_name, to_parent, fd); error != 0) return error;
  const base::UniqueFd to_fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!to_fd.valid()) return HostError::Last();
  Node* victim = flags == RENAME_EXCHANGE ? nullptr : KeepVictim(*to_parent, to_fd.get(), to_name);
  const NameBuffer from_buffer(from_name);
  const NameBuffer to_buffer(to_name);
  const HostError error = watch_.Run([&] {
    return renameat2(from_fd.get(), from_buffer.bytes, to_fd.get(), to_buffer.bytes, flags);
  });
  if (error != 0) return error;
  if (victim != nullptr) victim->orphan = true;
  if (leaves_whiteout) OwnWhiteout(from_fd.get(), from_name, owner);
  // A directory that the guest has forgotten is kept by what is in it, which is leaving.
  ++from_parent->lookups;
  NotePlace(*to_parent, to_fd.get(), to_name);
  if (flags == RENAME_EXCHANGE) NotePlace(*from_parent, from_fd.get(), from_name);
  --from_parent->lookups;
  nodes_.RemoveUnused(*from_parent);
  return 0;
}

void HostTree::OwnWhiteout(int parent_fd, absl::string_view name, const HostOwner& owner) {
  const NameBuffer name_buffer(name);
  SeenFile seen;
  struct statx& status = seen.status;
  if (Look(parent_fd, name_buffer.bytes, seen) != 0) return;
  if (status.stx_uid == owner.uid && status.stx_gid == owner.gid) return;
  base::UniqueFd fd;
  if (OpenIn(parent_fd, name_buffer.bytes, O_PATH, fd) != 0) return;
  if (Look(fd.get(), "", seen) != 0) return;
  // As in FinishMaking: what the host has put there meanwhile is not given away.
  const bool made_here = status.stx_uid == own_uid_ && S_ISCHR(status.stx_mode) &&
                         status.stx_rdev_major == 0 && status.stx_rdev_minor == 0 &&
                         IsNew(status, making_since_);
  // The file has moved by now, whoever owns what marks its old name.
  if (made_here) GiveOwner(parent_fd, fd.get(), owner, S_IFCHR, status).Ignore();
}

void HostTree::NotePlace(Node& parent, int parent_fd, absl::string_view name) {
  SeenFile seen;
  if (Look(parent_fd, NameBuffer(name).bytes, seen) != 0) return;
  Node* node = nodes_.Find(seen.identity);
  if (node != nullptr) nodes_.Place(*node, parent, name);
}

HostError HostTree::FindPlace(NodeId id, NodeId& directory, std::string& name) {
  const Node* node = nodes_.Find(id);
  if (node == nullptr || node->orphan) return ESTALE;
  if (node->parent == nullptr) return EBUSY;
  directory = node->parent->id;
  name = std::string(node->name());
  return 0;
}

NodeId HostTree::FindKnown(NodeId directory, absl::string_view name) {
  Node* parent;
  int parent_fd;
  SeenFile seen;
  if (BeginChange(directory, name, parent, parent_fd) != 0) return NodeId{0};
  if (Look(parent_fd, NameBuffer(name).bytes, seen) != 0) return NodeId{0};
  const Node* node = nodes_.Find(seen.identity);
  return node != nullptr ? node->id : NodeId{0};
}

}  // namespace virtio
