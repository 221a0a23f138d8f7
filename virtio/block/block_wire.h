// The structures that a block device and its driver exchange. [VIRTIO 1.2 §5.2.4, §5.2.6]
#ifndef VIRTIO_BLOCK_BLOCK_WIRE_H_
#define VIRTIO_BLOCK_BLOCK_WIRE_H_

#include <linux/virtio_blk.h>

#include <cstddef>
#include <cstdint>

#include "base/endian.h"

namespace virtio {

inline constexpr uint32_t kSectorBytes = 512;  // the protocol's unit [VIRTIO 1.2 §5.2.4]

// The beginning of every request.
struct BlockHeader {
  base::Le32 type;  // VIRTIO_BLK_T_*
  base::Le32 reserved;
  base::Le64 sector;
};
static_assert(sizeof(BlockHeader) == sizeof(virtio_blk_outhdr) && base::WireType<BlockHeader>);
static_assert(offsetof(BlockHeader, sector) == offsetof(virtio_blk_outhdr, sector));

// One segment of a discard or write-zeroes request.
struct BlockRange {
  base::Le64 sector;
  base::Le32 num_sectors;
  base::Le32 flags;  // VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP
};
static_assert(sizeof(BlockRange) == sizeof(virtio_blk_discard_write_zeroes));
static_assert(offsetof(BlockRange, flags) == offsetof(virtio_blk_discard_write_zeroes, flags));
static_assert(base::WireType<BlockRange>);

// The part of the configuration space that the offered features use.
struct BlockConfigSpace {
  base::Le64 capacity_sectors;
  base::Le32 size_max;
  base::Le32 seg_max;
  uint8_t geometry[4] = {};
  base::Le32 blk_size;
  uint8_t physical_block_exp = 0;
  uint8_t alignment_offset = 0;
  base::Le16 min_io_size;  // in blocks of blk_size, as opt_io_size
  base::Le32 opt_io_size;
  uint8_t writeback = 0;
  uint8_t unused0 = 0;
  base::Le16 num_queues;
  base::Le32 max_discard_sectors;
  base::Le32 max_discard_seg;
  base::Le32 discard_sector_alignment;
  base::Le32 max_write_zeroes_sectors;
  base::Le32 max_write_zeroes_seg;
  uint8_t write_zeroes_may_unmap = 0;
  uint8_t unused1[3] = {};
};
static_assert(sizeof(BlockConfigSpace) == offsetof(virtio_blk_config, max_secure_erase_sectors));
static_assert(offsetof(BlockConfigSpace, blk_size) == offsetof(virtio_blk_config, blk_size));
static_assert(offsetof(BlockConfigSpace, opt_io_size) == offsetof(virtio_blk_config, opt_io_size));
static_assert(offsetof(BlockConfigSpace, num_queues) == offsetof(virtio_blk_config, num_queues));
static_assert(offsetof(BlockConfigSpace, max_discard_sectors) ==
              offsetof(virtio_blk_config, max_discard_sectors));
static_assert(offsetof(BlockConfigSpace, write_zeroes_may_unmap) ==
              offsetof(virtio_blk_config, write_zeroes_may_unmap));
static_assert(base::WireType<BlockConfigSpace>);

}  // namespace virtio

#endif  // VIRTIO_BLOCK_BLOCK_WIRE_H_
