// Address decoding for port I/O and MMIO exits.
#ifndef DEVICES_BUS_H_
#define DEVICES_BUS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"

namespace devices {

// Something that answers reads and writes in an address range. Called on vCPU threads, several at
// once: implementations lock what they share. `offset` is relative to the range's start; sizes are
// 1, 2, 4 or 8 and offset + size lies within the range.
class BusDevice {
 public:
  virtual ~BusDevice() = default;
  // Name for logs and counters, e.g. "serial" or "_disk0".
  virtual absl::string_view name() const = 0;
  virtual void Read(uint64_t offset, std::span<uint8_t> data) = 0;
  virtual void Write(uint64_t offset, std::span<const uint8_t> data) = 0;
};

// Routes accesses to devices by address. Any thread; the lock is held only for the look-up, so a
// device must outlive the vCPUs, and may remap itself from within its own Write.
class Bus {
 public:
  // Claims [start, start + size) for `device`. Errors: AlreadyExists, naming both, on overlap;
  // InvalidArgument for an empty or wrapping range.
  absl::Status Insert(uint64_t start, uint64_t size, BusDevice& device);
  // Gives up the range that starts at `start` if it is `device`'s. No-op otherwise.
  void Remove(uint64_t start, const BusDevice& device);

  // Nobody there (or an access that crosses a range's end): reads are all ones, writes are dropped,
  // and the result is false.
  bool Read(uint64_t addr, std::span<uint8_t> data);
  bool Write(uint64_t addr, std::span<const uint8_t> data);

 private:
  struct Range {
    uint64_t start;
    uint64_t size;
    BusDevice* device;
  };
  BusDevice* Find(uint64_t addr, uint64_t size, uint64_t& offset);

  base::Mutex mutex_;
  std::vector<Range> ranges_ ABSL_GUARDED_BY(mutex_);  // sorted by start
};

}  // namespace devices

#endif  // DEVICES_BUS_H_
