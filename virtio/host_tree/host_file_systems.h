// The file systems of the host that a guest may see, and what their inode numbers are worth.
#ifndef VIRTIO_HOST_TREE_HOST_FILE_SYSTEMS_H_
#define VIRTIO_HOST_TREE_HOST_FILE_SYSTEMS_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"

namespace virtio {

// What identifies a file, so that it is known when it is seen again.
enum class FileNumbers : uint8_t {
  kOwn,     // the inode number: no other file gets it, or not while the share exists
  kReused,  // the number and the time of birth, or the file handle if there is no such time
  kPinned,  // the number, but only as long as the host's kernel holds the inode
};

// Which entries of a directory can have another inode number than the file that they name.
enum class EntryNumbers : uint8_t {
  kSame,
  kDirectoriesDiffer,  // directories, because they can be subvolumes
  kDiffer,             // all entries
};

struct FileSystemKind {
  uint64_t magic;  // statfs f_type
  FileNumbers numbers = FileNumbers::kOwn;
  EntryNumbers entries = EntryNumbers::kSame;
  // The files are on another machine. A file that is removed while the host has it open keeps a
  // hidden name there, and that machine takes set-id bits off by its own rules.
  bool remote = false;
};

// Returns what is known of the file systems with this statfs f_type. Returns nullptr if the guest
// may not see such file systems. Only known kinds are allowed, because a list of dangerous kinds
// would never be complete: in procfs and others like it, a regular file can be anything, even vmm's
// own memory.
const FileSystemKind* FindFileSystemKind(uint64_t magic);

// Turns inode numbers, which are unique in one file system of the host, into numbers that are
// unique in the share, because the guest sees the share as one file system. Files on the device of
// the root keep their numbers. One thread.
class InodeNumbers {
 public:
  explicit InodeNumbers(uint32_t root_device) { indices_[root_device] = 0; }

  // Two files never get one number if their inode numbers are below 2^48 and their devices are
  // among the first 32768. All other numbers are hashes of 63 bits.
  uint64_t ToGuest(uint32_t device, uint64_t inode);

 private:
  // The indices of devices, in the order in which the devices were seen.
  absl::flat_hash_map<uint32_t, uint16_t> indices_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_HOST_FILE_SYSTEMS_H_
