// From the bytes of a FUSE request to what is to be done.
#ifndef VIRTIO_FS_FS_REQUEST_H_
#define VIRTIO_FS_FS_REQUEST_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "virtio/fs/fs_wire.h"
#include "virtio/queue/chain.h"

namespace virtio {

// Most nodes that one BATCH_FORGET can forget; Linux never sends as many.
inline constexpr uint32_t kMaxForgets = 8192;
inline constexpr size_t kMaxFsNameBytes = 255;  // NAME_MAX

// A request, checked as far as that needs no file.
struct FsCommand {
  absl::string_view name() const { return {name_bytes.data(), name_size}; }

  uint32_t opcode = 0;  // any number
  int error = 0;        // not 0: malformed, to be refused with this errno
  bool replies = true;  // FORGET, BATCH_FORGET and INTERRUPT have no answer
  uint64_t unique = 0;
  uint64_t node = 0;

  FuseInitStart init = {};    // INIT
  fuse_read_in read = {};     // READ, READDIR, READDIRPLUS
  uint64_t forget_count = 0;  // FORGET: lookups; BATCH_FORGET: pairs that follow in the chain
  uint16_t name_size = 0;     // LOOKUP
  std::array<char, kMaxFsNameBytes> name_bytes = {};
};

// Takes header and arguments off `chain`. Total: any bytes make a command. Sets all of `command`
// that its opcode has.
void ParseFsRequest(Chain& chain, FsCommand& command);

}  // namespace virtio

#endif  // VIRTIO_FS_FS_REQUEST_H_
