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

// On the host, all locks of a guest on a file belong to one open file description, and other
// processes of the host see these locks. This class remembers which process of the guest holds
// which part. Processes cannot be told apart by fids alone: a process can have several fids of a
// file, and several processes can share a fid. No function waits for a lock. One thread.
class P9Locks {
 public:
  // A process that acts by a fid. Two owners are the same if they have the same fid or the same
  // process.
  struct Owner {
    uint32_t fid = 0;
    uint32_t process = 0;  // the guest's
  };

  // Locks at most `max_files` files at a time.
  P9Locks(HostTree& tree, uint32_t max_files) : tree_(tree), max_files_(max_files) {}
  P9Locks(const P9Locks&) = delete;
  P9Locks& operator=(const P9Locks&) = delete;

  // Sets a lock, or gives locks up if the type is F_UNLCK. The new lock replaces the owner's locks
  // in its range. Returns EAGAIN if a lock of another owner is in the way, ENOLCK if there are too
  // many locks or locked files, or the host's errno.
  HostError Set(NodeId node, const Owner& owner, const FileLock& lock);
  // Replaces `lock` by a lock that is in its way, and sets `process` to the holder of that lock, or
  // to 0 if the holder is a process of the host. Sets the type of `lock` to F_UNLCK if no lock is
  // in the way.
  HostError Get(NodeId node, const Owner& owner, FileLock& lock, uint32_t& process);
  // Gives up all locks of a fid, which is gone.
  void Drop(NodeId node, uint32_t fid);
  void DropAll() { files_.clear(); }

  // Returns the number of locked files. Each has a descriptor.
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
  // Cuts [start, end) out of the locks of those owners for which `is_owner` is true.
  template <typename IsOwner>
  static void Cut(std::vector<Held>& held, uint64_t start, uint64_t end, IsOwner is_owner);
  // Unlocks on the host the parts of [start, end) that no process holds. Closes the file if none of
  // its locks is left.
  void Unlock(NodeId node, LockedFile& file, uint64_t start, uint64_t end);
  HostError OpenHost(NodeId node, std::unique_ptr<HostFile>& host);

  HostTree& tree_;
  const uint32_t max_files_;
  absl::flat_hash_map<uint64_t, LockedFile> files_;  // by node
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_LOCKS_H_
