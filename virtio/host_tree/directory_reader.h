// Reading the entries of directories.
#ifndef VIRTIO_HOST_TREE_DIRECTORY_READER_H_
#define VIRTIO_HOST_TREE_DIRECTORY_READER_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "virtio/host_tree/closure_view.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/host_root.h"
#include "virtio/host_tree/node_opener.h"
#include "virtio/host_tree/node_table.h"

namespace virtio {

struct DirectoryEntry {
  absl::string_view name;    // also "." and ".."; valid during the call
  uint64_t inode = 0;        // as the guest sees it
  uint64_t next_offset = 0;  // of the entry after this one
  uint8_t type = 0;          // DT_*
};

// Reads directories in pieces. Keeps the directories that were read last open, each with the
// entries that the host gave and the guest has not seen yet, so that the next piece costs no call.
// One thread.
class DirectoryReader {
 public:
  // Returns false to end the reading before this entry, so that a later call can begin with it. May
  // look names up, but must not read directories.
  using Visitor = absl::FunctionRef<bool(const DirectoryEntry&)>;

  // Both must outlive this object.
  DirectoryReader(HostRoot& root, NodeOpener& opener) : root_(root), opener_(opener) {}

  // Calls `visit` for the entries from `offset` on. `offset` is 0 or the `next_offset` of an entry;
  // the host decides what any other offset means. With `looks_up`, `visit` looks up each entry that
  // can be looked up and takes the inode number from there.
  HostError Read(Node& directory, uint64_t offset, Visitor visit, bool looks_up);
  // Does the same for the root of a share with a closure. Offsets count the entries: ".", "..",
  // then the names of the closure in the order in which the closure got them.
  HostError ReadClosure(const ClosureView& closure, uint64_t offset, Visitor visit);
  // Closes a directory that is being read.
  void Close(NodeId directory);
  void CloseAll() { listings_.clear(); }

 private:
  // A directory that is kept open for the next piece.
  struct Listing {
    NodeId id;
    base::UniqueFd fd;
    uint64_t offset = 0;  // of the first entry left in `bytes`, or where the host continues
    size_t position = 0;  // of that entry in `bytes`
    size_t size = 0;      // of what the host has put into `bytes`
    std::vector<uint8_t> bytes;
  };

  // Gives the listing of a directory at `offset`.
  HostError FindListing(Node& directory, uint64_t offset, Listing*& listing);
  // Returns the inode number that the guest sees for an entry of a directory; `inode` and `type`
  // are the host's.
  uint64_t EntryInode(const Node& directory, int fd, const char* name, uint64_t inode, uint8_t type,
                      bool looks_up);

  HostRoot& root_;
  NodeOpener& opener_;
  std::list<Listing> listings_;  // the directory that was read last is first
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_DIRECTORY_READER_H_
