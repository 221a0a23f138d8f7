// Parses FUSE requests.
#ifndef VIRTIO_FS_FS_COMMAND_H_
#define VIRTIO_FS_FS_COMMAND_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "virtio/fs/fs_wire.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/queue/chain.h"

namespace virtio {

// How many nodes one BATCH_FORGET can forget. Linux never sends as many.
inline constexpr uint32_t kMaxForgets = 8192;
inline constexpr size_t kMaxFsNameBytes = 255;                // NAME_MAX
inline constexpr size_t kMaxFsTargetBytes = 4095;             // PATH_MAX without the NUL
inline constexpr size_t kMaxFsXattrBytes = size_t{64} << 10;  // XATTR_SIZE_MAX

// A parsed request. Everything that can be checked without a file is checked. The object is used
// again for the next request, so that the memory of `text` is allocated once.
struct FsCommand {
  // The first name of the request, and the text that follows the name: the new name of RENAME, the
  // target of SYMLINK, the value of SETXATTR.
  absl::string_view name() const { return absl::string_view(text).substr(0, name_size); }
  absl::string_view second() const {
    return absl::string_view(text).substr(second_at, second_size);
  }

  uint32_t opcode = 0;  // any number
  HostError error;      // not 0: the request is malformed, and is refused with this errno
  bool replies = true;  // FORGET, BATCH_FORGET and INTERRUPT have no answer
  uint64_t unique = 0;
  uint64_t node = 0;
  uint32_t uid = 0;  // of the process that asks
  uint32_t gid = 0;

  // Only the members that `opcode` has are filled in.
  FuseInitStart init = {};
  uint32_t init_flags2 = 0;  // INIT, of guests that know FUSE_INIT_EXT; else 0
  fuse_read_in read = {};    // READ, READDIR, READDIRPLUS
  fuse_write_in write = {};  // WRITE; the data, `size` bytes, are still in the chain
  fuse_open_in open = {};    // OPEN, OPENDIR
  fuse_create_in create = {};
  fuse_mknod_in mknod = {};
  fuse_mkdir_in mkdir = {};
  fuse_rename2_in rename = {};  // RENAME, RENAME2
  fuse_link_in link = {};
  fuse_setattr_in setattr = {};
  fuse_release_in release = {};
  fuse_fsync_in fsync = {};  // FSYNC, FSYNCDIR
  fuse_fallocate_in fallocate = {};
  fuse_lseek_in lseek = {};
  fuse_copy_file_range_in copy = {};
  fuse_getxattr_in getxattr = {};  // GETXATTR, LISTXATTR
  uint32_t xattr_flags = 0;        // SETXATTR
  fuse_setupmapping_in setup_mapping = {};
  uint32_t remove_count = 0;  // REMOVEMAPPING: ranges that follow in the chain
  uint64_t forget_count = 0;  // FORGET: lookups; BATCH_FORGET: pairs that follow in the chain

  std::string text;
  size_t name_size = 0;
  size_t second_at = 0;
  size_t second_size = 0;
};

// Takes the header and the arguments off `chain` and fills in all members of `command` that its
// opcode has. Accepts any bytes: if they are malformed, `command.error` says so.
void ParseFsRequest(Chain& chain, FsCommand& command);

}  // namespace virtio

#endif  // VIRTIO_FS_FS_COMMAND_H_
