// Names of files in a directory, in the form that the host's calls take.
#ifndef VIRTIO_HOST_TREE_FILE_NAME_H_
#define VIRTIO_HOST_TREE_FILE_NAME_H_

#include <errno.h>
#include <limits.h>

#include "absl/strings/string_view.h"
#include "virtio/host_tree/host_error.h"

namespace virtio {

// Returns 0 if `name` names a file in a directory. A path, "." and ".." are EINVAL.
inline HostError CheckFileName(absl::string_view name) {
  if (name.size() > NAME_MAX) return ENAMETOOLONG;
  if (name.empty() || name == "." || name == ".." || name.find('/') != absl::string_view::npos ||
      name.find('\0') != absl::string_view::npos) {
    return EINVAL;
  }
  return 0;
}

// A NUL-terminated copy of a name that CheckFileName accepts.
struct NameBuffer {
  explicit NameBuffer(absl::string_view name) { bytes[name.copy(bytes, NAME_MAX)] = '\0'; }
  char bytes[NAME_MAX + 1];
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_FILE_NAME_H_
