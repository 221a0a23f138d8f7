// The files of a share that are open for reading, registered with the loop that reads them.
#ifndef VIRTIO_HOST_TREE_READ_FILE_CACHE_H_
#define VIRTIO_HOST_TREE_READ_FILE_CACHE_H_

#include <cstdint>
#include <list>

#include "absl/container/flat_hash_map.h"
#include "base/event_loop.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {

// Keeps the files that were used last open, for guests that read without opening. Loop thread.
class ReadFileCache {
 public:
  struct CachedFile {
    NodeId node;
    base::LoopFile file;
    uint64_t size_bytes = 0;  // when it was opened
    uint32_t users = 0;
    bool dropped = false;  // closed when the last user is done
  };

  // Holds up to `max_files` open, or those in use if they are more. The loop's files must be able
  // to come and go.
  ReadFileCache(HostTree& tree, base::EventLoop& loop, uint32_t max_files)
      : tree_(tree), loop_(loop), max_files_(max_files) {}
  ~ReadFileCache();  // none may be in use
  ReadFileCache(const ReadFileCache&) = delete;
  ReadFileCache& operator=(const ReadFileCache&) = delete;

  // Returns 0 and a file to read from until Release, or an errno.
  HostError Acquire(NodeId node, CachedFile*& file);
  void Release(CachedFile& file);
  // The node is gone, or all are: files are closed as soon as they are not in use.
  void Drop(NodeId node);
  void DropAll();

  size_t size() const { return by_node_.size(); }

 private:
  using Iterator = std::list<CachedFile>::iterator;
  HostError Open(NodeId node, CachedFile& file);
  // Closes files that are not in use, oldest first, while more than `keep` are open.
  void CloseUnused(size_t keep);
  void Close(Iterator file);

  HostTree& tree_;
  base::EventLoop& loop_;
  const uint32_t max_files_;
  std::list<CachedFile> files_;    // newest first
  std::list<CachedFile> dropped_;  // still in use
  absl::flat_hash_map<uint64_t, Iterator> by_node_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_READ_FILE_CACHE_H_
