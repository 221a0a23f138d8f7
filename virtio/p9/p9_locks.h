// The advisory locks of a guest on the files of a share.
#ifndef VIRTIO_P9_P9_LOCKS_H_
#define VIRTIO_P9_P9_LOCKS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "virtio/host_tree/host_file.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {

// All locks of a guest on a file are those of one open file description of the host, which others
// on the host see. Which of its processes has which part is kept here: some have the same file open
// by several fids, and some a fid together. Nothing waits. One thread.
class P9Locks {
 public:
  // A process as it acts by a fid; it is the same owner as another with this fid or this process.
  struct Owner {
    uint32_t fid = 0;
    uint32_t process = 0;  // the guest's
  };

  // Locks are on up to `max_files` files at a time.
  P9Locks(HostTree& tree, uint32_t max_files) : tree_(tree), max_files_(max_files) {}
  P9Locks(const P9Locks&) = delete;
  P9Locks& operator=(const P9Locks&) = delete;

  // Sets or gives up a lock, where the owner had another in place of that. Returns 0, EAGAIN if
  // somebody else's is in the way, ENOLCK if there are too many, or the host's errno.
  HostError Set(NodeId node, const Owner& owner, const FileLock& lock);
  // Makes `lock` one that is in the way of it, and `process` whose that is (0: of the host), or
  // sets its type to F_UNLCK.
  HostError Get(NodeId node, const Owner& owner, FileLock& lock, uint32_t& process);
  // The fid is gone: its locks are given up.
  void Drop(NodeId node, uint32_t fid);
  void DropAll() { files_.clear(); }

  // Files that are locked, each with a descriptor.
  size_t size() const { return files_.size(); }

 private:
  struct Held {
    Owner owner;
    int16_t type = 0;
    uint64_t start = 0;
    uint64_t end = 0;
  };
  struct LockedFile {
    std::unique_ptr<HostFile> host;
    std::vector<Held> held;
  };

  static const Held* FindConflict(const LockedFile& file, const Owner& owner, int16_t type,
                                  uint64_t start, uint64_t end);
  // Takes [start, end) off what is held by those of whom `is_owner` is true.
  template <typename IsOwner>
  static void Cut(std::vector<Held>& held, uint64_t start, uint64_t end, IsOwner is_owner);
  // Gives up what nobody holds of [start, end), and the file if nothing is left.
  void Unlock(NodeId node, LockedFile& file, uint64_t start, uint64_t end);
  HostError OpenHost(NodeId node, std::unique_ptr<HostFile>& host);

  HostTree& tree_;
  const uint32_t max_files_;
  absl::flat_hash_map<uint64_t, LockedFile> files_;  // by node
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_LOCKS_H_
