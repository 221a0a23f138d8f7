// The files that fids have open, in a share in which something may change.
#ifndef VIRTIO_P9_P9_OPEN_FILES_H_
#define VIRTIO_P9_P9_OPEN_FILES_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/event_loop.h"
#include "virtio/host_tree/host_file.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {

// Fids that have a file open in the same way share a descriptor. A guest that caches its writes
// keeps a fid open on every file that it has ever written. So this class closes the descriptors
// that were not used for longest, and opens them again when they are needed. Loop thread.
//
// If a write-back fails, Linux reports the error once to each descriptor that was open at that
// time. If no descriptor was told, Linux reports the error to the next descriptor that is opened.
// So closing a descriptor loses the error only if another process flushes the file before it is
// opened again here, or if the host drops the inode. Flushing each file before closing it would
// find these errors, too, but a guest that unpacks an archive would wait for the disk once for each
// file.
class P9OpenFiles {
 public:
  struct OpenFile {
    NodeId node;
    int access = 0;                  // O_ACCMODE, or O_DIRECTORY
    std::unique_ptr<HostFile> host;  // null while it is closed
    base::LoopFile loop_file;        // invalid while the file is closed
    uint32_t fids = 0;               // fids that have the file open
    uint32_t users = 0;              // operations in flight
    // Whether the file, once closed, could be opened again by its name. If not, it stays open.
    enum class Way : uint8_t { kThere, kDoubtful, kGone } way = Way::kThere;
    std::list<OpenFile*>::iterator position;
  };

  // Memory for one file, including its place in the tables. It is charged to the tree.
  static constexpr size_t kFileBytes = 2 * (sizeof(OpenFile) + sizeof(uint64_t) + sizeof(int));

  // Keeps at most `max_files` files open, and beyond that only files that are being flushed. The
  // loop must accept temporary files.
  P9OpenFiles(HostTree& tree, base::EventLoop& loop, uint32_t max_files)
      : tree_(tree), loop_(loop), max_files_(max_files) {}
  ~P9OpenFiles();  // no file may be in use
  P9OpenFiles(const P9OpenFiles&) = delete;
  P9OpenFiles& operator=(const P9OpenFiles&) = delete;

  // Returns true if one more file can be opened. May close another file to make room.
  bool MakeRoom();
  // Opens a file for a fid, until Close. `access` is O_RDONLY, O_WRONLY, O_RDWR, or O_DIRECTORY for
  // a directory that is to be flushed.
  HostError Open(NodeId node, int access, OpenFile*& file);
  // Does the same with a file that the guest has just made with `mode`.
  HostError Add(std::unique_ptr<HostFile> made, int access, uint32_t mode, OpenFile*& file);
  void Close(OpenFile& file);
  // Begins an operation with the file, until End. Opens the file again if it was closed.
  HostError Begin(OpenFile& file) { return Begin(file, Room::kNeeded); }
  // Does the same for a flush. A flush may exceed `max_files`, because a database gives up if a
  // flush fails.
  HostError BeginFlush(OpenFile& file) { return Begin(file, Room::kNotNeeded); }
  // Does the same for a node that perhaps no fid has open.
  HostError BeginFlush(NodeId node, int access, OpenFile*& file);
  void End(OpenFile& file);
  // Notes that the file is about to lose its name, or the mode with which it can be opened.
  void Doubt(NodeId node);
  // Closes the files of all fids, which are gone.
  void CloseAll();

  bool empty() const { return files_.empty(); }
  // Returns the number of open descriptors.
  size_t open_count() const { return open_.size(); }

 private:
  using Key = std::pair<uint64_t, int>;
  enum class Room : uint8_t { kNeeded, kNotNeeded };

  // Returns the entry of the file, or nullptr if there is no memory for a new one.
  OpenFile* Insert(NodeId node, int access);
  HostError Begin(OpenFile& file, Room room);
  HostError OpenHost(OpenFile& file, Room room = Room::kNeeded);
  // Takes a descriptor that was just opened.
  HostError KeepOpen(OpenFile& file, std::unique_ptr<HostFile> host, Room room = Room::kNeeded);
  void CloseHost(OpenFile& file);
  // Closes the descriptor that was not used for longest. Returns false if all are needed.
  bool CloseOldest();
  bool MayClose(OpenFile& file);
  void RemoveUnused(OpenFile& file);

  HostTree& tree_;
  base::EventLoop& loop_;
  const uint32_t max_files_;
  absl::flat_hash_map<Key, std::unique_ptr<OpenFile>> files_;
  std::list<OpenFile*> open_;  // the files with a descriptor, the last used first
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_OPEN_FILES_H_
