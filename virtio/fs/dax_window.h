// Host memory in which a guest reads files of a share without copies: the page cache of the host.
// [VIRTIO 1.2 §5.11.6.4]
#ifndef VIRTIO_FS_DAX_WINDOW_H_
#define VIRTIO_FS_DAX_WINDOW_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/fs/dax_watch.h"
#include "virtio/host_tree/host_error.h"

namespace virtio {

// The window has ranges of 2 MiB. Each range shows zeroes or a part of a file, read-only. This
// process never reads the window: if the host truncates a file, the file's pages vanish, and a read
// would be SIGBUS. When the truncation is noticed, the whole range shows zeroes instead. Loop
// thread.
//
// Linux bounds the number of memory mappings of a process. A range needs at most two.
class DaxWindow {
 public:
  static constexpr unsigned kRangeShift = 21;  // Linux: FUSE_DAX_SHIFT
  static constexpr uint64_t kRangeBytes = uint64_t{1} << kRangeShift;

  // Reserves `size_bytes`, a multiple of kRangeBytes, and adds them to `memory` as a window. `id`
  // is for log lines. `loop` and `memory` must outlive the window. Errors: ResourceExhausted with
  // size and errno.
  static absl::StatusOr<std::unique_ptr<DaxWindow>> Create(std::string id, uint64_t size_bytes,
                                                           base::EventLoop& loop,
                                                           base::GuestMemory& memory);
  ~DaxWindow();
  DaxWindow(const DaxWindow&) = delete;
  DaxWindow& operator=(const DaxWindow&) = delete;

  const uint8_t* host() const { return host_; }
  uint64_t size_bytes() const { return ranges_.size() * kRangeBytes; }
  uint64_t mapped_ranges() const { return mapped_ranges_; }

  // Shows `bytes` bytes of a regular file, from `file_offset` on, at `window_offset`. They replace
  // what the window showed there. Behind the end of the file the window shows zeroes. Returns
  // EINVAL if a number is not a multiple of kRangeBytes, if the bytes do not fit into the window,
  // or if `file_offset` is not below the file's size. Returns the errno of mmap if that fails; the
  // window then shows zeroes.
  HostError Map(int file, uint64_t file_offset, uint64_t window_offset, uint64_t bytes);
  // Shows zeroes again. Returns EINVAL if a number is not a multiple of kRangeBytes or if the bytes
  // do not fit into the window, or ENOMEM. In both cases nothing has changed.
  HostError Unmap(uint64_t window_offset, uint64_t bytes);
  void UnmapAll();

  // Ends the operation in flight on the loop, then runs `done`. No file may be mapped before `done`
  // runs. Mapped files stay mapped. If a file is truncated while the window is stopped, that is
  // noticed after Resume.
  void Stop(DaxWatch::Done done) { watch_->Stop(std::move(done)); }
  void Resume() { watch_->Resume(); }
  // Returns how many ranges have lost their file because the file was truncated.
  uint64_t truncated_ranges() const { return truncated_ranges_; }

 private:
  struct Range {
    bool mapped = false;
    uint32_t file_bytes = 0;  // how many bytes show the file, from the range's beginning on
    int watch = DaxWatch::kNone;
  };

  DaxWindow(std::string id, uint8_t* host, uint64_t size_bytes, base::GuestMemory& memory);
  bool IsRange(uint64_t window_offset, uint64_t bytes) const;
  // Does what Map does, for a file that is watched already.
  HostError MapWatched(int file, int watch, uint64_t file_offset, uint64_t window_offset,
                       uint64_t bytes);
  void Forget(Range& range);
  void OnFileChanged(int watch);
  bool ShowZeroes(uint64_t window_offset, uint64_t bytes);

  const std::string id_;
  uint8_t* const host_;
  base::GuestMemory& memory_;
  std::unique_ptr<DaxWatch> watch_;  // set by Create
  std::vector<Range> ranges_;
  uint64_t mapped_ranges_ = 0;
  uint64_t truncated_ranges_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_FS_DAX_WINDOW_H_
