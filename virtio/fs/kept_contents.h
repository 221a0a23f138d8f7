// What a guest may keep of the contents of files and directories when it opens them again.
#ifndef VIRTIO_FS_KEPT_CONTENTS_H_
#define VIRTIO_FS_KEPT_CONTENTS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {

// Remembers how each file was when its guest last dropped what it had cached of it: what the guest
// has cached since is of that file or of a newer one. So if the file is still the same when it is
// opened again, the guest may keep what it has. The same means: size, time of modification and
// time of change are, and the time of change lay far enough back to begin with, since a file that
// changes twice within one tick of its clock shows one time. Loop thread.
//
// A process of the host that writes through a shared mapping changes those times when it first
// writes to a page, and again only after the host has written that page back.
class KeptContents {
 public:
  // How long a time of change has to lie back: longer than a tick of Linux (10 ms at most); or than
  // one of vfat (2 s), for file systems of which no more is known, and for whole seconds.
  static constexpr std::chrono::milliseconds kTick{50};
  static constexpr std::chrono::milliseconds kCoarseTick{2000};

  enum class Answer : uint8_t {
    kDrop,     // what is cached; nor is it known what is cached from here on
    kRenew,    // drop what is cached; what is cached from here on may be kept
    kKeepAll,  // what is cached
  };

  // Remembers up to `max_files`, at least 1. If they are more all are forgotten, which costs each
  // of them one time of reading.
  explicit KeptContents(size_t max_files) : max_files_(max_files) {}

  // The guest opens a file that has these attributes now; `now` is the host's real time.
  Answer Open(NodeId node, const FileAttributes& attributes, bool coarse_times,
              std::chrono::nanoseconds now);
  // The same for a directory. A listing is kept no longer than `believed`, which is how long the
  // guest believes what it was told of the entries with the listing: later it would ask for each
  // of them where a new listing answers for all.
  Answer OpenDirectory(NodeId node, const FileAttributes& attributes, bool coarse_times,
                       std::chrono::nanoseconds now, std::chrono::nanoseconds believed);
  void Forget(NodeId node) { seen_.erase(static_cast<uint64_t>(node)); }
  void ForgetAll() { seen_.clear(); }

  size_t size() const { return seen_.size(); }

 private:
  // A file when the guest dropped what it had cached of it.
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
