// The FUSE server: one session of a guest with one tree of the host.
#ifndef VIRTIO_FS_FS_SERVER_H_
#define VIRTIO_FS_FS_SERVER_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "virtio/device.h"
#include "virtio/fs/dax_window.h"
#include "virtio/fs/fs_command.h"
#include "virtio/fs/fs_wire.h"
#include "virtio/fs/kept_contents.h"
#include "virtio/host_tree/guest_file_handles.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/read_file_cache.h"
#include "virtio/share/share_server.h"

namespace virtio {

// How long a guest may use cached names, attributes and data without asking again.
enum class FsCache : uint8_t {
  kNever,   // the guest caches nothing
  kAuto,    // names and attributes for 1 s; data until the guest opens a file that has changed
  kAlways,  // for ever: nothing changes except the list of names in the root
};

struct FsTransfer : FileTransfer {
  GuestFileHandles::Handle* handle = nullptr;  // where `file` comes from, if not from the cache
  uint64_t constant_size = UINT64_MAX;  // of a file that never changes; UINT64_MAX for others
  uint32_t copied_bytes = 0;            // COPY_FILE_RANGE: what the host has copied already
};

// Answers all requests but transfers, which FsQueue gives to the loop. Loop thread.
//
// A file that the guest opens stays open for the guest. In a share in which nothing changes, the
// guest opens nothing: it reads by node, and the server opens and closes files as needed.
class FsServer {
 public:
  using Reply = ShareReply;

  // Returns the host's real time since 1970, which is the time that files are stamped with.
  using Clock = std::chrono::nanoseconds (*)();
  static std::chrono::nanoseconds RealTime();

  // All arguments must outlive the server. `dax` may be null; a share with `dax` must never change.
  FsServer(HostTree& tree, ReadFileCache& files, GuestFileHandles& handles, FsCache cache,
           DaxWindow* dax, Clock real_time);

  // Counts a request. The queue calls it once for every request, before anything else.
  void Count(const FsCommand& command);
  // Returns whether `command` is for BeginTransfer instead of Execute. READ always is. WRITE,
  // FSYNC, FSYNCDIR, SYNCFS, FALLOCATE and COPY_FILE_RANGE are if the share is writable.
  bool IsTransfer(const FsCommand& command) const;
  // Checks a well-formed transfer and finds its file. After success `transfer` holds the file until
  // EndTransfer.
  HostError BeginTransfer(const FsCommand& command, FsTransfer& transfer);
  void EndTransfer(FsTransfer& transfer);
  // Executes any other well-formed request that has an answer. `room` is how many bytes of payload
  // fit into the guest's buffers.
  Reply Execute(const FsCommand& command, uint32_t room);
  // Removes one range of a REMOVEMAPPING.
  HostError RemoveMapping(uint64_t window_offset, uint64_t bytes);
  void Forget(uint64_t node, uint64_t count);
  // Forgets everything that the guest held. Called when the guest or its driver is gone.
  void EndSession();

  void AddCounters(Counters& counters) const;

 private:
  static constexpr size_t kOpcodes = 64;  // opcodes below have counters of their own
  static constexpr size_t kReplyBytes = 64 << 10;

  Reply Init(const FsCommand& command);
  Reply Lookup(const FsCommand& command, uint32_t room);
  Reply GetAttributes(const FsCommand& command);
  Reply ReadLink(const FsCommand& command);
  Reply Open(const FsCommand& command);
  Reply OpenDirectory(const FsCommand& command);
  Reply ReadDirectory(const FsCommand& command, uint32_t room);
  Reply GetFileSystem(const FsCommand& command);
  Reply SetUpMapping(const FsCommand& command);

  // fs_server_changes.cc
  Reply Change(const FsCommand& command, uint32_t room);
  Reply Create(const FsCommand& command, uint32_t room);
  Reply MakeNode(const FsCommand& command, uint32_t room);
  Reply SetAttributes(const FsCommand& command, uint32_t room);
  Reply Seek(const FsCommand& command);
  Reply GetXattr(const FsCommand& command);
  // Keeps a file that was opened for the guest with `flags`, and puts its handle into `out`.
  HostError AddHandle(std::unique_ptr<HostFile> file, uint32_t flags, fuse_open_out& out);
  Reply EntryReply(HostError error, const FoundNode& found);

  HostError BeginRead(const FsCommand& command, FsTransfer& transfer);
  HostError BeginWrite(const FsCommand& command, FsTransfer& transfer);
  HostError BeginFlush(const FsCommand& command, FsTransfer& transfer);
  HostError BeginAllocation(const FsCommand& command, FsTransfer& transfer);
  HostError BeginCopy(const FsCommand& command, FsTransfer& transfer);
  HostError UseHandle(uint64_t number, uint64_t node, FsTransfer& transfer);

  // Appends an entry to the reply. Returns false and appends nothing if the reply would be longer
  // than `limit`.
  bool AppendEntry(const FsCommand& command, const DirectoryEntry& entry, size_t limit);
  template <typename T>
  Reply Answer(const T& value) {
    static_assert(base::WireType<T> && sizeof(T) <= kReplyBytes);
    std::memcpy(reply_.data(), &value, sizeof(T));
    return {.payload = std::span(reply_).first(sizeof(T))};
  }
  fuse_entry_out ToEntry(const FoundNode& found) const;
  fuse_attr ToAttr(const FileAttributes& attributes) const;
  // Returns whether the guest opens files. If it does not, it reads by node.
  bool HasHandles() const { return tree_.writable() || cache_ != FsCache::kAlways; }
  std::chrono::seconds AttributeTime(uint64_t node) const;
  std::chrono::seconds NegativeTime(uint64_t directory) const;

  HostTree& tree_;
  ReadFileCache& files_;
  GuestFileHandles& handles_;
  const FsCache cache_;
  DaxWindow* const dax_;
  const Clock real_time_;
  bool initialized_ = false;
  KeptContents kept_;
  std::vector<uint8_t> reply_;
  size_t reply_size_ = 0;
  std::string text_;  // the payload of READLINK, GETXATTR and LISTXATTR
  std::array<uint64_t, kOpcodes> requests_ = {};
  uint64_t other_requests_ = 0;
  uint64_t requests_below_root_ = 0;
  uint64_t malformed_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_FS_FS_SERVER_H_
