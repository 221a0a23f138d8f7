// A file of the host that the guest has open.
#ifndef VIRTIO_HOST_TREE_HOST_FILE_H_
#define VIRTIO_HOST_TREE_HOST_FILE_H_

#include <fcntl.h>

#include <cstdint>

#include "base/unique_fd.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/node_table.h"

namespace virtio {

// What has to be on the disk before a change of a file's content is answered. The loop flushes: a
// descriptor that is O_SYNC or O_DSYNC would have the host flush within the call that changes the
// file, and with it hold up whatever else the thread serves.
enum class FileSync : uint8_t { kNone, kData, kAll };

// What the flags of an open(2) or a write ask for.
inline FileSync SyncOf(uint32_t open_flags) {
  constexpr uint32_t kAllBit = O_SYNC & ~O_DSYNC;  // O_SYNC has both
  if ((open_flags & kAllBit) != 0) return FileSync::kAll;
  return (open_flags & O_DSYNC) != 0 ? FileSync::kData : FileSync::kNone;
}

// A lock on a range of a file. It belongs to the HostFile by which it was set: other HostFiles,
// other guests and the host's processes see it as they see each other's.
struct FileLock {
  int16_t type = 0;  // F_RDLCK, F_WRLCK, F_UNLCK
  uint64_t start = 0;
  uint64_t length = 0;  // 0: to the end, wherever that will be
};

// An open file, or a directory opened to be flushed. As long as it is there the tree finds its node
// by it, even if no name leads there any more. The nodes must outlive it; same thread. Reading,
// writing, allocating and flushing are the event loop's, by `fd`. Functions return 0 or an errno.
class HostFile {
 public:
  // `fd` is of `node`, which is in `nodes`.
  HostFile(NodeTable& nodes, Node& node, base::UniqueFd fd);
  ~HostFile();
  HostFile(const HostFile&) = delete;
  HostFile& operator=(const HostFile&) = delete;

  NodeId node() const { return node_.id; }
  int fd() const { return fd_.get(); }

  // Finds data or a hole from `offset` on; `whence` is SEEK_DATA or SEEK_HOLE. ENXIO: there is
  // none.
  HostError Seek(uint64_t offset, int whence, uint64_t& found) const;
  // Copies at most `bytes`, and not more than 256 KiB at a time, within the host.
  HostError CopyTo(const HostFile& to, uint64_t offset, uint64_t to_offset, uint64_t bytes,
                   uint64_t& copied) const;

  // Never wait: EAGAIN if another has a lock there.
  HostError SetLock(const FileLock& lock) const;
  // Makes `lock` the one that would be in the way of it, or sets its type to F_UNLCK.
  HostError GetLock(FileLock& lock) const;

 private:
  NodeTable& nodes_;
  Node& node_;
  const base::UniqueFd fd_;
  HostFile* next_;  // of the same node
  HostFile* previous_ = nullptr;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_HOST_FILE_H_
