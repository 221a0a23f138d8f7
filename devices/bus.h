// Address decoding for port I/O and MMIO exits.
//
// A device can be taken out while vCPUs run, in two steps. Remove() makes the device unreachable
// for accesses that begin later. WaitForAccesses() then waits for the accesses that had begun, and
// after that the device may be destroyed. The bus counts accesses for this: an access counts itself
// as begun under the lock that the look-up takes anyway, and as ended with one atomic addition.
// Nothing is locked while the device works, so a device may use the bus.
// docs/adr/0013-removing-devices.md says why the bus owns no devices.
#ifndef DEVICES_BUS_H_
#define DEVICES_BUS_H_

#include <array>
#include <atomic>
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

// Routes accesses to devices by address. Any thread, unless a function says otherwise.
class Bus {
 public:
  // Claims [start, start + size) for `device`, which must stay until it has been removed and
  // WaitForAccesses() has returned. Errors: AlreadyExists, naming both, on overlap; InvalidArgument
  // for an empty or wrapping range.
  absl::Status Insert(uint64_t start, uint64_t size, BusDevice& device);
  // Gives up the range that starts at `start` if it is `device`'s. No-op otherwise. Never waits: an
  // access that found the device before may still be in it. So a device may move its own range from
  // within its Write.
  void Remove(uint64_t start, const BusDevice& device);
  // Returns when every access to this bus that had begun before the call has ended, to whichever
  // device; accesses that begin later do not prolong the wait. Must not be called from within an
  // access, which would wait for itself (CHECK), nor with a lock held that a device takes in its
  // Read or Write.
  void WaitForAccesses();

  // Returns whether the calling thread is in an access, to whichever bus.
  static bool InAccess();

  // Access the device at `addr`. Return false if no device is there, or if the access crosses the
  // end of a range: a read then fills `data` with ones, and a write is dropped.
  bool Read(uint64_t addr, std::span<uint8_t> data);
  bool Write(uint64_t addr, std::span<const uint8_t> data);

 private:
  struct Range {
    uint64_t start;
    uint64_t size;
    BusDevice* device;
  };
  class Access;
  BusDevice* Find(uint64_t addr, uint64_t size, uint64_t& offset)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  base::Mutex mutex_;
  std::vector<Range> ranges_ ABSL_GUARDED_BY(mutex_);  // sorted by start

  // Accesses are counted in one of two groups. A waiter has new accesses join the other group, and
  // waits until all of the first have ended. The group that they join is empty: its own waiter has
  // seen to that, and there is one waiter at a time. The counts wrap around.
  unsigned group_ ABSL_GUARDED_BY(mutex_) = 0;
  std::array<uint32_t, 2> begun_ ABSL_GUARDED_BY(mutex_) = {};
  std::array<std::atomic<uint32_t>, 2> ended_ = {};
  std::atomic<bool> waiting_{false};
  base::CondVar access_ended_;  // while waiting_, or the wait is over
};

}  // namespace devices

#endif  // DEVICES_BUS_H_
