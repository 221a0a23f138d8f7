// Parses the bytes of a request into a command. [VIRTIO 1.2 §5.2.6]
#ifndef VIRTIO_BLOCK_BLOCK_COMMAND_H_
#define VIRTIO_BLOCK_BLOCK_COMMAND_H_

#include <array>
#include <cstdint>

#include "virtio/queue/chain.h"

namespace virtio {

// The most segments of a discard or write-zeroes request, and the most sectors of a segment. They
// bound the work that one request causes on the host.
inline constexpr uint32_t kMaxBlockRanges = 16;
inline constexpr uint32_t kMaxBlockRangeSectors = 1 << 21;  // 1 GiB

enum class BlockKind : uint8_t {
  kRead,
  kWrite,
  kFlush,
  kDiscard,
  kWriteZeroes,
  kGetId,
  kInvalid,      // answered with VIRTIO_BLK_S_IOERR
  kUnsupported,  // answered with VIRTIO_BLK_S_UNSUPP
  kNoStatus,     // the chain has no byte for a status
};

// The bounds of the disk and the requests that the device accepts.
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
  uint64_t offset_bytes = 0;  // for kRead and kWrite
  uint32_t data_bytes = 0;    // for kRead and kWrite: all bytes that the chain has left
  uint32_t range_count = 0;   // for kDiscard and kWriteZeroes
  std::array<Range, kMaxBlockRanges> ranges = {};
};

// Takes the header, the segments and the status byte off `chain` and stores in `command` what the
// device must do. Total: any bytes result in a command that stays inside `limits`. Nothing but
// `command` is left to look at.
void ParseBlockRequest(Chain& chain, const BlockLimits& limits, BlockCommand& command);

}  // namespace virtio

#endif  // VIRTIO_BLOCK_BLOCK_COMMAND_H_
