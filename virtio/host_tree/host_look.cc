// Looking at the files of a HostTree: what they are, and whether the guest may see them.

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <cstdint>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "virtio/host_tree/file_status.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {
namespace {

// Whether what statx says is enough to know a file again.
bool IsEnough(const FileSystemKind& kind, const struct statx& status) {
  return kind.numbers == FileNumbers::kOwn ||
         (kind.numbers == FileNumbers::kReused && (status.stx_mask & STATX_BTIME) != 0);
}

// A file handle tells two files apart that had one inode number, one after the other. Returns false
// if the file system has none.
bool HashHandle(int fd, int64_t& hash) {
  struct {
    struct file_handle handle;
    char bytes[MAX_HANDLE_SZ];
  } file = {};
  file.handle.handle_bytes = MAX_HANDLE_SZ;
  int mount;
  if (name_to_handle_at(fd, "", &file.handle, &mount, AT_EMPTY_PATH) != 0) return false;
  const absl::string_view bytes(reinterpret_cast<const char*>(file.handle.f_handle),
                                file.handle.handle_bytes);
  hash = static_cast<int64_t>(absl::Hash<absl::string_view>()(bytes));
  return true;
}

}  // namespace

HostError HostTree::Status(int directory_fd, const char* name, struct statx& status) const {
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  HostError error = HostError::Of(statx(directory_fd, name, flags, kStatusMask, &status));
  if (error == 0 && !options_.submounts && status.stx_mnt_id != root_mount_) error = EXDEV;
  if (error != 0) status = {};
  return error;
}

bool HostTree::LooksByDescriptor(const FileSystemKind& root_kind, const struct statx& root) {
  return !IsEnough(root_kind, root);
}

HostError HostTree::Look(int directory_fd, const char* name, SeenFile& seen) {
  seen.pin.reset();
  if (!looks_by_descriptor_) {
    if (const HostError error = Status(directory_fd, name, seen.status); error != 0) return error;
    seen.kind = KindOf(-1, seen.status);
    seen.identity = IdentityOf(seen.status);
    if (seen.kind != nullptr && IsEnough(*seen.kind, seen.status)) return 0;
  }
  // More than one call: all of them have to be of one file.
  int fd = directory_fd;
  base::UniqueFd opened;
  if (*name != '\0') {
    if (const HostError error = OpenIn(directory_fd, name, O_PATH, opened); error != 0) {
      seen.status = {};
      return error;
    }
    fd = opened.get();
  }
  if (const HostError error = Status(fd, "", seen.status); error != 0) return error;
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

const FileSystemKind* HostTree::KindOf(int fd, const struct statx& status) {
  if (status.stx_mnt_id == root_mount_) return &root_kind_;  // open, so its number is no other's
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

}  // namespace virtio
