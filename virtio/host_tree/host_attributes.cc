// Opening files of a HostTree for the guest, and changing what they are.

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "virtio/host_tree/file_status.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {
namespace {

constexpr size_t kMaxXattrBytes = 64 << 10;  // XATTR_SIZE_MAX, XATTR_LIST_MAX
constexpr size_t kMaxXattrName = 255;        // XATTR_NAME_MAX
constexpr absl::string_view kUserXattr = "user.";

}  // namespace

// --- Opening -------------------------------------------------------------------------------------

HostError HostTree::OpenFile(NodeId id, int flags, std::unique_ptr<HostFile>& file) {
  const int access = flags & O_ACCMODE;
  if (access == O_ACCMODE) return EINVAL;
  if ((access != O_RDONLY || (flags & O_TRUNC) != 0) && !options_.writable) return EROFS;
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  if (node->type == S_IFDIR) return EISDIR;
  // What is behind a device or a pipe is the host's.
  if (node->type != S_IFREG) return EACCES;
  const int kept = flags & (O_ACCMODE | O_APPEND);
  base::UniqueFd fd;
  if (keeps_owners_ && (access != O_RDONLY || (flags & O_TRUNC) != 0)) {
    struct statx status;
    HostError error = StatusOf(*node, status);
    if (error == 0) error = CheckOwner(status, EACCES);
    if (error != 0) return error;
  }
  HostError error = OpenNode(*node, kept, fd);
  if (error != 0) return error;
  // A ring would fail reads that have to wait for the disk.
  if (fcntl(fd.get(), F_SETFL, flags & O_APPEND) != 0) return HostError::Last();
  if ((flags & O_TRUNC) != 0) {
    error = ChangeSize(*node, fd.get(), 0, /*clear_privileges=*/false);
    if (error != 0) return error;
  }
  file = std::make_unique<HostFile>(nodes_, *node, std::move(fd));
  return 0;
}

HostError HostTree::OpenDirectory(NodeId id, std::unique_ptr<HostFile>& directory) {
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  int path_fd;
  if (const HostError error = DirectoryFd(*node, path_fd); error != 0) return error;
  base::UniqueFd fd;
  if (const HostError error = OpenIn(path_fd, ".", O_RDONLY | O_DIRECTORY, fd); error != 0)
    return error;
  directory = std::make_unique<HostFile>(nodes_, *node, std::move(fd));
  return 0;
}

HostError HostTree::NodeFd(Node& node, int& fd, base::UniqueFd& opened) {
  if (node.type == S_IFDIR) return DirectoryFd(node, fd);
  fd = node.path_fd;
  if (fd >= 0) {
    directories_.Touch(node);
    return 0;
  }
  if (node.files != nullptr) {
    fd = node.files->fd();
    return 0;
  }
  const HostError error = OpenPath(node, opened);
  fd = opened.get();
  return error;
}

HostError HostTree::Reopen(int fd, int flags, base::UniqueFd& opened) {
  const std::string name = std::to_string(fd);
  do {
    // Without waiting for who holds a lease.
    opened.reset(openat(descriptors_.get(), name.c_str(), flags | O_NONBLOCK | O_CLOEXEC));
  } while (!opened.valid() && directories_.GivesUp(HostError::Last()));
  return opened.valid() ? 0 : HostError::Last();
}

// --- Attributes ----------------------------------------------------------------------------------

HostError HostTree::CheckOwner(const struct statx& status, HostError error) const {
  return options_.uids.Has(status.stx_uid) && options_.gids.Has(status.stx_gid) ? 0 : error;
}

HostError HostTree::CheckOwner(int fd, HostError error) const {
  if (!keeps_owners_) return 0;
  struct statx status;
  const HostError failed = Status(fd, "", status);
  return failed != 0 ? failed : CheckOwner(status, error);
}

HostError HostTree::ChangeMode(int fd, uint32_t mode) {
  // Not fchmod: that takes no O_PATH descriptor, and not every file can be opened.
  return watch_.Run(
      [&] { return fchmodat(descriptors_.get(), std::to_string(fd).c_str(), mode & 07777, 0); });
}

HostError HostTree::ChangeSize(const Node& node, int fd, uint64_t size_bytes,
                               bool clear_privileges) {
  if (node.type == S_IFDIR) return EISDIR;
  if (node.type != S_IFREG) return EINVAL;
  if (size_bytes > INT64_MAX) return EFBIG;
  base::UniqueFd opened;
  const int flags = fcntl(fd, F_GETFL);
  if ((flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_RDONLY) {
    if (const HostError error = Reopen(fd, O_WRONLY, opened); error != 0) return error;
    fd = opened.get();
  }
  if (ftruncate(fd, static_cast<off_t>(size_bytes)) != 0) return HostError::Last();
  return clear_privileges ? ClearSetIds(fd) : 0;
}

HostError HostTree::SetAttributes(NodeId id, const AttributeChanges& changes, const HostFile* file,
                                  FileAttributes& attributes) {
  if (!options_.writable) return EROFS;
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  int fd = -1;
  base::UniqueFd opened;
  if (file != nullptr) {
    fd = file->fd();
  } else if (const HostError error = NodeFd(*node, fd, opened); error != 0) {
    return error;
  }
  const bool sets_times =
      changes.accessed.tv_nsec != UTIME_OMIT || changes.modified.tv_nsec != UTIME_OMIT;
  if (sets_times || changes.mode.has_value() || changes.uid.has_value() ||
      changes.gid.has_value() || changes.size_bytes.has_value()) {
    if (const HostError error = CheckOwner(fd, EPERM); error != 0) return error;
  }
  // Cutting a file, and another owner, make the host take set-id bits off: the mode comes last.
  if (changes.size_bytes.has_value()) {
    const HostError error = ChangeSize(*node, fd, *changes.size_bytes, changes.clear_privileges);
    if (error != 0) return error;
  }
  if (changes.uid.has_value() || changes.gid.has_value()) {
    // -1 changes nothing.
    const auto uid = changes.uid.has_value() ? options_.uids.ToHost(*changes.uid) : UINT32_MAX;
    const auto gid = changes.gid.has_value() ? options_.gids.ToHost(*changes.gid) : UINT32_MAX;
    if (!uid.has_value() || !gid.has_value()) return EPERM;
    const HostError error = watch_.Run([&] { return fchownat(fd, "", *uid, *gid, AT_EMPTY_PATH); });
    if (error != 0) return error;
  }
  if (changes.mode.has_value()) {
    if (const HostError error = ChangeMode(fd, *changes.mode); error != 0) return error;
  }
  if (sets_times) {
    const timespec times[2] = {changes.accessed, changes.modified};
    const HostError error = watch_.Run([&] { return utimensat(fd, "", times, AT_EMPTY_PATH); });
    if (error != 0) return error;
  }
  struct statx status;
  if (const HostError error = Status(fd, "", status); error != 0) return error;
  attributes = ToAttributes(*node, status);
  return 0;
}

HostError HostTree::ClearPrivileges(const HostFile& file) {
  if (!options_.writable) return EROFS;
  const HostError error = CheckOwner(file.fd(), EPERM);
  if (error != 0) return error == EPERM ? 0 : error;
  return ClearSetIds(file.fd());
}

// --- Extended attributes -------------------------------------------------------------------------

HostError HostTree::XattrFd(NodeId id, absl::string_view name, int& fd, base::UniqueFd& opened) {
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  if (!absl::StartsWith(name, kUserXattr) || name.find('\0') != absl::string_view::npos) {
    return EOPNOTSUPP;
  }
  if (name.size() > kMaxXattrName) return ERANGE;
  if (node->files != nullptr) {
    fd = node->files->fd();
    return 0;
  }
  HostError error;
  if (node->type == S_IFDIR) {
    error = DirectoryFd(*node, fd);
    if (error == 0) error = OpenIn(fd, ".", O_RDONLY | O_DIRECTORY, opened);
  } else if (node->type != S_IFREG) {
    return EPERM;  // as the host has it: users have none of these
  } else {
    error = OpenNode(*node, O_RDONLY, opened);
    if (error == EACCES && options_.writable) error = OpenNode(*node, O_WRONLY, opened);
  }
  fd = opened.get();
  return error;
}

HostError HostTree::GetXattr(NodeId id, absl::string_view name, std::string& value) {
  int fd;
  base::UniqueFd opened;
  const HostError error = XattrFd(id, name, fd, opened);
  if (error != 0) return error == EPERM ? ENODATA : error;
  value.resize(kMaxXattrBytes);
  const ssize_t size = fgetxattr(fd, std::string(name).c_str(), value.data(), value.size());
  if (size < 0) return HostError::Last();
  value.resize(static_cast<size_t>(size));
  value.shrink_to_fit();
  return 0;
}

HostError HostTree::ListXattrs(NodeId id, std::string& names) {
  names.clear();
  int fd;
  base::UniqueFd opened;
  const HostError error = XattrFd(id, "user.any", fd, opened);
  if (error != 0) return error == EPERM ? 0 : error;
  std::string all(kMaxXattrBytes, '\0');
  const ssize_t size = flistxattr(fd, all.data(), all.size());
  if (size < 0) return errno == EOPNOTSUPP ? 0 : HostError::Last();
  absl::string_view rest = absl::string_view(all).substr(0, static_cast<size_t>(size));
  while (!rest.empty()) {
    const size_t end = rest.find('\0');
    if (end == absl::string_view::npos) break;
    const absl::string_view name = rest.substr(0, end + 1);  // with its NUL
    if (absl::StartsWith(name, kUserXattr)) names.append(name.data(), name.size());
    rest.remove_prefix(end + 1);
  }
  return 0;
}

HostError HostTree::SetXattr(NodeId id, absl::string_view name, absl::string_view value,
                             int flags) {
  if (!options_.writable) return EROFS;
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) return EINVAL;
  if (value.size() > kMaxXattrBytes) return E2BIG;
  int fd;
  base::UniqueFd opened;
  if (const HostError error = XattrFd(id, name, fd, opened); error != 0) return error;
  if (const HostError error = CheckOwner(fd, EPERM); error != 0) return error;
  return watch_.Run(
      [&] { return fsetxattr(fd, std::string(name).c_str(), value.data(), value.size(), flags); });
}

HostError HostTree::RemoveXattr(NodeId id, absl::string_view name) {
  if (!options_.writable) return EROFS;
  int fd;
  base::UniqueFd opened;
  if (const HostError error = XattrFd(id, name, fd, opened); error != 0) return error;
  if (const HostError error = CheckOwner(fd, EPERM); error != 0) return error;
  return watch_.Run([&] { return fremovexattr(fd, std::string(name).c_str()); });
}

}  // namespace virtio
