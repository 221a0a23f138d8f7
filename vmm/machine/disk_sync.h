// fdatasync of several disks, of which some may never answer.
#ifndef VMM_MACHINE_DISK_SYNC_H_
#define VMM_MACHINE_DISK_SYNC_H_

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <span>
#include <string>
#include <vector>

namespace vmm {

struct DiskToSync {
  std::string path;
  int fd = -1;
  // The errno of an fdatasync that failed earlier, or 0: see BlockDevice. nullptr: 0 for ever.
  const std::atomic<int>* lost_writes_error = nullptr;
};

struct UnsyncedDisk {
  std::string path;
  int error = 0;         // errno; 0: has not answered
  bool earlier = false;  // the error is that of an earlier fdatasync, which no later one repeats

  bool operator==(const UnsyncedDisk&) const = default;
};

// Calls fdatasync on all disks at once, each on a thread of its own, and waits for `patience` at
// most. Returns those that failed, have failed earlier or have not answered, in the order given;
// their threads go on, on descriptors of their own. `sync` is fdatasync but in tests.
std::vector<UnsyncedDisk> SyncWithin(std::span<const DiskToSync> disks,
                                     std::chrono::milliseconds patience,
                                     int (*sync)(int fd) = fdatasync);

// Returns the line that names `disk` and says why the guest's writes are, or may be, lost.
std::string Describe(const UnsyncedDisk& disk, std::chrono::milliseconds patience);

}  // namespace vmm

#endif  // VMM_MACHINE_DISK_SYNC_H_
