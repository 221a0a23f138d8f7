// Fills guest RAM from files, on several CPUs.
#ifndef VMM_MACHINE_READ_PIECES_H_
#define VMM_MACHINE_READ_PIECES_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"

namespace vmm {

struct FilePiece {
  int fd;
  uint64_t offset_bytes;
  std::span<uint8_t> to;
  std::string name;  // for errors: the config key and the path
};

// Reads every piece whole. A kernel of 50 MiB is mostly the zeroing of fresh pages and the copy
// into them, both of which threads share well: up to `max_threads`, this one included, none more
// than there are CPUs or work. Errors: the first that a piece met, with its name.
absl::Status ReadPieces(std::span<const FilePiece> pieces, unsigned max_threads = 4);

}  // namespace vmm

#endif  // VMM_MACHINE_READ_PIECES_H_
