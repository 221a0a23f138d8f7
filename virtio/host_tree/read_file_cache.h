// The files of a share that are open for reading and registered with the loop that reads them.
#ifndef VIRTIO_HOST_TREE_READ_FILE_CACHE_H_
#define VIRTIO_HOST_TREE_READ_FILE_CACHE_H_

#include <cstdint>
#include <list>

#include "absl/container/flat_hash_map.h"
#include "base/event_loop.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {

// Keeps the files that were read last open, for guests that read without opening. Loop thread.
class ReadFileCache {
 public:
  struct CachedFile {
    NodeId node;
    base::LoopFile file;
    uint64_t size_bytes = 0;  // when the file was opened
    uint32_t users = 0;
    bool dropped = false;  // to be closed when the last user is done
  };

  // Holds up to `max_files` open, or more if more are in use at the same time. The loop must be
  // able to take and remove files while it runs.
  ReadFileCache(HostTree& tree, base::EventLoop& loop, uint32_t max_files)
      : tree_(tree), loop_(loop), max_files_(max_files) {}
  ~ReadFileCache();  // no file may be in use
  ReadFileCache(const ReadFileCache&) = delete;
  ReadFileCache& operator=(const ReadFileCache&) = delete;

  // Gives a file that can be read until Release.
  HostError Acquire(NodeId node, CachedFile*& file);
  void Release(CachedFile& file);
  // Must be called when a node, or all nodes, are gone. Closes their files as soon as these are not
  // in use.
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
