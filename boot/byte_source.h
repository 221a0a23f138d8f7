// Random access to the bytes of a file. boot/ plans how to load the file but neither opens it nor
// reads all of it.
#ifndef BOOT_BYTE_SOURCE_H_
#define BOOT_BYTE_SOURCE_H_

#include <cstdint>
#include <cstring>
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

// Reads bytes in memory, which must outlive the object.
class MemoryByteSource : public ByteSource {
 public:
  explicit MemoryByteSource(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  uint64_t size() const override { return bytes_.size(); }

  bool ReadAt(uint64_t offset, std::span<uint8_t> out) const override {
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) return false;
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return true;
  }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace boot

#endif  // BOOT_BYTE_SOURCE_H_
