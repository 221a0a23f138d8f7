// The bytes that a character backend has not written yet: a bounded number, of which the newest
// stay.
#ifndef DEVICES_CHARACTER_OUTPUT_RING_H_
#define DEVICES_CHARACTER_OUTPUT_RING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace devices {

// Not thread-safe.
class OutputRing {
 public:
  static constexpr size_t kCapacityBytes = 64 * 1024;
  // Take() needs at least this much room, so that the mark of a loss always fits.
  static constexpr size_t kMinTakeBytes = 64;

  OutputRing();

  // Appends `bytes`. If there is no room, drops and counts the oldest bytes.
  void Append(std::span<const uint8_t> bytes);
  // Moves the oldest bytes to `to` and returns how many. The text
  // "\r\n[vmm: N bytes dropped]\r\n" stands in the place of bytes that were dropped.
  size_t Take(std::span<uint8_t> to);
  // Counts `bytes` that were taken and then lost, so that the next Take marks them too.
  void CountDropped(uint64_t bytes);
  // Drops and counts all bytes.
  void Clear();

  bool empty() const { return size_ == 0; }
  uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  void DropOldest(size_t bytes);

  std::unique_ptr<uint8_t[]> bytes_;
  size_t head_ = 0;
  size_t size_ = 0;
  uint64_t dropped_bytes_ = 0;
  uint64_t unmarked_bytes_ = 0;  // how many of the dropped bytes the output does not mention yet
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_OUTPUT_RING_H_
