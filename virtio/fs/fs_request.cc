#include "virtio/fs/fs_request.h"

#include <errno.h>

#include <algorithm>
#include <span>

namespace virtio {
namespace {

template <base::WireType T>
bool Pop(Chain& chain, T& value) {
  return chain.PopReadable(std::span(reinterpret_cast<uint8_t*>(&value), sizeof(T)));
}

// The rest of the chain is a name and one NUL.
int PopName(Chain& chain, FsCommand& command) {
  const uint32_t size = chain.readable_bytes();
  if (size > kMaxFsNameBytes + 1) return ENAMETOOLONG;
  std::array<uint8_t, kMaxFsNameBytes + 1> bytes;
  if (size == 0 || !chain.PopReadable(std::span(bytes).first(size))) return EINVAL;
  const auto end = bytes.begin() + size - 1;
  if (std::find(bytes.begin(), bytes.begin() + size, 0) != end) return EINVAL;
  std::copy(bytes.begin(), end, command.name_bytes.begin());
  command.name_size = static_cast<uint16_t>(size - 1);
  return 0;
}

int PopArguments(Chain& chain, FsCommand& command) {
  switch (command.opcode) {
    case FUSE_INIT:
      return Pop(chain, command.init) ? 0 : EINVAL;
    case FUSE_LOOKUP:
      return PopName(chain, command);
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return Pop(chain, command.read) ? 0 : EINVAL;
    case FUSE_FORGET: {
      fuse_forget_in forget;
      if (!Pop(chain, forget)) return EINVAL;
      command.forget_count = forget.nlookup;
      return 0;
    }
    case FUSE_BATCH_FORGET: {
      fuse_batch_forget_in batch;
      if (!Pop(chain, batch)) return EINVAL;
      command.forget_count = std::min(batch.count, kMaxForgets);
      return 0;
    }
    default:
      return 0;  // the arguments change nothing about the answer
  }
}

}  // namespace

void ParseFsRequest(Chain& chain, FsCommand& command) {
  const uint32_t bytes = chain.readable_bytes();
  fuse_in_header header = {};
  command.name_size = 0;
  command.forget_count = 0;
  const bool has_header = Pop(chain, header);
  command.opcode = header.opcode;
  command.unique = header.unique;
  command.node = header.nodeid;
  command.replies = header.opcode != FUSE_FORGET && header.opcode != FUSE_BATCH_FORGET &&
                    header.opcode != FUSE_INTERRUPT;
  command.error = has_header && header.len == bytes ? PopArguments(chain, command) : EINVAL;
}

}  // namespace virtio
