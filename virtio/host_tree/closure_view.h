// The closure of a share: the names in its root that exist for the guest.
#ifndef VIRTIO_HOST_TREE_CLOSURE_VIEW_H_
#define VIRTIO_HOST_TREE_CLOSURE_VIEW_H_

#include <time.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "virtio/host_tree/closure.h"

namespace virtio {

// The names that a closure file has listed so far. All of them are in the root. One thread.
class ClosureView {
 public:
  // `root_fd` is a descriptor of the root, can be O_PATH, and must stay open. `root_path` is for
  // messages.
  ClosureView(ClosureFile file, int root_fd, std::string root_path);

  // Reads the file. New names become visible, and no name disappears. May block. On an error,
  // nothing changes. An error is one line: key, file, errno or missing path.
  absl::Status Read();
  bool Contains(absl::string_view name) const { return visible_.Contains(name); }
  size_t size() const { return visible_.size(); }
  // Returns a name by its number. Names are numbered from 0 in the order in which the file listed
  // them. No NUL follows a name.
  absl::string_view operator[](size_t i) const { return visible_[i]; }
  // The host's real time when the file was last read.
  const timespec& read_at() const { return read_at_; }

 private:
  // Checks that each name is in the root.
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
