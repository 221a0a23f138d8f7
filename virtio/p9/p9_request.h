// From the bytes of a 9P2000.L message to what is to be done.
#ifndef VIRTIO_P9_P9_REQUEST_H_
#define VIRTIO_P9_P9_REQUEST_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "virtio/p9/p9_wire.h"
#include "virtio/queue/chain.h"

namespace virtio {

inline constexpr size_t kP9MaxNameBytes = 255;  // NAME_MAX

// A request, checked as far as that needs no file.
struct P9Command {
  absl::string_view name(size_t i) const {
    return {name_bytes.data() + name_ends[i], static_cast<size_t>(name_ends[i + 1] - name_ends[i])};
  }

  uint8_t type = 0;  // any number
  uint16_t tag = 0;
  bool has_header = false;  // without one there is no answer either
  int error = 0;            // not 0: malformed, to be refused with this errno

  uint32_t fid = 0;
  uint32_t new_fid = 0;            // WALK
  uint32_t flags = 0;              // OPEN
  uint64_t offset = 0;             // READ, READDIR
  uint32_t count = 0;              // READ, READDIR: bytes
  uint32_t max_message_bytes = 0;  // VERSION
  bool known_dialect = false;      // VERSION
  uint16_t old_tag = 0;            // FLUSH
  uint16_t name_count = 0;         // WALK: any bytes; ATTACH: the name of the tree
  std::array<uint16_t, kP9MaxWalkNames + 1> name_ends = {};
  std::array<char, kP9MaxWalkNames * kP9MaxNameBytes> name_bytes;
};

// Takes header and arguments off `chain`. Total: any bytes make a command. Sets all of `command`
// that its type has.
void ParseP9Request(Chain& chain, P9Command& command);

}  // namespace virtio

#endif  // VIRTIO_P9_P9_REQUEST_H_
