// What statx says about a file: its identity and its type.
#ifndef VIRTIO_HOST_TREE_FILE_STATUS_H_
#define VIRTIO_HOST_TREE_FILE_STATUS_H_

#include <sys/stat.h>

#include <cstdint>

#include "virtio/host_tree/node_table.h"

namespace virtio {

// Makes statx give the number of a mount that no later mount gets. Since Linux 6.8; linux/stat.h of
// Debian 12 has no name for the bit.
inline constexpr unsigned kStatxUniqueMount = 0x4000;

inline constexpr unsigned kStatusMask =
    STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID | kStatxUniqueMount;

inline uint16_t TypeOf(const struct statx& status) {
  return static_cast<uint16_t>(status.stx_mode & S_IFMT);
}

inline FileIdentity IdentityOf(const struct statx& status) {
  FileIdentity identity;
  identity.device = status.stx_dev_major << 20 | status.stx_dev_minor;
  identity.mount = static_cast<uint32_t>(status.stx_mnt_id);
  identity.inode = status.stx_ino;
  if ((status.stx_mask & STATX_BTIME) != 0) {
    identity.birth_ns = static_cast<int64_t>(
        static_cast<uint64_t>(status.stx_btime.tv_sec) * 1'000'000'000 + status.stx_btime.tv_nsec);
  } else {
    identity.birth_ns = TypeOf(status);
  }
  return identity;
}

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_FILE_STATUS_H_
