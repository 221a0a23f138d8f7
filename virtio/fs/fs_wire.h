// What a virtio-fs device and its driver exchange: FUSE, as the kernel's header defines it.
// [VIRTIO 1.2 §5.11] [Linux: include/uapi/linux/fuse.h]
#ifndef VIRTIO_FS_FS_WIRE_H_
#define VIRTIO_FS_FS_WIRE_H_

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>

#include "base/endian.h"

namespace virtio {

// FUSE has the byte order of the machine. Guest and host are little-endian.

// The first kernel with virtio-fs (5.4) speaks 7.31, so no guest speaks an older version.
inline constexpr uint32_t kFuseMinor = 31;
inline constexpr uint32_t kFuseMinorWithFlags2 = 36;  // for guests that know FUSE_INIT_EXT
inline constexpr uint32_t kMaxRemoveMappings = 256;   // Linux: FUSE_REMOVEMAPPING_MAX_ENTRY
// Smaller files are not mapped: they would use less than half of a range of the DAX window.
inline constexpr uint64_t kMinDaxFileBytes = 1 << 20;
inline constexpr uint32_t kFsMaxTransferBytes = 1 << 20;  // of a read or write
inline constexpr uint32_t kFsPageBytes = 4096;            // the unit of max_pages

// The beginning of INIT. `flags2` follows if FUSE_INIT_EXT is among the flags. Later versions
// append members that nothing here needs.
struct FuseInitStart {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t max_readahead = 0;
  uint32_t flags = 0;
};
static_assert(offsetof(fuse_init_in, flags) + 4 == sizeof(FuseInitStart));
static_assert(offsetof(fuse_init_in, flags2) == sizeof(FuseInitStart));
// Flags of flags2.
inline constexpr uint32_t kHasInodeDax2 = FUSE_HAS_INODE_DAX >> 32;
// [Linux 6.6: FUSE_DIRECT_IO_ALLOW_MMAP, 1 << 36; older headers do not have it.]
inline constexpr uint32_t kDirectIoAllowMmap2 = 1 << (36 - 32);

static_assert(base::WireType<fuse_in_header> && sizeof(fuse_in_header) == 40);
static_assert(base::WireType<fuse_out_header> && sizeof(fuse_out_header) == 16);
static_assert(base::WireType<FuseInitStart> && base::WireType<fuse_init_out>);
static_assert(sizeof(fuse_init_out) == 64);
static_assert(base::WireType<fuse_entry_out> && sizeof(fuse_entry_out) == 128);
static_assert(base::WireType<fuse_attr_out> && sizeof(fuse_attr_out) == 104);
static_assert(base::WireType<fuse_open_in> && base::WireType<fuse_open_out>);
static_assert(base::WireType<fuse_read_in> && sizeof(fuse_read_in) == 40);
static_assert(base::WireType<fuse_write_in> && sizeof(fuse_write_in) == 40);
static_assert(base::WireType<fuse_write_out> && base::WireType<fuse_release_in>);
static_assert(base::WireType<fuse_create_in> && base::WireType<fuse_mknod_in>);
static_assert(base::WireType<fuse_mkdir_in> && base::WireType<fuse_link_in>);
static_assert(base::WireType<fuse_rename_in> && base::WireType<fuse_rename2_in>);
static_assert(base::WireType<fuse_setattr_in> && sizeof(fuse_setattr_in) == 88);
static_assert(base::WireType<fuse_fsync_in> && base::WireType<fuse_fallocate_in>);
static_assert(base::WireType<fuse_lseek_in> && base::WireType<fuse_lseek_out>);
static_assert(base::WireType<fuse_copy_file_range_in> && base::WireType<fuse_getxattr_in>);
static_assert(base::WireType<fuse_forget_in> && base::WireType<fuse_forget_one>);
static_assert(base::WireType<fuse_setupmapping_in> && sizeof(fuse_setupmapping_in) == 40);
static_assert(base::WireType<fuse_removemapping_in> && base::WireType<fuse_removemapping_one>);
static_assert(base::WireType<fuse_batch_forget_in> && base::WireType<fuse_statfs_out>);

inline constexpr size_t kFsTagBytes = 36;         // [VIRTIO 1.2 §5.11.4]
inline constexpr uint8_t kDaxSharedMemoryId = 0;  // [VIRTIO 1.2 §5.11.6.4]

// The configuration space.
struct FsConfigSpace {
  char tag[kFsTagBytes] = {};  // padded with NULs; a tag of full length has no NUL
  base::Le32 num_request_queues;
};
static_assert(sizeof(FsConfigSpace) == 40 && base::WireType<FsConfigSpace>);

}  // namespace virtio

#endif  // VIRTIO_FS_FS_WIRE_H_
