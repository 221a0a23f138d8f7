// Making files on the host for a guest.
#ifndef VIRTIO_HOST_TREE_FILE_MAKER_H_
#define VIRTIO_HOST_TREE_FILE_MAKER_H_

#include <sys/stat.h>
#include <time.h>

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "virtio/host_tree/call_watch.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/host_root.h"
#include "virtio/host_tree/ownership.h"

namespace virtio {

// The user of the guest that makes a file.
struct Caller {
  uint32_t uid = 0;  // the guest's
  uint32_t gid = 0;
  uint32_t umask = 0;  // taken off the mode, unless the host's directory has a default ACL
  // Takes set-user-id and set-group-id off a file that HostTree::Create truncates, as
  // HostTree::ClearPrivileges.
  bool clears_privileges = false;
};

// A file that is to be made.
struct NewFile {
  // The type and the permissions. A directory, symbolic link, pipe, socket, or the character device
  // 0:0, by which an overlay marks a removed file. Other devices are EPERM, other types EINVAL.
  uint32_t mode = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  absl::string_view target = {};  // of a link: any bytes but NUL, less than PATH_MAX of them
};

// Makes a file as the user of vmm and gives the file to its owner. A file that cannot be given away
// is removed. `directory_fd` is as in HostRoot::OpenIn, and CheckFileName accepts `name`. A new
// file belongs to the caller, and to the group of the directory if the directory is set-group-id.
// EPERM if the host has no owner for the caller. ESTALE if the host has put another file in the
// place of the new one; the other file is left alone. One thread.
class FileMaker {
 public:
  // The owner of what is made, and the time before which nothing of it existed.
  struct Making {
    HostOwner owner;
    time_t since = 0;
  };

  // All three must outlive this object.
  FileMaker(HostRoot& root, const Ownership& owners, CallWatch& watch)
      : root_(root), owners_(owners), watch_(watch) {}

  // Makes a regular file and opens it. `flags` are the access mode and O_APPEND. EEXIST if there is
  // a file of this name.
  HostError MakeRegular(int directory_fd, const char* name, const Caller& caller, uint32_t mode,
                        int flags, SeenFile& made, base::UniqueFd& fd);
  // Makes a file that is not regular.
  HostError Make(int directory_fd, const char* name, const Caller& caller, const NewFile& file,
                 SeenFile& made);
  // Removes the new file `made`, if it still has this name.
  void Remove(int directory_fd, const char* name, const FileIdentity& made);

  // Finds the owner of what a call of the host will make, and notes the time. Must come before that
  // call.
  HostError Begin(const Caller& caller, Making& making) const;
  // Gives the whiteout that a rename has left, a character device 0:0, to its owner. A whiteout
  // that cannot be given away stays as it is, because the file has already moved.
  void OwnWhiteout(int directory_fd, const char* name, const Making& making);

 private:
  // Gives a new file to its owner, or removes the file. `mode` has its type and the set-id bits
  // that it is to get.
  HostError Finish(int directory_fd, const char* name, const Making& making, uint32_t mode,
                   SeenFile& made);
  // Opens a new file, of the type in `mode`, with O_PATH. ESTALE if the host may have put another
  // file there meanwhile, which must not be given away.
  HostError OpenMade(int directory_fd, const char* name, const Making& making, uint32_t mode,
                     SeenFile& made, base::UniqueFd& fd);
  // Makes `owner` the owner of an open file, and then sets the set-id bits of `mode`. Before that,
  // they would be privileges of vmm's user. `status` is the status of the file, before the call and
  // after it.
  HostError GiveOwner(int directory_fd, int fd, const HostOwner& owner, uint32_t mode,
                      struct statx& status);

  HostRoot& root_;
  const Ownership& owners_;
  CallWatch& watch_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_FILE_MAKER_H_
