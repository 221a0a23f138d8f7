#include "vmm/machine/disk_sync.h"

#include <errno.h>
#include <fcntl.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/thread.h"
#include "base/unique_fd.h"

namespace vmm {
namespace {

// Shared with threads that may outlive the call. (base::CondVar has no wait with a limit.)
struct Progress {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::optional<int>> errors;  // of each disk; nullopt: not known yet
  size_t running = 0;

  void End(size_t disk, int error) {
    const std::lock_guard lock(mutex);
    errors[disk] = error;
    --running;
    changed.notify_all();
  }
};

// Returns the errno, or 0. A file on a read-only file system, or one of a kind that has nothing to
// sync, is as good as synced.
int Sync(int fd, int (*sync)(int fd)) {
  return sync(fd) == 0 || errno == EROFS || errno == EINVAL ? 0 : errno;
}

}  // namespace

std::vector<UnsyncedDisk> SyncWithin(std::span<const DiskToSync> disks,
                                     std::chrono::milliseconds patience, int (*sync)(int fd)) {
  const auto progress = std::make_shared<Progress>();
  progress->errors.resize(disks.size());
  progress->running = disks.size();
  for (size_t i = 0; i < disks.size(); ++i) {
    // The thread's own: the caller may close its descriptor while the thread hangs.
    base::UniqueFd fd(fcntl(disks[i].fd, F_DUPFD_CLOEXEC, 0));
    if (!fd.valid()) {
      progress->End(i, errno);
      continue;
    }
    auto thread = base::StartThread("sync", [progress, fd = std::move(fd), i, sync]() mutable {
      const int error = Sync(fd.get(), sync);
      // Before the answer: who waits for it may want the file, and its lock, to be free.
      fd.reset();
      progress->End(i, error);
    });
    if (thread.ok()) {
      thread->detach();
    } else {
      progress->End(i, EAGAIN);
    }
  }
  std::unique_lock lock(progress->mutex);
  progress->changed.wait_for(lock, patience, [&] { return progress->running == 0; });
  std::vector<UnsyncedDisk> unsynced;
  for (size_t i = 0; i < disks.size(); ++i) {
    const int error = progress->errors[i].value_or(0);
    if (!progress->errors[i] || error != 0) unsynced.push_back({disks[i].path, error});
  }
  return unsynced;
}

}  // namespace vmm
