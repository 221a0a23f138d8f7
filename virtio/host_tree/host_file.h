// A file of the host that the guest has open.
#ifndef VIRTIO_HOST_TREE_HOST_FILE_H_
#define VIRTIO_HOST_TREE_HOST_FILE_H_

#include <fcntl.h>

#include <cstdint>

#include "base/unique_fd.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/node_table.h"

namespace virtio {

// What must be on the disk before the guest gets the answer to a change of a file's content. The
// event loop does the flush. With an O_SYNC or O_DSYNC descriptor, the host would flush within the
// call that changes the file, and the thread could serve nothing else meanwhile.
enum class FileSync : uint8_t { kNone, kData, kAll };

// Returns what the flags of an open(2) or of a write ask for.
inline FileSync SyncOf(uint32_t open_flags) {
  constexpr uint32_t kAllBit = O_SYNC & ~O_DSYNC;  // O_SYNC has both bits
  if ((open_flags & kAllBit) != 0) return FileSync::kAll;
  return (open_flags & O_DSYNC) != 0 ? FileSync::kData : FileSync::kNone;
}

// A lock on a range of a file. The lock belongs to the HostFile that set it. Other HostFiles, other
// guests and processes of the host see the lock as they see the locks of each other.
struct FileLock {
  int16_t type = 0;  // F_RDLCK, F_WRLCK, F_UNLCK
  uint64_t start = 0;
  uint64_t length = 0;  // 0: to the end of the file, also after the file has grown
};

// An open file, or a directory that is open to be flushed. As long as this object exists, the node
// stays, and the file is found through `fd` even if it has no name any more. `fd` is also how the
// event loop reads, writes, allocates and flushes. The node table must outlive this object. One
// thread. Functions return 0 or an errno.
class HostFile {
 public:
  // `fd` is an open descriptor of `node`, which is in `nodes`.
  HostFile(NodeTable& nodes, Node& node, base::UniqueFd fd);
  ~HostFile();
  HostFile(const HostFile&) = delete;
  HostFile& operator=(const HostFile&) = delete;

  NodeId node() const { return node_.id; }
  int fd() const { return fd_.get(); }

  // Finds data or a hole from `offset` on; `whence` is SEEK_DATA or SEEK_HOLE. ENXIO if there is
  // none.
  HostError Seek(uint64_t offset, int whence, uint64_t& found) const;
  // Copies up to `bytes`, but not more than 256 KiB at a time, within the host.
  HostError CopyTo(const HostFile& to, uint64_t offset, uint64_t to_offset, uint64_t bytes,
                   uint64_t& copied) const;

  // Sets a lock, or removes it if the type is F_UNLCK. Never waits: EAGAIN if another owner has a
  // lock there.
  HostError SetLock(const FileLock& lock) const;
  // Replaces `lock` by a lock that is in its way, or sets its type to F_UNLCK if there is none.
  HostError GetLock(FileLock& lock) const;

 private:
  NodeTable& nodes_;
  Node& node_;
  const base::UniqueFd fd_;
  HostFile* next_;  // the next open file of the same node
  HostFile* previous_ = nullptr;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_HOST_FILE_H_
