#include "virtio/host_tree/host_root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "base/status.h"
#include "virtio/host_tree/file_status.h"

namespace virtio {
namespace {

// Returns true if statx alone identifies the file.
bool IsEnough(const FileSystemKind& kind, const struct statx& status) {
  return kind.numbers == FileNumbers::kOwn ||
         (kind.numbers == FileNumbers::kReused && (status.stx_mask & STATX_BTIME) != 0);
}

// Hashes the file handle, which differs between two files that have the same inode number one after
// the other. Leaves `hash` as it is if the file system has no handles.
void HashHandle(int fd, int64_t& hash) {
  struct {
    struct file_handle handle;
    char bytes[MAX_HANDLE_SZ];
  } file = {};
  file.handle.handle_bytes = MAX_HANDLE_SZ;
  int mount;
  if (name_to_handle_at(fd, "", &file.handle, &mount, AT_EMPTY_PATH) != 0) return;
  const absl::string_view bytes(reinterpret_cast<const char*>(file.handle.f_handle),
                                file.handle.handle_bytes);
  hash = static_cast<int64_t>(absl::Hash<absl::string_view>()(bytes));
}

}  // namespace

absl::StatusOr<OpenedRoot> OpenRoot(absl::string_view share, const std::string& path,
                                    std::optional<uint64_t> magic) {
  const std::string name = absl::StrCat(share, ".path: ", path);
  OpenedRoot root;
  root.fd.reset(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.fd.valid()) {
    const int error = errno;
    return base::Advise(base::ErrnoStatus(error, absl::StrCat(name, ": cannot open the directory")),
                        error == EACCES || error == EPERM
                            ? "give this user access to it and to those above it"
                        : error == ENOTDIR ? "name a directory, not a file"
                                           : "name a directory that exists");
  }
  if (statx(root.fd.get(), "", AT_EMPTY_PATH, kStatusMask, &root.status) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(name, ": statx"));
  }
  struct statfs file_system;
  if (fstatfs(root.fd.get(), &file_system) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(name, ": statfs"));
  }
  root.kind = FindFileSystemKind(magic.value_or(static_cast<uint64_t>(file_system.f_type)));
  if (root.kind == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        name, ": files of this kind of file system (statfs type 0x", absl::Hex(file_system.f_type),
        ") may be anything, vmm's own memory too, and are not ",
        "shared; name a directory on a disk, tmpfs, overlay, network file system or FUSE"));
  }
  root.descriptors.reset(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.descriptors.valid()) {
    return base::ErrnoStatus(errno, absl::StrCat(name, ": needs /proc/self/fd; mount /proc"));
  }
  return root;
}

HostRoot::HostRoot(OpenedRoot root, bool submounts, DirectoryCache& directories)
    : root_(std::move(root)),
      submounts_(submounts),
      directories_(directories),
      looks_by_descriptor_(!IsEnough(kind(), root_.status)),
      numbers_(identity().device) {}

HostError HostRoot::Status(int directory_fd, const char* name, struct statx& status) const {
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  HostError error = HostError::Of(statx(directory_fd, name, flags, kStatusMask, &status));
  if (error == 0 && !submounts_ && status.stx_mnt_id != root_.status.stx_mnt_id) error = EXDEV;
  if (error != 0) status = {};
  return error;
}

HostError HostRoot::Look(int directory_fd, const char* name, SeenFile& seen) {
  seen.pin.reset();
  if (!looks_by_descriptor_) {
    RETURN_IF_HOST_ERROR(Status(directory_fd, name, seen.status));
    seen.kind = KindOf(-1, seen.status);
    seen.identity = IdentityOf(seen.status);
    if (seen.kind != nullptr && IsEnough(*seen.kind, seen.status)) return 0;
  }
  // More than one call is needed. The descriptor makes sure that all calls are about one file.
  int fd = directory_fd;
  base::UniqueFd opened;
  if (*name != '\0') {
    seen.status = {};
    RETURN_IF_HOST_ERROR(OpenIn(directory_fd, name, O_PATH, opened));
    fd = opened.get();
  }
  RETURN_IF_HOST_ERROR(Status(fd, "", seen.status));
  seen.kind = KindOf(fd, seen.status);
  if (seen.kind == nullptr) {
    seen.status = {};
    return EXDEV;
  }
  seen.identity = IdentityOf(seen.status);
  if (IsEnough(*seen.kind, seen.status)) return 0;
  if (seen.kind->numbers == FileNumbers::kPinned) {
    seen.pin = std::move(opened);
  } else {
    HashHandle(fd, seen.identity.birth_ns);
  }
  return 0;
}

const FileSystemKind* HostRoot::KindOf(int fd, const struct statx& status) {
  // The root is open, so the host gives the number of its mount to no other mount.
  if (status.stx_mnt_id == root_.status.stx_mnt_id) return root_.kind;
  if (last_kind_ != nullptr && status.stx_mnt_id == last_mount_) return last_kind_;
  struct statfs file_system;
  if (fd < 0 || fstatfs(fd, &file_system) != 0) return nullptr;
  const FileSystemKind* kind = FindFileSystemKind(static_cast<uint64_t>(file_system.f_type));
  if (kind != nullptr && (status.stx_mask & kStatxUniqueMount) != 0) {
    last_mount_ = status.stx_mnt_id;
    last_kind_ = kind;
  }
  return kind;
}

HostError HostRoot::OpenIn(int directory_fd, const char* name, int flags, base::UniqueFd& fd,
                           uint32_t mode) {
  // Opening a file that the host has put there can have effects: a tape rewinds, and a process that
  // waits to write to a pipe continues.
  CHECK((flags & (O_PATH | O_EXCL)) != 0 || absl::string_view(name) == ".");
  struct open_how how = {};
  how.mode = mode;
  how.flags = static_cast<uint64_t>(flags) | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  if (!submounts_) how.resolve |= RESOLVE_NO_XDEV;
  for (int tries = 0; tries < 8; ++tries) {
    ++opens_;
    fd.reset(static_cast<int>(syscall(SYS_openat2, directory_fd, name, &how, sizeof(how))));
    if (fd.valid()) return 0;
    if (errno == EINTR || errno == EAGAIN || directories_.GivesUp(HostError::Last())) continue;
    break;
  }
  return HostError::Last();
}

HostError HostRoot::Reopen(int fd, int flags, base::UniqueFd& opened) {
  const std::string name = std::to_string(fd);
  do {
    opened.reset(openat(root_.descriptors.get(), name.c_str(), flags | O_NONBLOCK | O_CLOEXEC));
  } while (!opened.valid() && directories_.GivesUp(HostError::Last()));
  return opened.valid() ? 0 : HostError::Last();
}

int HostRoot::ChangeMode(int fd, uint32_t mode) const {
  return fchmodat(root_.descriptors.get(), std::to_string(fd).c_str(), mode & 07777, 0);
}

int HostRoot::Link(int fd, int directory_fd, const char* name) const {
  return linkat(root_.descriptors.get(), std::to_string(fd).c_str(), directory_fd, name,
                AT_SYMLINK_FOLLOW);
}

}  // namespace virtio
