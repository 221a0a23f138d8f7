// Parses 9P2000.L messages.
#ifndef VIRTIO_P9_P9_COMMAND_H_
#define VIRTIO_P9_P9_COMMAND_H_

#include <array>
#include <cstdint>
#include <tuple>

#include "absl/strings/string_view.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/p9/p9_wire.h"
#include "virtio/queue/chain.h"

namespace virtio {

inline constexpr size_t kP9MaxNameBytes = 255;     // NAME_MAX
inline constexpr size_t kP9MaxTargetBytes = 4095;  // of a symbolic link: PATH_MAX less a NUL

// A parsed request. Everything that can be checked without a file is checked. Only the members that
// `type` has are filled in.
struct P9Command {
  absl::string_view name(size_t i) const {
    return {name_bytes.data() + name_ends[i], static_cast<size_t>(name_ends[i + 1] - name_ends[i])};
  }

  uint8_t type = 0;  // any number
  uint16_t tag = 0;
  bool has_header = false;  // a message without a header gets no answer
  HostError error;          // not 0: the request is malformed, and is refused with this errno

  uint32_t fid = 0;           // the first fid of the message
  uint32_t new_fid = 0;       // WALK, XATTRWALK; RENAME, RENAMEAT: new directory; LINK: the file
  uint32_t flags = 0;         // OPEN, CREATE: O_*; UNLINKAT: AT_*; XATTRCREATE: XATTR_*;
                              // FSYNC: not 0 to flush the data only
  uint32_t mode = 0;          // CREATE, MKDIR, MKNOD
  uint32_t uid = 0;           // ATTACH
  uint32_t gid = 0;           // CREATE, MKDIR, MKNOD, SYMLINK
  uint32_t device_major = 0;  // MKNOD
  uint32_t device_minor = 0;  // MKNOD
  uint64_t offset = 0;        // READ, READDIR, WRITE
  uint32_t count = 0;         // bytes; WRITE: the data, `count` bytes, are still in the chain
  uint64_t size_bytes = 0;    // XATTRCREATE
  P9SetAttrRequest attributes = {};  // SETATTR
  P9Lock lock = {};                  // LOCK, GETLOCK
  uint32_t max_message_bytes = 0;    // VERSION
  bool known_dialect = false;        // VERSION
  uint16_t old_tag = 0;              // FLUSH
  // The names of the message, which may have any bytes. WALK has any number of names. ATTACH has
  // the name of the tree. CREATE, MKDIR, MKNOD, LINK, RENAME and UNLINKAT have the name of the
  // file, RENAMEAT the old and the new name, SYMLINK the name of the link and its target. XATTRWALK
  // and XATTRCREATE have the name of the attribute, LOCK and GETLOCK the name of the guest.
  uint16_t name_count = 0;
  std::array<uint16_t, kP9MaxWalkNames + 1> name_ends = {};
  std::array<char, kP9MaxNameBytes + kP9MaxTargetBytes> name_bytes;
  static_assert(std::tuple_size_v<decltype(name_bytes)> >= kP9MaxWalkNames * kP9MaxNameBytes);
};

// Takes the header and the arguments off `chain`, but not the data of a WRITE, and fills in all
// members of `command` that its type has. Accepts any bytes: if they are malformed, `command.error`
// says so.
void ParseP9Request(Chain& chain, P9Command& command);

}  // namespace virtio

#endif  // VIRTIO_P9_P9_COMMAND_H_
