// What a virtio-fs device and its driver exchange: FUSE, as the kernel's header has it.
// [VIRTIO 1.2 §5.11] [Linux: include/uapi/linux/fuse.h]
#ifndef VIRTIO_FS_FS_WIRE_H_
#define VIRTIO_FS_FS_WIRE_H_

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>

#include "base/endian.h"

namespace virtio {

// FUSE has the byte order of the machine, the guest's and ours: little-endian.

// 7.31 is what the first kernel with virtio-fs spoke (5.4); nothing older has to be understood.
inline constexpr uint32_t kFuseMinor = 31;
inline constexpr uint32_t kFsMaxTransferBytes = 1 << 20;  // of a read
inline constexpr uint32_t kFsPageBytes = 4096;            // the unit of max_pages

// What INIT begins with. Later versions append flags2 and more, which nothing here needs.
struct FuseInitStart {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t max_readahead = 0;
  uint32_t flags = 0;
};
static_assert(offsetof(fuse_init_in, flags) + 4 == sizeof(FuseInitStart));

static_assert(base::WireType<fuse_in_header> && sizeof(fuse_in_header) == 40);
static_assert(base::WireType<fuse_out_header> && sizeof(fuse_out_header) == 16);
static_assert(base::WireType<FuseInitStart> && base::WireType<fuse_init_out>);
static_assert(sizeof(fuse_init_out) == 64);
static_assert(base::WireType<fuse_entry_out> && sizeof(fuse_entry_out) == 128);
static_assert(base::WireType<fuse_attr_out> && sizeof(fuse_attr_out) == 104);
static_assert(base::WireType<fuse_open_in> && base::WireType<fuse_open_out>);
static_assert(base::WireType<fuse_read_in> && sizeof(fuse_read_in) == 40);
static_assert(base::WireType<fuse_forget_in> && base::WireType<fuse_forget_one>);
static_assert(base::WireType<fuse_batch_forget_in> && base::WireType<fuse_statfs_out>);

inline constexpr size_t kFsTagBytes = 36;  // [VIRTIO 1.2 §5.11.4]

// The configuration space.
struct FsConfig {
  char tag[kFsTagBytes] = {};  // padded with NUL, none if full
  base::Le32 num_request_queues;
};
static_assert(sizeof(FsConfig) == 40 && base::WireType<FsConfig>);

}  // namespace virtio

#endif  // VIRTIO_FS_FS_WIRE_H_
