// The closure of a share: which names of its root there are for the guest.
#ifndef VIRTIO_HOST_TREE_CLOSURE_VIEW_H_
#define VIRTIO_HOST_TREE_CLOSURE_VIEW_H_

#include <time.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "virtio/host_tree/closure.h"

namespace virtio {

// The names that a closure file has listed so far, all of which are in the root. One thread.
class ClosureView {
 public:
  // `root_fd` is of the root, also O_PATH, and stays open; `root_path` is for messages.
  ClosureView(ClosureFile file, int root_fd, std::string root_path);

  // Reads the file. Names that are new in it become visible, and none disappears. May block. On an
  // error nothing changes; it is one line: key, file, errno or missing path.
  absl::Status Read();
  bool Contains(absl::string_view name) const { return visible_.Contains(name); }
  size_t size() const { return visible_.size(); }
  // Names are numbered in the order in which they came. No NUL is behind a name.
  absl::string_view operator[](size_t i) const { return visible_[i]; }
  // The host's real time when the file was last read.
  const timespec& read_at() const { return read_at_; }

 private:
  // Looks for each name at the root.
  absl::Status CheckEach(const NameSet& names) const;
  absl::Status MissingError(absl::string_view name) const;

  const ClosureFile file_;
  const int root_fd_;
  const std::string root_path_;
  NameSet visible_;
  timespec read_at_ = {};
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_CLOSURE_VIEW_H_
