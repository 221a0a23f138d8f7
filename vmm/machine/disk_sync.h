// fdatasync of several disks, of which some may never answer.
#ifndef VMM_MACHINE_DISK_SYNC_H_
#define VMM_MACHINE_DISK_SYNC_H_

#include <chrono>
#include <span>
#include <string>
#include <vector>

namespace vmm {

struct DiskToSync {
  std::string path;
  int fd = -1;  // stays open as long as the process lives: a thread may still be in fdatasync
};

// Calls fdatasync on all disks at once, each on a thread of its own, and waits for `patience` at
// most. Returns the paths of those that failed or have not answered. Before the process ends.
std::vector<std::string> SyncWithin(std::span<const DiskToSync> disks,
                                    std::chrono::milliseconds patience);

}  // namespace vmm

#endif  // VMM_MACHINE_DISK_SYNC_H_
