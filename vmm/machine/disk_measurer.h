// The size of a disk, measured where a host that hangs holds up nothing.
#ifndef VMM_MACHINE_DISK_MEASURER_H_
#define VMM_MACHINE_DISK_MEASURER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "virtio/block/block_image.h"

namespace vmm {

// Measures one disk on a thread of its own each time it is asked. A network file system that does
// not answer keeps that thread, and no loop.
class DiskMeasurer {
 public:
  using Report = std::function<void(absl::StatusOr<uint64_t> size_bytes)>;
  using MeasureFunction = absl::StatusOr<uint64_t> (*)(int fd);

  // `report` is called on the measuring thread; it must not block. `measure` is MeasureImage but in
  // tests.
  explicit DiskMeasurer(Report report, MeasureFunction measure = virtio::MeasureImage);
  // Waits for no thread: one that hangs goes on by itself, and `report` is not called any more.
  ~DiskMeasurer();
  DiskMeasurer(const DiskMeasurer&) = delete;
  DiskMeasurer& operator=(const DiskMeasurer&) = delete;

  // Begins to measure the file of `fd`, which may be closed meanwhile, and returns at once. At most
  // one thread at a time: if it is busy, it measures once more afterwards, however often it was
  // asked. One thread calls it. Errors: of dup and of starting a thread.
  absl::Status Measure(int fd);

 private:
  struct State;

  std::shared_ptr<State> state_;  // the thread may outlive this object
};

}  // namespace vmm

#endif  // VMM_MACHINE_DISK_MEASURER_H_
