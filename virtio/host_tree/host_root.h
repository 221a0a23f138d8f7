// The root of a share on the host, and the only ways to look at files below the root and to open
// them.
//
// Each step begins at a directory that is held open and leads to one name in that directory. The
// name is no path, and a symbolic link of that name is not followed. So nothing that the host moves
// and nothing that the guest asks for leads out of the root.
#ifndef VIRTIO_HOST_TREE_HOST_ROOT_H_
#define VIRTIO_HOST_TREE_HOST_ROOT_H_

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "virtio/host_tree/directory_cache.h"
#include "virtio/host_tree/file_status.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/host_file_systems.h"
#include "virtio/host_tree/node_table.h"

namespace virtio {

// What was seen of a file at one moment.
struct SeenFile {
  struct statx status;
  FileIdentity identity;
  const FileSystemKind* kind = nullptr;
  // O_PATH. Set if the file was looked at by name and can be identified only as long as it is held
  // open.
  base::UniqueFd pin;
};

// An open root and what is known of it.
struct OpenedRoot {
  base::UniqueFd fd;           // O_PATH
  base::UniqueFd descriptors;  // /proc/self/fd, O_PATH: leads to an open file by its number
  struct statx status;
  const FileSystemKind* kind = nullptr;  // not null
};

// Opens the directory `path` as a root. Needs /proc. `share` is for messages: "fs[0]". `magic`, for
// tests, replaces the statfs f_type of the root. May block. Errors are one line: key, path, errno
// or what to do.
absl::StatusOr<OpenedRoot> OpenRoot(absl::string_view share, const std::string& path,
                                    std::optional<uint64_t> magic);

// Looks at files below a root and opens them. One thread.
class HostRoot {
 public:
  // With `submounts`, mounts below the root are entered if FindFileSystemKind knows their file
  // system; without it, none is (EXDEV). Closes `directories` when descriptors run out; the cache
  // must outlive this object.
  HostRoot(OpenedRoot root, bool submounts, DirectoryCache& directories);

  int fd() const { return root_.fd.get(); }
  FileIdentity identity() const { return IdentityOf(root_.status); }
  const FileSystemKind& kind() const { return *root_.kind; }
  bool submounts() const { return submounts_; }
  // How many opens were made or tried since the start.
  uint64_t opens() const { return opens_; }

  // Looks at `name` in an open directory, or at the open file itself if `name` is empty. Look or
  // Status must come before any other use of a file. `directory_fd` is as for OpenIn. EXDEV if the
  // guest may not see the file. On an error, `seen` describes no file.
  HostError Look(int directory_fd, const char* name, SeenFile& seen);
  // Does the same, but gives nothing that identifies the file later. On an error, `status` is all
  // zeroes.
  HostError Status(int directory_fd, const char* name, struct statx& status) const;

  // Opens `name` in an open directory. Opening a file of the host can have effects, so only three
  // kinds of opens are allowed: O_PATH, O_EXCL for a file that is made here, or the name "." for
  // the directory itself. `directory_fd` is the root's, or that of the directory used last: if
  // descriptors run out, all other directories are closed.
  HostError OpenIn(int directory_fd, const char* name, int flags, base::UniqueFd& fd,
                   uint32_t mode = 0);
  // Opens a regular file again by a descriptor of that file, which may be O_PATH. The open does not
  // wait for the holder of a lease (EAGAIN), so `opened` is O_NONBLOCK.
  HostError Reopen(int fd, int flags, base::UniqueFd& opened);

  // chmod(2) and link(2) for an open file, whose descriptor may be O_PATH. Both return 0, or -1 and
  // set errno.
  int ChangeMode(int fd, uint32_t mode) const;
  int Link(int fd, int directory_fd, const char* name) const;

  // Returns the inode number that the guest sees.
  uint64_t GuestInode(const FileIdentity& file) {
    return numbers_.ToGuest(file.device, file.inode);
  }

 private:
  // Returns the kind of file system of a file. Returns nullptr if the guest may not see the file,
  // or if `fd`, the open file, is -1 although it is needed to find out.
  const FileSystemKind* KindOf(int fd, const struct statx& status);

  const OpenedRoot root_;
  const bool submounts_;
  DirectoryCache& directories_;
  // Looks at names of the root's file system always need a descriptor, so Look opens one at once.
  const bool looks_by_descriptor_;
  // The mount that was entered last, if the host never uses the number of a mount again.
  uint64_t last_mount_ = 0;
  const FileSystemKind* last_kind_ = nullptr;
  InodeNumbers numbers_;
  uint64_t opens_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_HOST_ROOT_H_
