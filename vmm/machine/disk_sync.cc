#include "vmm/machine/disk_sync.h"

#include <errno.h>
#include <unistd.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/thread.h"

namespace vmm {
namespace {

// Shared with threads that may outlive the call. (base::CondVar has no wait with a limit.)
struct Progress {
  std::mutex mutex;
  std::condition_variable changed;
  std::set<std::string> unsynced;
  size_t running = 0;
};

}  // namespace

std::vector<std::string> SyncWithin(std::span<const DiskToSync> disks,
                                    std::chrono::milliseconds patience) {
  const auto progress = std::make_shared<Progress>();
  for (const DiskToSync& disk : disks) {
    {
      const std::lock_guard lock(progress->mutex);
      progress->unsynced.insert(disk.path);
      ++progress->running;
    }
    auto thread = base::StartThread("sync", [progress, disk] {
      const bool ok = fdatasync(disk.fd) == 0 || errno == EROFS || errno == EINVAL;
      const std::lock_guard lock(progress->mutex);
      if (ok) progress->unsynced.erase(disk.path);
      --progress->running;
      progress->changed.notify_all();
    });
    if (thread.ok()) {
      thread->detach();
    } else {
      const std::lock_guard lock(progress->mutex);
      --progress->running;
    }
  }
  std::unique_lock lock(progress->mutex);
  progress->changed.wait_for(lock, patience, [&] { return progress->running == 0; });
  return {progress->unsynced.begin(), progress->unsynced.end()};
}

}  // namespace vmm
