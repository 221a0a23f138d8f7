// The nodes of a share that are held open.
#ifndef VIRTIO_HOST_TREE_DIRECTORY_CACHE_H_
#define VIRTIO_HOST_TREE_DIRECTORY_CACHE_H_

#include <cstdint>

#include "base/unique_fd.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/node_table.h"

namespace virtio {

// Keeps O_PATH descriptors of the nodes that were used last. These are directories, and files that
// could not be found again by name. `path_fd` of a node is its descriptor. A node must be closed
// before its life ends. One thread.
class DirectoryCache {
 public:
  // Keeps up to `max_open` descriptors, at least 2.
  explicit DirectoryCache(uint32_t max_open) : max_open_(max_open) {}
  ~DirectoryCache();
  DirectoryCache(const DirectoryCache&) = delete;
  DirectoryCache& operator=(const DirectoryCache&) = delete;

  // Keeps a node open until `max_open` other nodes were used after it. The node must not be kept
  // yet.
  void Keep(Node& node, base::UniqueFd fd);
  // Makes a node that is kept the one that was used last.
  void Touch(Node& node);
  // Closes a node. No effect on a node that is not kept.
  void Close(Node& node);
  // If `error` says that no descriptors are left, closes all nodes but the newest, which is in use.
  // Returns true if the caller should try again.
  bool GivesUp(HostError error);

  uint32_t size() const { return open_; }

 private:
  void Append(Node& node);
  void Remove(Node& node);

  const uint32_t max_open_;
  uint32_t open_ = 0;
  Node* newest_ = nullptr;  // the open nodes form a list in order of use
  Node* oldest_ = nullptr;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_DIRECTORY_CACHE_H_
