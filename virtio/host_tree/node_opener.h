// Opening the files that a guest knows, and looking at them.
#ifndef VIRTIO_HOST_TREE_NODE_OPENER_H_
#define VIRTIO_HOST_TREE_NODE_OPENER_H_

#include <sys/stat.h>

#include <string>

#include "base/unique_fd.h"
#include "virtio/host_tree/directory_cache.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/host_root.h"
#include "virtio/host_tree/node_table.h"

namespace virtio {

// Reaches the file of a node through a descriptor that is still open, or else by the name under
// which the file was last found. A function that needs the name returns ESTALE if another file has
// it now, or if the guest has removed it. One thread.
class NodeOpener {
 public:
  // Both must outlive this object.
  NodeOpener(HostRoot& root, DirectoryCache& directories)
      : root_(root), directories_(directories) {}

  // Gives the descriptor of a directory, often O_PATH, and opens the directory if it is closed. The
  // descriptor is valid until the next call. ENOTDIR for other types, ELOOP below kMaxDepth. The
  // way down is opened path by path, and a path has room for at least 15 names. So a guest that
  // makes its directories close by using others costs at most kMaxDepth / 15 opens a request.
  HostError DirectoryFd(Node& node, int& fd);
  // Gives a descriptor of a node of any type, often O_PATH. The descriptor is valid until the next
  // call or, if it had to be opened for this call, as long as `opened`.
  HostError NodeFd(Node& node, int& fd, base::UniqueFd& opened);
  // Opens a regular file. `flags` are the access mode and O_APPEND.
  HostError Open(Node& node, int flags, base::UniqueFd& fd);
  // Opens a directory for reading its entries, for flushing, or for its extended attributes.
  HostError OpenDirectory(Node& node, base::UniqueFd& fd);
  // Opens a node with O_PATH by a path below an open directory. The path has at most PATH_MAX - 1
  // bytes.
  HostError OpenPathIn(int directory_fd, const char* path, const Node& node, base::UniqueFd& fd);
  // Looks at a node.
  HostError Status(Node& node, struct statx& status);
  // Puts the target of a symbolic link into `target`.
  HostError ReadLink(Node& node, std::string& target);

 private:
  // Opens `node` with O_PATH by its name.
  HostError OpenPath(Node& node, base::UniqueFd& fd);

  HostRoot& root_;
  DirectoryCache& directories_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_NODE_OPENER_H_
