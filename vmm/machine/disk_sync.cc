#include "vmm/machine/disk_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/thread.h"
#include "base/unique_fd.h"
#include "virtio/block/block_image.h"

namespace vmm {
namespace {

// Shared with threads that may outlive the call. Uses std::mutex, since base::CondVar has no wait
// with a time limit.
struct Progress {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::optional<int>> errors;  // of each disk; nullopt until it is known
  size_t running = 0;

  void End(size_t disk, int error) {
    const std::lock_guard lock(mutex);
    errors[disk] = error;
    --running;
    changed.notify_all();
  }
};

}  // namespace

std::vector<UnsyncedDisk> SyncWithin(std::span<const DiskToSync> disks,
                                     std::chrono::milliseconds patience, int (*sync)(int fd)) {
  const auto progress = std::make_shared<Progress>();
  progress->errors.resize(disks.size());
  progress->running = disks.size();
  for (size_t i = 0; i < disks.size(); ++i) {
    // The thread gets a descriptor of its own: the caller may close the disk's while the thread
    // hangs.
    base::UniqueFd fd(fcntl(disks[i].fd, F_DUPFD_CLOEXEC, 0));
    if (!fd.valid()) {
      progress->End(i, errno);
      continue;
    }
    auto thread = base::StartThread("sync", [progress, fd = std::move(fd), i, sync]() mutable {
      const int error = sync(fd.get()) == 0 ? 0 : errno;
      // Closed before the answer: the waiting caller may need the file, and its lock, to be free.
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
    const std::optional<int> error = progress->errors[i];
    // Read last: a flush of the guest may fail during the wait, and the kernel reports the error to
    // only one of the two callers.
    const int earlier =
        disks[i].lost_writes_error == nullptr ? 0 : disks[i].lost_writes_error->load();
    if (earlier != 0) {
      unsynced.push_back({disks[i].path, earlier, true});
    } else if (!error || virtio::OutcomeOfSync(*error) != virtio::SyncOutcome::kWrittenThrough) {
      unsynced.push_back({disks[i].path, error.value_or(0), false});
    }
  }
  return unsynced;
}

std::string Describe(const UnsyncedDisk& disk, std::chrono::milliseconds patience) {
  const std::string end = disk.earlier ? "the guest's writes of that time are lost"
                                       : "the guest's last writes may be lost";
  if (disk.error == 0) {
    return absl::StrCat(disk.path, ": not written through, fdatasync has not ended after ",
                        patience.count() / 1000, " s; ", end);
  }
  return absl::StrCat(
      disk.path, ": not written through, ", disk.earlier ? "an earlier fdatasync" : "fdatasync",
      " failed: ", strerrordesc_np(disk.error), " (", strerrorname_np(disk.error), "); ", end);
}

}  // namespace vmm
