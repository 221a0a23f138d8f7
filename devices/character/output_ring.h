// The bytes that a character backend has not written yet: bounded, the newest win.
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

  // Appends `bytes`; drops and counts the oldest where there is no room.
  void Append(std::span<const uint8_t> bytes);
  // Moves the oldest bytes to `to` and returns how many. Where bytes were dropped, the text
  // "\r\n[vmm: N bytes dropped]\r\n" stands in their place.
  size_t Take(std::span<uint8_t> to);
  // Counts `bytes` that were taken and then lost: the next Take marks them too.
  void CountDropped(uint64_t bytes);
  // Drops and counts everything.
  void Clear();

  bool empty() const { return size_ == 0; }
  uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  void DropOldest(size_t bytes);

  std::unique_ptr<uint8_t[]> bytes_;
  size_t head_ = 0;
  size_t size_ = 0;
  uint64_t dropped_bytes_ = 0;
  uint64_t unmarked_bytes_ = 0;  // of these, not yet told in the output
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_OUTPUT_RING_H_
