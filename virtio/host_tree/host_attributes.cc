// The functions of HostTree that change attributes, and those for extended attributes.

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {
namespace {

constexpr size_t kMaxXattrBytes = 64 << 10;  // XATTR_SIZE_MAX, XATTR_LIST_MAX
constexpr size_t kMaxXattrName = 255;        // XATTR_NAME_MAX
constexpr absl::string_view kUserXattr = "user.";
constexpr absl::string_view kNul("\0", 1);

// Takes set-user-id and set-group-id off a file that is about to be written to. EPERM is no error:
// if vmm may not change the mode, it has no privileges, and the host takes the bits off with the
// write.
HostError ClearSetIds(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return HostError::Last();
  mode_t mode = status.st_mode & ~mode_t{S_ISUID};
  // Without the group's right to execute the file, the bit means something else.
  if ((mode & S_IXGRP) != 0) mode &= ~mode_t{S_ISGID};
  if (mode == status.st_mode || !S_ISREG(mode)) return 0;
  return fchmod(fd, mode & 07777) == 0 || errno == EPERM ? 0 : HostError::Last();
}

}  // namespace

HostError HostTree::SetAttributes(NodeId id, const AttributeChanges& changes, const HostFile* file,
                                  FileAttributes& attributes) {
  if (!options_.writable) return EROFS;
  Node* node = nodes_.Find(id);
  if (node == nullptr) return ESTALE;
  int fd;
  base::UniqueFd opened;
  if (file != nullptr) {
    fd = file->fd();
  } else {
    RETURN_IF_HOST_ERROR(opener_.NodeFd(*node, fd, opened));
  }
  const bool sets_times =
      changes.accessed.tv_nsec != UTIME_OMIT || changes.modified.tv_nsec != UTIME_OMIT;
  const bool sets_owner = changes.uid.has_value() || changes.gid.has_value();
  if (sets_times || sets_owner || changes.mode.has_value() || changes.size_bytes.has_value()) {
    RETURN_IF_HOST_ERROR(owners_.CheckFile(fd));
  }
  // A new size and a new owner make the host take set-id bits off, so the mode comes after both.
  if (changes.size_bytes.has_value()) {
    RETURN_IF_HOST_ERROR(ChangeSize(fd, node->type, *changes.size_bytes, changes.clear_privileges));
  }
  if (sets_owner) {
    HostOwner owner;
    RETURN_IF_HOST_ERROR(owners_.ToHost(changes.uid, changes.gid, owner));
    RETURN_IF_HOST_ERROR(
        watch_.Run([&] { return fchownat(fd, "", owner.uid, owner.gid, AT_EMPTY_PATH); }));
  }
  if (changes.mode.has_value()) {
    RETURN_IF_HOST_ERROR(watch_.Run([&] { return root_.ChangeMode(fd, *changes.mode); }));
  }
  if (sets_times) {
    const timespec times[2] = {changes.accessed, changes.modified};
    RETURN_IF_HOST_ERROR(watch_.Run([&] { return utimensat(fd, "", times, AT_EMPTY_PATH); }));
  }
  struct statx status;
  RETURN_IF_HOST_ERROR(root_.Status(fd, "", status));
  attributes = ToAttributes(*node, status);
  return 0;
}

HostError HostTree::ChangeSize(int fd, uint16_t type, uint64_t size_bytes, bool clear_privileges) {
  if (type == S_IFDIR) return EISDIR;
  if (type != S_IFREG) return EINVAL;
  if (size_bytes > INT64_MAX) return EFBIG;
  base::UniqueFd opened;
  const int flags = fcntl(fd, F_GETFL);
  if ((flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_RDONLY) {
    RETURN_IF_HOST_ERROR(root_.Reopen(fd, O_WRONLY, opened));
    fd = opened.get();
  }
  if (ftruncate(fd, static_cast<off_t>(size_bytes)) != 0) return HostError::Last();
  return clear_privileges ? ClearSetIds(fd) : 0;
}

HostError HostTree::ClearPrivileges(const HostFile& file) {
  if (!options_.writable) return EROFS;
  const HostError error = owners_.CheckFile(file.fd());
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
    error = opener_.OpenDirectory(*node, opened);
  } else if (node->type != S_IFREG) {
    return EPERM;  // as on the host: files of other types have no user attributes
  } else {
    error = opener_.Open(*node, O_RDONLY, opened);
    if (error == EACCES && options_.writable) error = opener_.Open(*node, O_WRONLY, opened);
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
  all.resize(static_cast<size_t>(size));
  for (const absl::string_view name : absl::StrSplit(all, '\0', absl::SkipEmpty())) {
    if (absl::StartsWith(name, kUserXattr)) absl::StrAppend(&names, name, kNul);
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
  RETURN_IF_HOST_ERROR(XattrFd(id, name, fd, opened));
  RETURN_IF_HOST_ERROR(owners_.CheckFile(fd));
  return watch_.Run(
      [&] { return fsetxattr(fd, std::string(name).c_str(), value.data(), value.size(), flags); });
}

HostError HostTree::RemoveXattr(NodeId id, absl::string_view name) {
  if (!options_.writable) return EROFS;
  int fd;
  base::UniqueFd opened;
  RETURN_IF_HOST_ERROR(XattrFd(id, name, fd, opened));
  RETURN_IF_HOST_ERROR(owners_.CheckFile(fd));
  return watch_.Run([&] { return fremovexattr(fd, std::string(name).c_str()); });
}

}  // namespace virtio
