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

// Ranges of 2 MiB, each of which shows zeroes or a part of a file, read-only. No byte of it is ever
// looked at here: a file that the host truncates takes its pages away. Where that is noticed,
// zeroes take the place of the whole range. Loop thread.
//
// The host's memory mappings are a bounded resource of the process: a range costs at most two.
class DaxWindow {
 public:
  static constexpr unsigned kRangeShift = 21;  // Linux: FUSE_DAX_SHIFT
  static constexpr uint64_t kRangeBytes = uint64_t{1} << kRangeShift;

  // Reserves `size_bytes`, a multiple of kRangeBytes, and makes them known to `memory`, which must
  // outlive the window, as must `loop`. `id`: in log lines. Errors: ResourceExhausted with size and
  // errno.
  static absl::StatusOr<std::unique_ptr<DaxWindow>> Create(std::string id, uint64_t size_bytes,
                                                           base::EventLoop& loop,
                                                           base::GuestMemory& memory);
  ~DaxWindow();
  DaxWindow(const DaxWindow&) = delete;
  DaxWindow& operator=(const DaxWindow&) = delete;

  const uint8_t* host() const { return host_; }
  uint64_t size_bytes() const { return ranges_.size() * kRangeBytes; }
  uint64_t mapped_ranges() const { return mapped_ranges_; }

  // Shows `bytes` of a regular file from `file_offset` on at `window_offset`, instead of what was
  // there; behind the file's end there are zeroes. Returns 0 or an errno: EINVAL if a number is no
  // multiple of kRangeBytes, does not fit the window or begins behind the file's end; what mmap
  // says, and then zeroes are there.
  HostError Map(int file, uint64_t file_offset, uint64_t window_offset, uint64_t bytes);
  // Shows zeroes again. Returns 0 or EINVAL, as above, or ENOMEM, and then nothing has changed.
  HostError Unmap(uint64_t window_offset, uint64_t bytes);
  void UnmapAll();

  // Ends what is in flight on the loop, then runs `done`. No file may be mapped until then. What is
  // mapped stays; files that are truncated from here on are noticed after Resume.
  void Stop(DaxWatch::Done done) { watch_->Stop(std::move(done)); }
  void Resume() { watch_->Resume(); }
  // Ranges that lost their file by its being truncated.
  uint64_t truncated_ranges() const { return truncated_ranges_; }

 private:
  struct Range {
    bool mapped = false;
    uint32_t file_bytes = 0;  // from its beginning on
    int watch = DaxWatch::kNone;
  };

  DaxWindow(std::string id, uint8_t* host, uint64_t size_bytes, base::GuestMemory& memory);
  bool IsRange(uint64_t window_offset, uint64_t bytes) const;
  // Map of a file that is watched.
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
