// The nodes of a share that are held open.
#ifndef VIRTIO_HOST_TREE_DIRECTORY_CACHE_H_
#define VIRTIO_HOST_TREE_DIRECTORY_CACHE_H_

#include <cstdint>

#include "base/unique_fd.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/node_table.h"

namespace virtio {

// Keeps O_PATH descriptors of the nodes that were used last: of directories, and of files that
// could not be found again by name. A node has its descriptor in `path_fd`. Nodes must be closed
// before they end. One thread.
class DirectoryCache {
 public:
  // Keeps up to `max_open` descriptors, at least 2.
  explicit DirectoryCache(uint32_t max_open) : max_open_(max_open) {}
  ~DirectoryCache();
  DirectoryCache(const DirectoryCache&) = delete;
  DirectoryCache& operator=(const DirectoryCache&) = delete;

  // Keeps a node, which is not kept yet, open until it was not used for long.
  void Keep(Node& node, base::UniqueFd fd);
  // A node that is kept is used.
  void Touch(Node& node);
  // No effect on a node that is not kept.
  void Close(Node& node);
  // If `error` says that there are no descriptors left, closes all but the newest, which is in use.
  // Returns true if it is worth to try again.
  bool GivesUp(HostError error);

  uint32_t size() const { return open_; }

 private:
  void Append(Node& node);
  void Remove(Node& node);

  const uint32_t max_open_;
  uint32_t open_ = 0;
  Node* newest_ = nullptr;  // the open ones, in order of use
  Node* oldest_ = nullptr;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_DIRECTORY_CACHE_H_
