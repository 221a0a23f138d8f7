#include "vmm/machine/disk_measurer.h"

#include <errno.h>
#include <fcntl.h>

#include <utility>

#include "base/mutex.h"
#include "base/status.h"
#include "base/thread.h"
#include "base/unique_fd.h"

namespace vmm {

struct DiskMeasurer::State {
  explicit State(MeasureFunction function) : measure(function) {}

  // Measures once. Returns whether to measure again.
  bool Once(int fd) {
    const absl::StatusOr<uint64_t> size = measure(fd);
    base::MutexLock lock(mutex);
    if (report != nullptr) report(size);
    busy = std::exchange(again, false) && report != nullptr;
    return busy;
  }

  const MeasureFunction measure;
  base::Mutex mutex;
  Report report ABSL_GUARDED_BY(mutex);  // null after the measurer is gone
  bool busy ABSL_GUARDED_BY(mutex) = false;
  bool again ABSL_GUARDED_BY(mutex) = false;
};

DiskMeasurer::DiskMeasurer(Report report, MeasureFunction measure)
    : state_(std::make_shared<State>(measure)) {
  base::MutexLock lock(state_->mutex);
  state_->report = std::move(report);
}

DiskMeasurer::~DiskMeasurer() {
  base::MutexLock lock(state_->mutex);
  state_->report = nullptr;
}

absl::Status DiskMeasurer::Measure(int fd) {
  {
    base::MutexLock lock(state_->mutex);
    state_->again = state_->busy;
    if (std::exchange(state_->busy, true)) return absl::OkStatus();
  }
  absl::Status status;
  // The thread gets a descriptor of its own: the caller may close `fd` while the thread hangs.
  if (base::UniqueFd own(fcntl(fd, F_DUPFD_CLOEXEC, 0)); own.valid()) {
    auto thread = base::StartThread("measure", [state = state_, own = std::move(own)] {
      while (state->Once(own.get())) {
      }
    });
    if (thread.ok()) {
      thread->detach();
      return absl::OkStatus();
    }
    status = thread.status();
  } else {
    status = base::ErrnoStatus(errno, "cannot duplicate a descriptor");
  }
  base::MutexLock lock(state_->mutex);
  state_->busy = false;
  return status;
}

}  // namespace vmm
