// The files that a guest has open, by the number it was given for each.
#ifndef VIRTIO_HOST_TREE_GUEST_FILE_HANDLES_H_
#define VIRTIO_HOST_TREE_GUEST_FILE_HANDLES_H_

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "base/event_loop.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/host_file.h"

namespace virtio {

// Keeps open what a guest has opened, until it closes it and what it began with it has ended. Loop
// thread.
class GuestFileHandles {
 public:
  struct Handle {
    uint64_t number = 0;
    std::unique_ptr<HostFile> file;
    base::LoopFile loop_file;
    FileSync sync = FileSync::kNone;  // of what changes the file by this handle
    bool counted = true;              // against `max_files`
    bool closed = false;              // by the guest; gone when the last user is done
    uint32_t users = 0;               // operations in flight
  };

  // Holds up to `max_files`; the loop's files must be able to come and go.
  GuestFileHandles(base::EventLoop& loop, uint32_t max_files)
      : loop_(loop), max_files_(max_files) {}
  ~GuestFileHandles();  // none may be in use
  GuestFileHandles(const GuestFileHandles&) = delete;
  GuestFileHandles& operator=(const GuestFileHandles&) = delete;

  // True if Add would say ENFILE.
  bool full() const { return counted_ >= max_files_; }
  // Takes a file and returns 0 and its handle, or ENFILE: the guest has too many open.
  HostError Add(std::unique_ptr<HostFile> file, FileSync sync, Handle*& handle);
  // Takes a directory that is to be flushed, which needs no room: there are as many as requests in
  // flight. The handle is in use and closed, so that Release ends it. 0, or ENFILE if the loop
  // cannot take it.
  HostError AddForFlush(std::unique_ptr<HostFile> directory, Handle*& handle);
  // Returns the handle with this number, any number, that is of this node; or nullptr.
  Handle* Find(uint64_t number, NodeId node);
  // An operation begins with the file, or ends.
  void Use(Handle& handle) { ++handle.users; }
  void Release(Handle& handle);
  // The guest closes it, or is gone. No effect on numbers that were not given out.
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
  uint64_t last_number_ = 0;  // 0 is none; used once each
  Table by_number_;
  Table closed_;  // still in use
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_GUEST_FILE_HANDLES_H_
