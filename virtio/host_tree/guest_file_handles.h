// The files that a guest has open, by the number that the guest got for each.
#ifndef VIRTIO_HOST_TREE_GUEST_FILE_HANDLES_H_
#define VIRTIO_HOST_TREE_GUEST_FILE_HANDLES_H_

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "base/event_loop.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/host_file.h"

namespace virtio {

// Keeps each file open until the guest has closed it and all operations on it have ended. Loop
// thread.
class GuestFileHandles {
 public:
  struct Handle {
    uint64_t number = 0;
    std::unique_ptr<HostFile> file;
    base::LoopFile loop_file;
    FileSync sync = FileSync::kNone;  // of each change through this handle
    bool counted = true;              // against `max_files`
    bool closed = false;              // by the guest; the handle ends with its last user
    uint32_t users = 0;               // operations in flight
  };

  // Holds up to `max_files` open. The loop must be able to take and remove files while it runs.
  GuestFileHandles(base::EventLoop& loop, uint32_t max_files)
      : loop_(loop), max_files_(max_files) {}
  ~GuestFileHandles();  // no handle may be in use
  GuestFileHandles(const GuestFileHandles&) = delete;
  GuestFileHandles& operator=(const GuestFileHandles&) = delete;

  // True if Add would fail with ENFILE.
  bool full() const { return counted_ >= max_files_; }
  // Takes a file and gives its handle. ENFILE if the guest has too many files open.
  HostError Add(std::unique_ptr<HostFile> file, FileSync sync, Handle*& handle);
  // Takes a directory that is to be flushed. It does not count against `max_files`, since there are
  // no more such directories than requests in flight. The handle is in use and closed, so Release
  // ends it. ENFILE if the loop cannot take the directory.
  HostError AddForFlush(std::unique_ptr<HostFile> directory, Handle*& handle);
  // Returns the handle with this number, or nullptr if there is none or its file is not of this
  // node. The number can be anything.
  Handle* Find(uint64_t number, NodeId node);
  // Must be called when an operation with the file begins, and when it ends.
  void Use(Handle& handle) { ++handle.users; }
  void Release(Handle& handle);
  // Closes the handle with this number, or all handles: at once, or when their last users are done.
  // Numbers that were not given out have no effect.
  void Close(uint64_t number);
  void CloseAll();

  size_t size() const { return by_number_.size() + closed_.size(); }

 private:
  using Table = absl::flat_hash_map<uint64_t, std::unique_ptr<Handle>>;
  HostError Insert(std::unique_ptr<HostFile> file, Handle*& handle);
  void Close(std::unique_ptr<Handle> handle);
  void Drop(const Handle& handle);

  base::EventLoop& loop_;
  const uint32_t max_files_;
  uint32_t counted_ = 0;
  uint64_t last_number_ = 0;  // each number is used once, 0 never
  Table by_number_;
  Table closed_;  // closed by the guest and still in use
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_GUEST_FILE_HANDLES_H_
