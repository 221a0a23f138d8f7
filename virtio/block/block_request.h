// From the bytes of a request to what is to be done. [VIRTIO 1.2 §5.2.6]
#ifndef VIRTIO_BLOCK_BLOCK_REQUEST_H_
#define VIRTIO_BLOCK_BLOCK_REQUEST_H_

#include <array>
#include <cstdint>

#include "virtio/queue/chain.h"

namespace virtio {

// Most segments of one discard or write-zeroes request, and most sectors of one segment: bounds
// what a request makes the host do in one go.
inline constexpr uint32_t kMaxBlockRanges = 16;
inline constexpr uint32_t kMaxBlockRangeSectors = 1 << 21;  // 1 GiB

enum class BlockKind : uint8_t {
  kRead,
  kWrite,
  kFlush,
  kDiscard,
  kWriteZeroes,
  kGetId,
  kInvalid,      // VIRTIO_BLK_S_IOERR
  kUnsupported,  // VIRTIO_BLK_S_UNSUPP
  kNoStatus,     // nowhere to put a status
};

// What the device can do.
struct BlockLimits {
  uint64_t capacity_sectors = 0;
  bool readonly = false;
  bool discard = false;
  bool write_zeroes = false;
};

struct BlockCommand {
  struct Range {
    uint64_t offset_bytes;
    uint32_t length_bytes;  // never 0
    bool unmap;
  };

  BlockKind kind = BlockKind::kInvalid;
  uint64_t offset_bytes = 0;  // of kRead and kWrite
  uint32_t data_bytes = 0;    // of kRead and kWrite, as many as the chain has left
  uint32_t range_count = 0;   // of kDiscard and kWriteZeroes
  std::array<Range, kMaxBlockRanges> ranges = {};
};

// Takes header, segments and status byte off `chain` and says what the rest is for. Total: any
// bytes make a command, which stays inside `limits`. Fills `command`, nothing else is looked at.
void ParseBlockRequest(Chain& chain, const BlockLimits& limits, BlockCommand& command);

}  // namespace virtio

#endif  // VIRTIO_BLOCK_BLOCK_REQUEST_H_
