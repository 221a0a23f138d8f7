#include "virtio/block/block_command.h"

#include "virtio/block/block_wire.h"

namespace virtio {
namespace {

// True if `count` sectors from `sector` exist.
bool InBounds(uint64_t sector, uint64_t count, const BlockLimits& limits) {
  return sector <= limits.capacity_sectors && count <= limits.capacity_sectors - sector;
}

BlockKind ParseTransfer(BlockKind kind, uint64_t sector, uint32_t data_bytes,
                        const BlockLimits& limits, BlockCommand& command) {
  if (data_bytes % kSectorBytes != 0) return BlockKind::kInvalid;
  if (!InBounds(sector, data_bytes / kSectorBytes, limits)) return BlockKind::kInvalid;
  command.offset_bytes = sector * kSectorBytes;
  command.data_bytes = data_bytes;
  return kind;
}

BlockKind ParseRanges(BlockKind kind, Chain& chain, const BlockLimits& limits,
                      BlockCommand& command) {
  const uint32_t bytes = chain.readable_bytes();
  if (bytes == 0 || bytes % sizeof(BlockRange) != 0) return BlockKind::kInvalid;
  if (bytes / sizeof(BlockRange) > kMaxBlockRanges) return BlockKind::kInvalid;
  BlockKind result = kind;
  BlockRange range;
  while (chain.Pop(range)) {
    const uint32_t flags = range.flags.value();
    const bool unmap = (flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) != 0;
    // "MUST set the status byte to VIRTIO_BLK_S_UNSUPP for discard [...] and write zeroes commands
    // if any unknown flag is set", and "for discard commands if the unmap flag is set".
    if ((flags & ~uint32_t{VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP}) != 0 ||
        (unmap && kind == BlockKind::kDiscard)) {
      return BlockKind::kUnsupported;
    }
    const uint64_t sector = range.sector.value();
    const uint32_t count = range.num_sectors.value();
    if (count > kMaxBlockRangeSectors || !InBounds(sector, count, limits)) {
      result = BlockKind::kInvalid;  // a later unknown flag still decides
    }
    if (result == BlockKind::kInvalid || count == 0) continue;
    command.ranges[command.range_count++] = {sector * kSectorBytes, count * kSectorBytes, unmap};
  }
  return result;
}

BlockKind Parse(Chain& chain, const BlockLimits& limits, BlockCommand& command) {
  if (!chain.SplitStatusByte()) return BlockKind::kNoStatus;
  // GUEST: the header is fetched once.
  BlockHeader header;
  if (!chain.Pop(header)) return BlockKind::kInvalid;
  switch (header.type.value()) {
    case VIRTIO_BLK_T_IN:
      return ParseTransfer(BlockKind::kRead, header.sector.value(), chain.writable_bytes(), limits,
                           command);
    case VIRTIO_BLK_T_OUT:
      // "MUST set the status byte to VIRTIO_BLK_S_IOERR for a write request if the
      // VIRTIO_BLK_F_RO feature if offered, and MUST NOT write any data."
      if (limits.readonly) return BlockKind::kInvalid;
      return ParseTransfer(BlockKind::kWrite, header.sector.value(), chain.readable_bytes(), limits,
                           command);
    case VIRTIO_BLK_T_FLUSH:
      return BlockKind::kFlush;
    case VIRTIO_BLK_T_GET_ID:
      return BlockKind::kGetId;
    case VIRTIO_BLK_T_DISCARD:
      if (limits.readonly) return BlockKind::kInvalid;
      if (!limits.discard) return BlockKind::kUnsupported;
      return ParseRanges(BlockKind::kDiscard, chain, limits, command);
    case VIRTIO_BLK_T_WRITE_ZEROES:
      if (limits.readonly) return BlockKind::kInvalid;
      if (!limits.write_zeroes) return BlockKind::kUnsupported;
      return ParseRanges(BlockKind::kWriteZeroes, chain, limits, command);
    default:
      return BlockKind::kUnsupported;
  }
}

}  // namespace

void ParseBlockRequest(Chain& chain, const BlockLimits& limits, BlockCommand& command) {
  command.offset_bytes = 0;
  command.data_bytes = 0;
  command.range_count = 0;
  command.kind = Parse(chain, limits, command);
}

}  // namespace virtio
