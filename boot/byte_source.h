// Random access to the bytes of a file. boot/ plans how to load the file but neither opens it nor
// reads all of it.
#ifndef BOOT_BYTE_SOURCE_H_
#define BOOT_BYTE_SOURCE_H_

#include <cstdint>
#include <span>

namespace boot {

// The caller implements this with pread on a descriptor; tests and fuzzers implement it on memory.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Returns the size in bytes, which does not change during the object's life.
  virtual uint64_t size() const = 0;

  // Fills `out` with the bytes at `offset`. Returns false if not all of them could be read (past
  // the end, or a host error); `out` is then unspecified.
  virtual bool ReadAt(uint64_t offset, std::span<uint8_t> out) const = 0;
};

}  // namespace boot

#endif  // BOOT_BYTE_SOURCE_H_
