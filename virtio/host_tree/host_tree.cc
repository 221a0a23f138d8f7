#include "virtio/host_tree/host_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

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
  const bool writable = options.writable;
  ASSIGN_OR_RETURN(OpenedRoot root, OpenRoot(options.name, options.path, options.root_magic));
  Ownership owners(options.uids, options.gids, writable ? OwnRights() : OwnerRights());
  if (writable) RETURN_IF_ERROR(owners.CheckRights(options.name));
  auto tree = std::unique_ptr<HostTree>(
      new HostTree(std::move(options), std::move(root), std::move(owners)));
  if (writable) RETURN_IF_ERROR(tree->watch_.Start());
  if (const Options& kept = tree->options_; kept.closure.has_value()) {
    ASSIGN_OR_RETURN(auto file,
                     ClosureFile::Open(absl::StrCat(kept.name, ".closure"), *kept.closure));
    tree->closure_.emplace(std::move(file), tree->root_.fd(), kept.path);
    RETURN_IF_ERROR(tree->closure_->Read());
  }
  return tree;
}

HostTree::HostTree(Options options, OpenedRoot root, Ownership owners)
    : options_(std::move(options)),
      nodes_(IdentityOf(root.status), options_.max_node_bytes,
             [this](Node& node) {
               directories_.Close(node);
               reader_.Close(node.id);
             }),
      directories_(options_.max_directories),
      root_(std::move(root), options_.submounts, directories_),
      opener_(root_, directories_),
      reader_(root_, opener_),
      owners_(std::move(owners)),
      maker_(root_, owners_, watch_) {}

HostTree::~HostTree() = default;

// --- Names ---------------------------------------------------------------------------------------

HostError HostTree::Lookup(NodeId directory, absl::string_view name, FoundNode& found) {
  RETURN_IF_HOST_ERROR(CheckFileName(name));
  Node* parent = nodes_.Find(directory);
  if (parent == nullptr) return ESTALE;
  if (directory == kRootNode && has_closure() && !closure_->Contains(name)) return ENOENT;
  int fd;
  RETURN_IF_HOST_ERROR(opener_.DirectoryFd(*parent, fd));
  return Enter(*parent, fd, name, found);
}

HostError HostTree::Enter(Node& parent, int parent_fd, absl::string_view name, FoundNode& found) {
  SeenFile seen;
  RETURN_IF_HOST_ERROR(root_.Look(parent_fd, NameBuffer(name).bytes, seen));
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
  RETURN_IF_HOST_ERROR(opener_.Status(parent, status));
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
  reader_.CloseAll();
}

HostError HostTree::FindPlace(NodeId id, NodeId& directory, std::string& name) {
  const Node* node = nodes_.Find(id);
  if (node == nullptr || node->orphan) return ESTALE;
  if (node->parent == nullptr) return EBUSY;
  directory = node->parent->id;
  name = std::string(node->name());
  return 0;
}

HostError HostTree::ReadDirectory(NodeId id, uint64_t offset, DirectoryReader::Visitor visit,
                                  bool looks_up) {
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  if (node->type != S_IFDIR) return ENOTDIR;
  if (id == kRootNode && has_closure()) return reader_.ReadClosure(*closure_, offset, visit);
  return reader_.Read(*node, offset, visit, looks_up);
}

HostError HostTree::ReadLink(NodeId id, std::string& target) {
  Node* node = nodes_.Find(id);
  return node != nullptr ? opener_.ReadLink(*node, target) : ESTALE;
}

FileAttributes HostTree::ToAttributes(const Node& node, const struct statx& status) {
  FileAttributes a;
  a.inode = root_.GuestInode(node.identity);
  a.mount = node.identity.mount ^ nodes_.root().identity.mount;
  a.size_bytes = status.stx_size;
  a.blocks = status.stx_blocks;
  a.accessed = ToTime(status.stx_atime);
  a.modified = ToTime(status.stx_mtime);
  a.changed = ToTime(status.stx_ctime);
  a.mode = status.stx_mode;
  a.links = status.stx_nlink;
  a.uid = owners_.uids().ToGuest(status.stx_uid);
  a.gid = owners_.gids().ToGuest(status.stx_gid);
  a.device_major = status.stx_rdev_major;
  a.device_minor = status.stx_rdev_minor;
  a.block_bytes = status.stx_blksize;
  if (node.id == kRootNode && has_closure()) {
    // The attributes of the host's root say how much else there is, and when that changed. For the
    // guest, the root changes when the closure is read.
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
  RETURN_IF_HOST_ERROR(opener_.Status(*node, status));
  attributes = ToAttributes(*node, status);
  return 0;
}

// --- Opening -------------------------------------------------------------------------------------

HostError HostTree::FindRegularFile(NodeId id, Node*& node) {
  node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  if (node->type == S_IFDIR) return EISDIR;
  // What is behind a device or a pipe belongs to the host.
  return HostError::FromErrno(node->type != S_IFREG ? EACCES : 0);
}

HostError HostTree::OpenFile(NodeId id, base::UniqueFd& file) {
  Node* node;
  RETURN_IF_HOST_ERROR(FindRegularFile(id, node));
  return opener_.Open(*node, O_RDONLY, file);
}

HostError HostTree::OpenFile(NodeId id, int flags, std::unique_ptr<HostFile>& file) {
  const int access = flags & O_ACCMODE;
  const bool truncates = (flags & O_TRUNC) != 0;
  const bool changes = access != O_RDONLY || truncates;
  if (access == O_ACCMODE) return EINVAL;
  if (changes && !options_.writable) return EROFS;
  Node* node;
  RETURN_IF_HOST_ERROR(FindRegularFile(id, node));
  if (changes && owners_.protects_others()) {
    struct statx status;
    RETURN_IF_HOST_ERROR(opener_.Status(*node, status));
    if (!owners_.MayChange(status)) return EACCES;
  }
  base::UniqueFd fd;
  RETURN_IF_HOST_ERROR(opener_.Open(*node, flags & (O_ACCMODE | O_APPEND), fd));
  if (truncates)
    RETURN_IF_HOST_ERROR(ChangeSize(fd.get(), node->type, 0, /*clear_privileges=*/false));
  file = std::make_unique<HostFile>(nodes_, *node, std::move(fd));
  return 0;
}

HostError HostTree::OpenDirectory(NodeId id, std::unique_ptr<HostFile>& directory) {
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  base::UniqueFd fd;
  RETURN_IF_HOST_ERROR(opener_.OpenDirectory(*node, fd));
  directory = std::make_unique<HostFile>(nodes_, *node, std::move(fd));
  return 0;
}

HostError HostTree::GetFileSystem(NodeId id, struct statfs& file_system) {
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  int fd;
  base::UniqueFd opened;
  RETURN_IF_HOST_ERROR(opener_.NodeFd(*node, fd, opened));
  if (fstatfs(fd, &file_system) != 0) return HostError::Last();
  if (has_closure()) {
    // As with the attributes of the root, the guest must not learn how much else there is, nor what
    // others write. The file system is full, as a read-only image is.
    file_system.f_bfree = file_system.f_bavail = 0;
    file_system.f_files = file_system.f_ffree = 0;
  }
  return 0;
}

HostError HostTree::OpenFileSystem(base::UniqueFd& fd) {
  return opener_.OpenDirectory(nodes_.root(), fd);
}

}  // namespace virtio
