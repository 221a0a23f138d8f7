// What a guest may keep of the contents of files and directories when it opens them again.
#ifndef VIRTIO_FS_KEPT_CONTENTS_H_
#define VIRTIO_FS_KEPT_CONTENTS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {

// Remembers the state of each file at the moment when the guest last dropped its cached data of the
// file. Data that the guest has cached since are of that state or of a newer one. If the file still
// has that state when the guest opens it again, the guest may keep its data.
//
// A file has the same state if its size, its time of modification and its time of change are the
// same. A state is remembered only if the time of change lay far enough back, because a file that
// changes twice within one tick of the clock shows the same time twice. Loop thread.
//
// If a process of the host writes through a shared mapping, the times change at the first write to
// a page. They change again only after the host has written that page back.
class KeptContents {
 public:
  // How long a time of change has to lie back. kTick is longer than a tick of Linux, which is at
  // most 10 ms. kCoarseTick, a tick of vfat, is for file systems that may have coarse times, and
  // for times that are whole seconds.
  static constexpr std::chrono::milliseconds kTick{50};
  static constexpr std::chrono::milliseconds kCoarseTick{2000};

  enum class Answer : uint8_t {
    kDrop,     // drop the cached data; data that are cached now cannot be kept later
    kRenew,    // drop the cached data; data that are cached now may be kept later
    kKeepAll,  // keep the cached data
  };

  // Remembers up to `max_files` files, at least 1. A file too many makes it forget all files; the
  // guest then reads each file once more.
  explicit KeptContents(size_t max_files) : max_files_(max_files) {}

  // Returns what the guest, which opens a file with these attributes, may keep. `coarse_times`: the
  // file system may have times as coarse as kCoarseTick. `now` is the host's real time.
  Answer Open(NodeId node, const FileAttributes& attributes, bool coarse_times,
              std::chrono::nanoseconds now);
  // Does the same for a directory. The guest may keep a listing no longer than `believed`, which is
  // how long it believes the attributes that came with the listing: after that time it would ask
  // for the attributes of each entry, while one new listing brings them all.
  Answer OpenDirectory(NodeId node, const FileAttributes& attributes, bool coarse_times,
                       std::chrono::nanoseconds now, std::chrono::nanoseconds believed);
  void Forget(NodeId node) { seen_.erase(static_cast<uint64_t>(node)); }
  void ForgetAll() { seen_.clear(); }

  size_t size() const { return seen_.size(); }

 private:
  // The state of a file when the guest dropped its cached data.
  struct Seen {
    uint64_t size_bytes;
    FileTime modified, changed;
    std::chrono::nanoseconds when;
  };

  const size_t max_files_;
  absl::flat_hash_map<uint64_t, Seen> seen_;  // by node
};

}  // namespace virtio

#endif  // VIRTIO_FS_KEPT_CONTENTS_H_
