// The functions of HostTree that make, remove and rename files.

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "virtio/host_tree/file_name.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {
namespace {

// How often Create tries again when the host makes and removes the same name meanwhile.
constexpr int kMaxTries = 4;

}  // namespace

HostError HostTree::BeginChange(NodeId directory, absl::string_view name, Node*& parent, int& fd) {
  if (!options_.writable) return EROFS;
  RETURN_IF_HOST_ERROR(CheckFileName(name));
  parent = nodes_.Find(directory);
  if (parent == nullptr) return ESTALE;
  return opener_.DirectoryFd(*parent, fd);
}

// --- Making --------------------------------------------------------------------------------------

HostError HostTree::Create(NodeId directory, absl::string_view name, const Caller& caller,
                           uint32_t mode, int flags, FoundNode& found,
                           std::unique_ptr<HostFile>& file) {
  Node* parent;
  int parent_fd;
  RETURN_IF_HOST_ERROR(BeginChange(directory, name, parent, parent_fd));
  if (!nodes_.FitsNew(name)) return ENFILE;
  const NameBuffer buffer(name);
  for (int tries = 0; tries < kMaxTries; ++tries) {
    SeenFile made;
    base::UniqueFd fd;
    HostError error = maker_.MakeRegular(parent_fd, buffer.bytes, caller, mode,
                                         flags & (O_ACCMODE | O_APPEND), made, fd);
    if (error == 0) {
      error = Enter(*parent, name, made, found);
      if (error != 0) {
        maker_.Remove(parent_fd, buffer.bytes, made.identity);
        return error;
      }
      file = std::make_unique<HostFile>(nodes_, *nodes_.Find(found.id), std::move(fd));
      return 0;
    }
    if (error != EEXIST || (flags & O_EXCL) != 0) return error;
    error = Enter(*parent, parent_fd, name, found);
    if (error == 0) return OpenFound(caller, flags, found, file);
    if (error != ENOENT) return error;
    // The host has removed the file meanwhile.
  }
  return ESTALE;
}

HostError HostTree::OpenFound(const Caller& caller, int flags, FoundNode& found,
                              std::unique_ptr<HostFile>& file) {
  HostError error = OpenFile(found.id, flags, file);
  if (error == 0 && (flags & O_TRUNC) != 0) {
    if (caller.clears_privileges) error = ClearPrivileges(*file);
    if (error == 0) error = GetAttributes(found.id, found.attributes);
  }
  if (error != 0) {
    file = nullptr;
    Forget(found.id, 1);
  }
  return error;
}

HostError HostTree::Make(NodeId directory, absl::string_view name, const Caller& caller,
                         const NewFile& file, FoundNode& found) {
  Node* parent;
  int fd;
  RETURN_IF_HOST_ERROR(BeginChange(directory, name, parent, fd));
  if (!nodes_.FitsNew(name)) return ENFILE;
  SeenFile made;
  RETURN_IF_HOST_ERROR(maker_.Make(fd, NameBuffer(name).bytes, caller, file, made));
  return Enter(*parent, name, made, found);
}

HostError HostTree::MakeDirectory(NodeId directory, absl::string_view name, const Caller& caller,
                                  uint32_t mode, FoundNode& found) {
  return Make(directory, name, caller, {.mode = S_IFDIR | (mode & 07777)}, found);
}

HostError HostTree::MakeNode(NodeId directory, absl::string_view name, const Caller& caller,
                             uint32_t mode, uint32_t device_major, uint32_t device_minor,
                             FoundNode& found) {
  if (S_ISREG(mode)) {
    // Create works on the descriptor of the file that it made, so no file that the host puts in its
    // place can be given away.
    std::unique_ptr<HostFile> file;
    return Create(directory, name, caller, mode, O_RDONLY | O_EXCL, found, file);
  }
  // mknod makes neither directories nor links. Without a type, Make fails with EINVAL.
  if (S_ISDIR(mode) || S_ISLNK(mode)) mode &= 07777;
  return Make(directory, name, caller, {mode, device_major, device_minor}, found);
}

HostError HostTree::MakeSymlink(NodeId directory, absl::string_view name, const Caller& caller,
                                absl::string_view target, FoundNode& found) {
  return Make(directory, name, caller, {.mode = S_IFLNK, .target = target}, found);
}

HostError HostTree::Link(NodeId id, NodeId directory, absl::string_view name, FoundNode& found) {
  Node* parent;
  int parent_fd;
  RETURN_IF_HOST_ERROR(BeginChange(directory, name, parent, parent_fd));
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  if (node->type == S_IFDIR) return EPERM;
  // Opening the file may close the directory.
  const base::UniqueFd to(fcntl(parent_fd, F_DUPFD_CLOEXEC, 0));
  if (!to.valid()) return HostError::Last();
  int fd;
  base::UniqueFd opened;
  RETURN_IF_HOST_ERROR(opener_.NodeFd(*node, fd, opened));
  // Links the file by its descriptor, since another file may have its name by now.
  const NameBuffer name_buffer(name);
  RETURN_IF_HOST_ERROR(watch_.Run([&] { return root_.Link(fd, to.get(), name_buffer.bytes); }));
  return Enter(*parent, to.get(), name, found);
}

// --- Removing and renaming -----------------------------------------------------------------------

HostError HostTree::Remove(NodeId directory, absl::string_view name, int flags) {
  Node* parent;
  int parent_fd;
  RETURN_IF_HOST_ERROR(BeginChange(directory, name, parent, parent_fd));
  Node* victim = KeepVictim(*parent, parent_fd, name);
  const NameBuffer name_buffer(name);
  RETURN_IF_HOST_ERROR(watch_.Run([&] { return unlinkat(parent_fd, name_buffer.bytes, flags); }));
  if (victim != nullptr) victim->orphan = true;
  return 0;
}

Node* HostTree::KeepVictim(Node& parent, int parent_fd, absl::string_view name) {
  SeenFile seen;
  if (root_.Look(parent_fd, NameBuffer(name).bytes, seen) != 0) return nullptr;
  Node* node = nodes_.Find(seen.identity);
  if (node == nullptr || node->parent != &parent || node->name() != name) return nullptr;
  if (node->path_fd >= 0 || node->files != nullptr) return node;
  // Nobody can ask again for a file that the guest has not open and that has no other name.
  const bool is_directory = node->type == S_IFDIR;
  if (!is_directory && (seen.status.stx_nlink == 1 || seen.kind->remote)) return node;
  base::UniqueFd fd = std::move(seen.pin);
  if (fd.valid() || opener_.OpenPathIn(parent_fd, NameBuffer(name).bytes, *node, fd) == 0)
    directories_.Keep(*node, std::move(fd));
  return node;
}

HostError HostTree::Rename(NodeId from, absl::string_view from_name, NodeId to,
                           absl::string_view to_name, uint32_t flags, const Caller& caller) {
  Node* from_parent;
  Node* to_parent;
  int fd;
  RETURN_IF_HOST_ERROR(BeginChange(from, from_name, from_parent, fd));
  const bool leaves_whiteout = (flags & RENAME_WHITEOUT) != 0;
  if (flags != RENAME_EXCHANGE && (flags & ~uint32_t{RENAME_NOREPLACE | RENAME_WHITEOUT}) != 0) {
    return EINVAL;
  }
  FileMaker::Making whiteout;
  if (leaves_whiteout) RETURN_IF_HOST_ERROR(maker_.Begin(caller, whiteout));
  // Longer names take more memory.
  if (!nodes_.FitsNames()) return ENFILE;
  // Opening one directory may close the other.
  const base::UniqueFd from_fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!from_fd.valid()) return HostError::Last();
  RETURN_IF_HOST_ERROR(BeginChange(to, to_name, to_parent, fd));
  const base::UniqueFd to_fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!to_fd.valid()) return HostError::Last();
  Node* victim = flags == RENAME_EXCHANGE ? nullptr : KeepVictim(*to_parent, to_fd.get(), to_name);
  const NameBuffer from_buffer(from_name);
  const NameBuffer to_buffer(to_name);
  RETURN_IF_HOST_ERROR(watch_.Run([&] {
    return renameat2(from_fd.get(), from_buffer.bytes, to_fd.get(), to_buffer.bytes, flags);
  }));
  if (victim != nullptr) victim->orphan = true;
  if (leaves_whiteout) maker_.OwnWhiteout(from_fd.get(), from_buffer.bytes, whiteout);
  // If the guest has forgotten the old directory, only the node that moves away keeps it.
  ++from_parent->lookups;
  NotePlace(*to_parent, to_fd.get(), to_name);
  if (flags == RENAME_EXCHANGE) NotePlace(*from_parent, from_fd.get(), from_name);
  --from_parent->lookups;
  nodes_.RemoveUnused(*from_parent);
  return 0;
}

void HostTree::NotePlace(Node& parent, int parent_fd, absl::string_view name) {
  SeenFile seen;
  if (root_.Look(parent_fd, NameBuffer(name).bytes, seen) != 0) return;
  Node* node = nodes_.Find(seen.identity);
  if (node != nullptr) nodes_.Place(*node, parent, name);
}

NodeId HostTree::FindKnown(NodeId directory, absl::string_view name) {
  Node* parent;
  int parent_fd;
  SeenFile seen;
  if (BeginChange(directory, name, parent, parent_fd) != 0) return NodeId{0};
  if (root_.Look(parent_fd, NameBuffer(name).bytes, seen) != 0) return NodeId{0};
  const Node* node = nodes_.Find(seen.identity);
  return node != nullptr ? node->id : NodeId{0};
}

}  // namespace virtio
