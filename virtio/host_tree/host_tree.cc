#include "virtio/host_tree/host_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "base/status.h"
#include "virtio/host_tree/file_name.h"
#include "virtio/host_tree/file_status.h"

namespace virtio {
namespace {

FileTime ToTime(const struct statx_timestamp& time) { return {time.tv_sec, time.tv_nsec}; }

}  // namespace

absl::StatusOr<std::unique_ptr<HostTree>> HostTree::Open(Options options) {
  CHECK(options.max_directories >= 2);
  const std::string name = absl::StrCat(options.name, ".path: ", options.path);
  base::UniqueFd root(open(options.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) {
    const int error = errno;
    return base::Advise(base::ErrnoStatus(error, absl::StrCat(name, ": cannot open the directory")),
                        error == EACCES || error == EPERM
                            ? "give this user access to it and to those above it"
                        : error == ENOTDIR ? "name a directory, not a file"
                                           : "name a directory that exists");
  }
  struct statx status;
  struct statfs file_system;
  if (statx(root.get(), "", AT_EMPTY_PATH, kStatusMask, &status) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(name, ": statx"));
  }
  if (fstatfs(root.get(), &file_system) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(name, ": statfs"));
  }
  const FileSystemKind* kind =
      FindFileSystemKind(options.root_magic.value_or(static_cast<uint64_t>(file_system.f_type)));
  if (kind == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        name, ": files of this kind of file system (statfs type 0x", absl::Hex(file_system.f_type),
        ") may be anything, vmm's own memory too, and are not ",
        "shared; name a directory on a disk, tmpfs, overlay, network file system or FUSE"));
  }
  const auto closure = options.closure;
  const std::string closure_name = absl::StrCat(options.name, ".closure");
  auto tree =
      std::unique_ptr<HostTree>(new HostTree(std::move(options), std::move(root), status, *kind));
  tree->descriptors_.reset(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!tree->descriptors_.valid()) {
    return base::ErrnoStatus(errno, absl::StrCat(name, ": needs /proc/self/fd; mount /proc"));
  }
  if (tree->options_.writable) RETURN_IF_ERROR(tree->PrepareChanges());
  if (closure.has_value()) {
    ASSIGN_OR_RETURN(auto file, ClosureFile::Open(closure_name, *closure));
    tree->closure_.emplace(std::move(file), tree->root_.get(), tree->options_.path);
    RETURN_IF_ERROR(tree->closure_->Read());
  }
  return tree;
}

HostTree::HostTree(Options options, base::UniqueFd root, const struct statx& root_status,
                   const FileSystemKind& root_kind)
    : options_(std::move(options)),
      root_(std::move(root)),
      root_mount_(root_status.stx_mnt_id),
      root_kind_(root_kind),
      looks_by_descriptor_(LooksByDescriptor(root_kind, root_status)),
      numbers_(IdentityOf(root_status).device),
      nodes_(IdentityOf(root_status), options_.max_node_bytes,
             [this](Node& node) {
               directories_.Close(node);
               DropListing(node.id);
             }),
      directories_(options_.max_directories) {}

HostTree::~HostTree() = default;

// --- Names ---------------------------------------------------------------------------------------

HostError HostTree::Lookup(NodeId directory, absl::string_view name, FoundNode& found) {
  if (const HostError error = CheckFileName(name); error != 0) return error;
  Node* parent = nodes_.Find(directory);
  if (parent == nullptr) return ESTALE;
  if (directory == kRootNode && has_closure() && !closure_->Contains(name)) return ENOENT;
  int fd = -1;
  if (const HostError error = DirectoryFd(*parent, fd); error != 0) return error;
  return Enter(*parent, fd, name, found);
}

HostError HostTree::Enter(Node& parent, int parent_fd, absl::string_view name, FoundNode& found) {
  SeenFile seen;
  if (const HostError error = Look(parent_fd, NameBuffer(name).bytes, seen); error != 0)
    return error;
  return Enter(parent, name, seen, found);
}

HostError HostTree::Enter(Node& parent, absl::string_view name, SeenFile& seen, FoundNode& found) {
  Node* node = nodes_.Insert(seen.identity, TypeOf(seen.status), parent, name);
  if (node == nullptr) return ENFILE;
  if (seen.pin.valid() && node->path_fd < 0) directories_.Keep(*node, std::move(seen.pin));
  found.id = node->id;
  found.attributes = ToAttributes(*node, seen.status);
  return 0;
}

HostError HostTree::LookupParent(NodeId directory, FoundNode& found) {
  Node* node = nodes_.Find(directory);
  if (node == nullptr) return ESTALE;
  if (node->type != S_IFDIR) return ENOTDIR;
  Node& parent = node->parent == nullptr ? *node : *node->parent;
  struct statx status;
  if (const HostError error = StatusOf(parent, status); error != 0) return error;
  ++parent.lookups;
  found.id = parent.id;
  found.attributes = ToAttributes(parent, status);
  return 0;
}

void HostTree::Hold(NodeId id) {
  if (Node* node = nodes_.Find(id); node != nullptr) ++node->lookups;
}

bool HostTree::Forget(NodeId id, uint64_t count) {
  Node* node = nodes_.Find(id);
  if (node == nullptr || node == &nodes_.root()) return false;
  node->lookups -= std::min(count, node->lookups);
  nodes_.RemoveUnused(*node);
  return !Knows(id);
}

void HostTree::ForgetAll() {
  std::vector<Node*> leaves;
  nodes_.ForEach([&leaves](Node& node) {
    node.lookups = 0;
    if (node.children == 0) leaves.push_back(&node);
  });
  for (Node* node : leaves) nodes_.RemoveUnused(*node);
  listings_.clear();
}

HostError HostTree::StatusOf(Node& node, struct statx& status) {
  if (node.parent == nullptr) return Status(root_.get(), "", status);
  if (node.path_fd >= 0) return Status(node.path_fd, "", status);
  if (node.files != nullptr) return Status(node.files->fd(), "", status);
  if (node.orphan) return ESTALE;
  int parent_fd = -1;
  if (const HostError error = DirectoryFd(*node.parent, parent_fd); error != 0) return error;
  SeenFile seen;
  if (const HostError error = Look(parent_fd, node.name().data(), seen); error != 0) {
    return error == ENOENT ? ESTALE : error;
  }
  if (!(seen.identity == node.identity)) return ESTALE;
  if (seen.pin.valid()) directories_.Keep(node, std::move(seen.pin));
  status = seen.status;
  return 0;
}

FileAttributes HostTree::ToAttributes(const Node& node, const struct statx& status) {
  FileAttributes a;
  a.inode = NumberOf(node);
  a.mount = node.identity.mount ^ nodes_.root().identity.mount;
  a.size_bytes = status.stx_size;
  a.blocks = status.stx_blocks;
  a.accessed = ToTime(status.stx_atime);
  a.modified = ToTime(status.stx_mtime);
  a.changed = ToTime(status.stx_ctime);
  a.mode = status.stx_mode;
  a.links = status.stx_nlink;
  a.uid = options_.uids.ToGuest(status.stx_uid);
  a.gid = options_.gids.ToGuest(status.stx_gid);
  a.device_major = status.stx_rdev_major;
  a.device_minor = status.stx_rdev_minor;
  a.block_bytes = status.stx_blksize;
  if (node.id == kRootNode && has_closure()) {
    // The host's root says how much else there is, and when it changed. For the guest it changes
    // when the closure is read.
    a.links = 1;
    a.size_bytes = a.blocks = 0;
    const timespec& read_at = closure_->read_at();
    a.accessed = a.modified = a.changed = {read_at.tv_sec, static_cast<uint32_t>(read_at.tv_nsec)};
  }
  return a;
}

HostError HostTree::GetAttributes(NodeId id, FileAttributes& attributes) {
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  struct statx status;
  if (const HostError error = StatusOf(*node, status); error != 0) return error;
  attributes = ToAttributes(*node, status);
  return 0;
}

HostError HostTree::ReadLink(NodeId id, std::string& target) {
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  if (node->type != S_IFLNK) return EINVAL;
  int fd = node->path_fd;
  const char* name = "";  // what `fd` is itself
  if (fd < 0) {
    if (node->orphan) return ESTALE;
    if (const HostError error = DirectoryFd(*node->parent, fd); error != 0) return error;
    name = node->name().data();
  }
  target.resize(PATH_MAX);
  const ssize_t size = readlinkat(fd, name, target.data(), target.size());
  if (size < 0) return errno == ENOENT || errno == EINVAL ? ESTALE : HostError::Last();
  if (static_cast<size_t>(size) >= target.size()) return ENAMETOOLONG;
  target.resize(static_cast<size_t>(size));
  return 0;
}

HostError HostTree::OpenFile(NodeId id, base::UniqueFd& file) {
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  if (node->type == S_IFDIR) return EISDIR;
  // What is behind a device or a pipe is the host's.
  if (node->type != S_IFREG) return EACCES;
  base::UniqueFd fd;
  if (const HostError error = OpenNode(*node, O_RDONLY, fd); error != 0) return error;
  // A ring would fail reads that have to wait for the disk.
  if (fcntl(fd.get(), F_SETFL, 0) != 0) return HostError::Last();
  file = std::move(fd);
  return 0;
}

HostError HostTree::GetFileSystem(NodeId id, struct statfs& file_system) {
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  int fd;
  base::UniqueFd opened;
  if (const HostError error = NodeFd(*node, fd, opened); error != 0) return error;
  if (fstatfs(fd, &file_system) != 0) return HostError::Last();
  if (has_closure()) {
    // As with the root's attributes: not how much else there is, nor what others write. Like an
    // image that is read only the file system is full.
    file_system.f_bfree = file_system.f_bavail = 0;
    file_system.f_files = file_system.f_ffree = 0;
  }
  return 0;
}

HostError HostTree::OpenFileSystem(base::UniqueFd& fd) {
  return OpenIn(root_.get(), ".", O_RDONLY | O_DIRECTORY, fd);
}

// --- Descriptors ---------------------------------------------------------------------------------

HostError HostTree::OpenIn(int directory_fd, const char* name, int flags, base::UniqueFd& fd,
                           uint32_t mode) {
  // To open what somebody has put there can have effects: a tape rewinds, who writes to a pipe goes
  // on.
  CHECK((flags & (O_PATH | O_EXCL)) != 0 || absl::string_view(name) == ".");
  struct open_how how = {};
  how.mode = mode;
  how.flags = static_cast<uint64_t>(flags) | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  if (!options_.submounts) how.resolve |= RESOLVE_NO_XDEV;
  for (int tries = 0; tries < 8; ++tries) {
    ++opens_;
    fd.reset(static_cast<int>(syscall(SYS_openat2, directory_fd, name, &how, sizeof(how))));
    if (fd.valid()) return 0;
    if (errno == EINTR || errno == EAGAIN || directories_.GivesUp(HostError::Last())) continue;
    break;
  }
  return HostError::Last();
}

HostError HostTree::OpenNode(Node& node, int flags, base::UniqueFd& fd) {
  // What is still held is the file, whether or not its name is.
  if (node.path_fd >= 0) {
    directories_.Touch(node);
    return Reopen(node.path_fd, flags, fd);
  }
  if (node.files != nullptr) return Reopen(node.files->fd(), flags, fd);
  base::UniqueFd path;
  if (const HostError error = OpenPath(node, path); error != 0) return error;
  return Reopen(path.get(), flags, fd);
}

HostError HostTree::OpenPath(Node& node, base::UniqueFd& fd) {
  if (node.orphan) return ESTALE;
  int parent_fd = -1;
  if (const HostError error = DirectoryFd(*node.parent, parent_fd); error != 0) return error;
  return OpenPathIn(parent_fd, node.name().data(), node, fd);
}

HostError HostTree::OpenPathIn(int directory_fd, const char* path, const Node& node,
                               base::UniqueFd& fd) {
  // Not with O_DIRECTORY, which would have the host mount what is mounted on demand.
  const HostError error = OpenIn(directory_fd, path, O_PATH, fd);
  if (error != 0) return error == ENOENT || error == ENOTDIR || error == ELOOP ? ESTALE : error;
  SeenFile seen;
  if (const HostError failed = Look(fd.get(), "", seen); failed != 0) return failed;
  return HostError::FromErrno(seen.identity == node.identity ? 0 : ESTALE);
}

HostError HostTree::DirectoryFd(Node& node, int& fd) {
  if (node.type != S_IFDIR) return ENOTDIR;
  // Up to a directory that is open, then down again.
  std::vector<Node*> closed;
  Node* at = &node;
  for (; at->parent != nullptr && at->path_fd < 0; at = at->parent) closed.push_back(at);
  if (closed.size() > kMaxDepth) return ELOOP;
  fd = at->parent == nullptr ? root_.get() : at->path_fd;
  if (at->parent != nullptr) directories_.Touch(*at);
  while (!closed.empty()) {
    // As many names at a time as one call takes: a guest can have its directories reopened with
    // every request, by using others in between. What is on the way is not compared: who the last
    // one is says whether the way was right.
    Node* last = nullptr;
    std::string path;
    do {
      last = closed.back();
      if (last->orphan) return ESTALE;
      closed.pop_back();
      if (!path.empty()) path.push_back('/');
      path.append(last->name().data(), last->name().size());
    } while (!closed.empty() && path.size() + 1 + closed.back()->name().size() < PATH_MAX);
    base::UniqueFd opened;
    if (const HostError error = OpenPathIn(fd, path.c_str(), *last, opened); error != 0) {
      return error;
    }
    // The newest two are safe: `fd`, which was the last, is still open while the next is opened.
    fd = opened.get();
    directories_.Keep(*last, std::move(opened));
  }
  return 0;
}

}  // namespace virtio
