// What a FUSE server does: one session of a guest with one tree of the host.
#ifndef VIRTIO_FS_FS_SERVER_H_
#define VIRTIO_FS_FS_SERVER_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "virtio/device.h"
#include "virtio/fs/fs_request.h"
#include "virtio/fs/fs_wire.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/open_files.h"

namespace virtio {

// How long a guest may believe what it was told without asking again.
enum class FsCache : uint8_t {
  kNever,   // not at all, data neither
  kAuto,    // names and attributes 1 s, data until the file is opened again
  kAlways,  // for ever: nothing in the tree changes but its root
};

// Answers everything but READ, whose data takes another way (FsQueue). For shares that are read
// only. All on the loop's thread.
class FsServer {
 public:
  struct Reply {
    int error = 0;                          // an errno; then there is no payload
    std::span<const uint8_t> payload = {};  // valid until the next call
  };

  // All must outlive the server.
  FsServer(HostTree& tree, OpenFiles& files, FsCache cache);

  // Counts a request. Every request is counted, once, before anything else.
  void Count(const FsCommand& command);
  // Executes a well-formed request other than READ and those without an answer; `room` is how many
  // bytes of payload the guest has a place for.
  Reply Execute(const FsCommand& command, uint32_t room);
  // Checks a READ and opens its file for it: 0, or an errno.
  int BeginRead(const FsCommand& command, OpenFiles::File*& file);
  void EndRead(OpenFiles::File& file) { files_.Release(file); }
  void Forget(uint64_t node, uint64_t count);
  // The guest, or its driver, is gone: forgets what it held.
  void EndSession();

  void AddCounters(Counters& counters) const;

 private:
  static constexpr size_t kOpcodes = 64;  // as many are counted one by one
  static constexpr size_t kReplyBytes = 64 << 10;

  Reply Init(const FsCommand& command);
  Reply Lookup(const FsCommand& command, uint32_t room);
  Reply GetAttributes(const FsCommand& command);
  Reply ReadLink(const FsCommand& command);
  Reply Open(const FsCommand& command, bool is_directory);
  Reply ReadDirectory(const FsCommand& command, uint32_t room);
  Reply GetFileSystem();

  // Appends to the reply; false, and nothing appended, if there is no room up to `limit`.
  bool AppendEntry(const FsCommand& command, const DirectoryEntry& entry, size_t limit);
  template <typename T>
  Reply Answer(const T& value);
  fuse_entry_out ToEntry(const FoundNode& found) const;
  static fuse_attr ToAttr(const FileAttributes& attributes);
  std::chrono::seconds AttributeTime(uint64_t node) const;
  std::chrono::seconds NegativeTime(uint64_t directory) const;

  HostTree& tree_;
  OpenFiles& files_;
  const FsCache cache_;
  bool initialized_ = false;
  std::vector<uint8_t> reply_;
  size_t reply_size_ = 0;
  std::string link_target_;
  std::array<uint64_t, kOpcodes> requests_ = {};
  uint64_t other_requests_ = 0;
  uint64_t requests_below_root_ = 0;
  uint64_t malformed_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_FS_FS_SERVER_H_
