// Measures the size of a disk on a thread of its own, since the host may hang.
#ifndef VMM_MACHINE_DISK_MEASURER_H_
#define VMM_MACHINE_DISK_MEASURER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "virtio/block/block_image.h"

namespace vmm {

// Measures one disk, each time on a thread of its own. A network file system that does not answer
// blocks that thread and no event loop.
class DiskMeasurer {
 public:
  using Report = std::function<void(absl::StatusOr<uint64_t> size_bytes)>;
  using MeasureFunction = absl::StatusOr<uint64_t> (*)(int fd);

  // Calls `report` on the measuring thread; `report` must not block. Only tests replace `measure`.
  explicit DiskMeasurer(Report report, MeasureFunction measure = virtio::MeasureImage);
  // Does not wait for the measuring thread, which may hang. `report` is not called after this.
  ~DiskMeasurer();
  DiskMeasurer(const DiskMeasurer&) = delete;
  DiskMeasurer& operator=(const DiskMeasurer&) = delete;

  // Starts to measure the file of `fd` and returns at once; the caller may then close `fd`. At most
  // one thread measures at a time: calls while that thread is busy make it measure once more,
  // however many calls there are. Always call on the same thread. Errors: those of dup and of
  // starting a thread.
  absl::Status Measure(int fd);

 private:
  struct State;

  std::shared_ptr<State> state_;  // the thread may outlive this object
};

}  // namespace vmm

#endif  // VMM_MACHINE_DISK_MEASURER_H_
