// What a 9P2000.L server does: one session of a guest with one tree of the host.
#ifndef VIRTIO_P9_P9_SERVER_H_
#define VIRTIO_P9_P9_SERVER_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "virtio/device.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/open_files.h"
#include "virtio/p9/p9_request.h"
#include "virtio/p9/p9_wire.h"

namespace virtio {

// What the version of a qid says, by which guests decide whether what they cached is still true.
enum class P9Versions : uint8_t {
  kNone,      // nothing: Linux caches no data
  kContents,  // size and time of the last change
  kConstant,  // nothing in the tree changes
};

// Answers everything but READ, whose data takes another way, and FLUSH (P9Queue). For shares that
// are read only. All on the loop's thread.
class P9Server {
 public:
  struct Reply {
    int error = 0;                          // an errno; then there is no payload
    std::span<const uint8_t> payload = {};  // valid until the next call
  };

  // `tree` and `files` must outlive the server. A guest can hold `max_fids` fids.
  P9Server(HostTree& tree, OpenFiles& files, P9Versions versions, uint32_t max_fids);

  // Counts a request. Every request is counted, once, before anything else.
  void Count(const P9Command& command);
  // Executes a well-formed request other than READ and FLUSH; `room` is how many bytes of payload
  // the guest has a place for.
  Reply Execute(const P9Command& command, uint32_t room);
  // Checks a READ and opens its file for it: 0, or an errno.
  int BeginRead(const P9Command& command, OpenFiles::File*& file);
  void EndRead(OpenFiles::File& file) { files_.Release(file); }
  // The guest, or its driver, is gone: forgets what it held.
  void EndSession();

  // Of a message, as agreed with the guest; 0 before.
  uint32_t max_message_bytes() const { return max_message_bytes_; }
  void AddCounters(Counters& counters) const;

 private:
  static constexpr size_t kReplyBytes = 64 << 10;

  // A node by the guest's number for it, which holds the node once.
  struct Fid {
    NodeId node{0};
    P9Qid qid;
    uint8_t device = 0;  // index in devices_
    bool open = false;
  };

  Reply Version(const P9Command& command);
  Reply Attach(const P9Command& command);
  Reply Walk(const P9Command& command, uint32_t room);
  Reply Open(const P9Command& command);
  Reply Clunk(uint32_t number);
  Reply GetAttributes(const Fid& fid);
  Reply ReadLink(const Fid& fid);
  Reply ReadDirectory(const P9Command& command, const Fid& fid, uint32_t room);
  Reply GetFileSystem();

  Fid* Find(uint32_t number);
  // Gives `fid` a number, in place of what had it; false if there are too many.
  bool Keep(uint32_t number, const Fid& fid);
  // One step of a walk: on success `fid` is what `name` leads to and holds its node.
  int Step(NodeId directory, absl::string_view name, Fid& fid);
  void Forget(NodeId node);

  Fid MakeFid(const FoundNode& found);
  P9Qid MakeQid(const FileAttributes& attributes, uint8_t device) const;
  uint8_t DeviceIndex(uint64_t device);
  // Appends to the reply; false, and nothing appended, if there is no room up to `limit`.
  bool AppendEntry(const Fid& directory, const DirectoryEntry& entry, size_t limit);
  void Append(const void* bytes, size_t size);
  template <typename T>
  Reply Answer(const T& value);
  Reply Replied() const { return {.payload = std::span(reply_).first(reply_size_)}; }

  HostTree& tree_;
  OpenFiles& files_;
  const P9Versions versions_;
  const uint32_t max_fids_;
  uint32_t max_message_bytes_ = 0;
  absl::flat_hash_map<uint32_t, Fid> fids_;
  std::vector<uint64_t> devices_;  // file systems of the host in the tree; the root's is first
  std::vector<uint8_t> reply_;
  size_t reply_size_ = 0;
  std::string link_target_;
  std::array<uint64_t, 256> requests_ = {};  // by type
  uint64_t malformed_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_SERVER_H_
