// Calls fdatasync on several disks, some of which may never answer.
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
  // The errno of an earlier fdatasync that failed, or 0 (see BlockDevice). Null counts as 0.
  const std::atomic<int>* lost_writes_error = nullptr;
};

struct UnsyncedDisk {
  std::string path;
  int error = 0;         // errno; 0 if the disk has not answered
  bool earlier = false;  // an earlier fdatasync failed; the kernel reports its error only once

  bool operator==(const UnsyncedDisk&) const = default;
};

// Calls fdatasync on all disks at once, each on a thread of its own, and waits for `patience` at
// most. Returns the disks whose fdatasync failed, failed earlier, or has not ended, in the order
// given. Threads that have not ended keep running on descriptors of their own. Only tests replace
// `sync`.
std::vector<UnsyncedDisk> SyncWithin(std::span<const DiskToSync> disks,
                                     std::chrono::milliseconds patience,
                                     int (*sync)(int fd) = fdatasync);

// Returns the line that names `disk` and says why the guest's writes are, or may be, lost.
std::string Describe(const UnsyncedDisk& disk, std::chrono::milliseconds patience);

}  // namespace vmm

#endif  // VMM_MACHINE_DISK_SYNC_H_
