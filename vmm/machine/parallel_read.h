// Reads ranges of files into memory with several threads at once.
#ifndef VMM_MACHINE_PARALLEL_READ_H_
#define VMM_MACHINE_PARALLEL_READ_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"

namespace vmm {

// The range of a file that fills `to`.
struct FileRead {
  int fd;
  uint64_t offset_bytes;
  std::span<uint8_t> to;
  std::string name;  // for errors: the config key and the path
};

// Does all `reads` completely, and returns when they have ended. Uses up to `max_threads` threads,
// this one included, but no more than there are CPUs or work for. Several threads load a kernel of
// 50 MiB faster, since most of the time goes into zeroing fresh pages and copying into them.
// Errors: the first error of a read, with the name of the read.
absl::Status ReadInParallel(std::span<const FileRead> reads, unsigned max_threads = 4);

}  // namespace vmm

#endif  // VMM_MACHINE_PARALLEL_READ_H_
