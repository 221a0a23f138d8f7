// The files that the fids of a share are open on, if something may change in the share.
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

// Fids that are open on a file in the same way share a descriptor. A guest that caches what it
// writes has a fid open on every file that it has ever written, so descriptors that were not used
// for long are closed, and opened again when they are needed. Loop thread.
//
// A write-back that fails is told once to each descriptor that was open by then, and to the next
// one that is opened if nobody was told. So closing loses an error only if another process flushes
// the file before it is opened again here, or the host drops its inode. Flushing each file before
// it is closed would find those too, and make a guest that unpacks an archive wait for the disk as
// often as it makes files.
class P9OpenFiles {
 public:
  struct OpenFile {
    NodeId node;
    int access = 0;                  // O_ACCMODE, or O_DIRECTORY
    std::unique_ptr<HostFile> host;  // null while it is closed
    base::LoopFile loop_file;        // the same
    uint32_t fids = 0;               // that are open on it
    uint32_t users = 0;              // operations in flight
    // Whether it would be found and opened again by its name; what would not stays open.
    enum class Way : uint8_t { kThere, kDoubtful, kGone } way = Way::kThere;
    std::list<OpenFile*>::iterator position;
  };

  // What a file takes of memory, its place in the tables too. It counts as a node of the tree.
  static constexpr size_t kFileBytes = 2 * (sizeof(OpenFile) + sizeof(uint64_t) + sizeof(int));

  // Keeps up to `max_files` open, and what is being flushed. The loop's files must be able to come
  // and go.
  P9OpenFiles(HostTree& tree, base::EventLoop& loop, uint32_t max_files)
      : tree_(tree), loop_(loop), max_files_(max_files) {}
  ~P9OpenFiles();  // none may be in use
  P9OpenFiles(const P9OpenFiles&) = delete;
  P9OpenFiles& operator=(const P9OpenFiles&) = delete;

  // True if there is room for one more, which may close another.
  bool MakeRoom();
  // A fid is open on a file from here on, until Close: 0 or an errno. `access` is O_RDONLY,
  // O_WRONLY, O_RDWR, or O_DIRECTORY for a directory that is to be flushed.
  HostError Open(NodeId node, int access, OpenFile*& file);
  // The same with a file that was made just now, by the caller who gave it `mode`.
  HostError Add(std::unique_ptr<HostFile> made, int access, uint32_t mode, OpenFile*& file);
  void Close(OpenFile& file);
  // An operation begins with the file, which is opened again if need be, or ends.
  HostError Begin(OpenFile& file) { return Begin(file, Room::kNeeded); }
  // The same to flush it, which needs no room: a database gives up on a flush that fails.
  HostError BeginFlush(OpenFile& file) { return Begin(file, Room::kNotNeeded); }
  // The same for a node that no fid may be open on.
  HostError BeginFlush(NodeId node, int access, OpenFile*& file);
  void End(OpenFile& file);
  // The file is about to lose its name, or the mode by which it can be opened.
  void Doubt(NodeId node);
  // All fids are gone.
  void CloseAll();

  bool empty() const { return files_.empty(); }
  // Descriptors.
  size_t open_count() const { return open_.size(); }

 private:
  using Key = std::pair<uint64_t, int>;
  enum class Room : uint8_t { kNeeded, kNotNeeded };

  // Returns nullptr if there is no memory for one more.
  OpenFile* Insert(NodeId node, int access);
  HostError Begin(OpenFile& file, Room room);
  HostError OpenHost(OpenFile& file, Room room = Room::kNeeded);
  // Takes the descriptor that was just opened.
  HostError KeepOpen(OpenFile& file, std::unique_ptr<HostFile> host, Room room = Room::kNeeded);
  void CloseHost(OpenFile& file);
  // Closes the descriptor that was not used for longest; false if all are needed.
  bool CloseOldest();
  bool MayClose(OpenFile& file);
  void RemoveUnused(OpenFile& file);

  HostTree& tree_;
  base::EventLoop& loop_;
  const uint32_t max_files_;
  absl::flat_hash_map<Key, std::unique_ptr<OpenFile>> files_;
  std::list<OpenFile*> open_;  // those with a descriptor, newest first
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_OPEN_FILES_H_
