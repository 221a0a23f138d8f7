// The file systems of the host that a guest may see, and what their inode numbers are worth.
#ifndef VIRTIO_HOST_TREE_HOST_FILE_SYSTEMS_H_
#define VIRTIO_HOST_TREE_HOST_FILE_SYSTEMS_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"

namespace virtio {

// What tells whether a file is still the file that was seen.
enum class FileNumbers : uint8_t {
  kOwn,     // its inode number, which no other file gets, or not while the share is there
  kReused,  // the number and the time of birth; without one, the file handle
  kPinned,  // the number, but only while the host's kernel holds the inode
};

// Where the number in a directory's entry can be another than that of the file.
enum class EntryNumbers : uint8_t {
  kSame,
  kDirectoriesDiffer,  // those that are subvolumes
  kDiffer,             // any
};

struct FileSystemKind {
  uint64_t magic;  // statfs f_type
  FileNumbers numbers = FileNumbers::kOwn;
  EntryNumbers entries = EntryNumbers::kSame;
  // Files lie on another machine: one that is removed while the host holds it keeps a hidden name
  // there, and that machine takes set-id bits off by its own rules.
  bool remote = false;
};

// Returns what is known of the file systems with this statfs f_type, or nullptr: the guest may not
// see them. In procfs and its like a regular file can be anything, vmm's own memory too, and a list
// of such file systems would never be complete.
const FileSystemKind* FindFileSystemKind(uint64_t magic);

// Makes of inode numbers, which are unique in one file system of the host, numbers that are unique
// in the share: to the guest it is one file system. Files on the device of the root keep their
// numbers. One thread.
class InodeNumbers {
 public:
  explicit InodeNumbers(uint32_t root_device) { indices_[root_device] = 0; }

  // Numbers below 2^48 of the first 32768 devices are told apart for certain, all others by a hash
  // of 63 bits.
  uint64_t ToGuest(uint32_t device, uint64_t inode);

 private:
  absl::flat_hash_map<uint32_t, uint16_t> indices_;  // of devices, in the order they were seen
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_HOST_FILE_SYSTEMS_H_
