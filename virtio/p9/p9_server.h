// What a 9P2000.L server does: one session of a guest with one tree of the host.
#ifndef VIRTIO_P9_P9_SERVER_H_
#define VIRTIO_P9_P9_SERVER_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "base/endian.h"
#include "base/event_loop.h"
#include "virtio/device.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/read_file_cache.h"
#include "virtio/p9/p9_command.h"
#include "virtio/p9/p9_locks.h"
#include "virtio/p9/p9_open_files.h"
#include "virtio/p9/p9_places.h"
#include "virtio/p9/p9_wire.h"
#include "virtio/share/share_server.h"

namespace virtio {

// What the version of a qid says, by which guests decide whether what they cached is still true.
enum class P9Versions : uint8_t {
  kNone,      // nothing: Linux caches no data
  kContents,  // size and time of the last change
  kConstant,  // nothing in the tree changes
};

struct P9Transfer : FileTransfer {
  P9OpenFiles::OpenFile* opened = nullptr;  // where `file` comes from, if not from the cache
};

// Answers everything but READ and WRITE of files and FSYNC, which are the loop's, and FLUSH
// (P9Queue). All on the loop's thread.
class P9Server {
 public:
  using Reply = ShareReply;

  // What a guest can hold.
  struct Limits {
    uint32_t fids = 0;        // and as many as there is memory for: they count as nodes of the tree
    uint32_t open_files = 0;  // descriptors
  };
  // What fids have open stays open for them, whatever the host makes of the name meanwhile. False:
  // nothing changes, and what is read is opened and closed as it suits.
  static bool HasOwnFiles(const HostTree& tree, P9Versions versions) {
    return tree.writable() || versions != P9Versions::kConstant;
  }
  // How many of `open_files` are for locks; and how many own files a share has open with the
  // others. At least 1.
  static uint32_t MaxLockedFiles(uint32_t open_files) { return std::max(open_files / 8, 1U); }
  static uint32_t MaxOwnFiles(uint32_t open_files) {
    return open_files < 2 ? 1 : open_files - MaxLockedFiles(open_files);
  }

  // `tree` and `loop` must outlive the server. The loop's files must be able to come and go.
  P9Server(HostTree& tree, base::EventLoop& loop, P9Versions versions, Limits limits);

  // Counts a request. Every request is counted, once, before anything else.
  void Count(const P9Command& command);
  // True for what BeginTransfer is for: READ and WRITE, but not of extended attributes, and FSYNC,
  // if the share can be written to.
  bool IsTransfer(const P9Command& command);
  // Checks a well-formed transfer and opens its file for it: 0, or an errno. `transfer` is in use
  // until EndTransfer.
  HostError BeginTransfer(const P9Command& command, P9Transfer& transfer);
  void EndTransfer(P9Transfer& transfer);
  // Executes any other well-formed request but FLUSH; `room` is how many bytes of payload the guest
  // has a place for. The data of a WRITE are still in `chain`.
  Reply Execute(const P9Command& command, uint32_t room, Chain& chain);
  // The guest, or its driver, is gone: forgets what it held.
  void EndSession();

  // Of a message, as agreed with the guest; 0 before.
  uint32_t max_message_bytes() const { return max_message_bytes_; }
  void AddCounters(Counters& counters) const;

 private:
  static constexpr size_t kReplyBytes = 64 << 10;
  // Of the names that fids were walked by, for each that there may be: more than most are long.
  static constexpr size_t kNameBytesPerFid = 64;

  // A node by the guest's number for it, which holds the node once.
  struct Fid {
    NodeId node{0};
    P9Places::Place* place = nullptr;  // of what is no directory in a share that can be written to
    P9OpenFiles::OpenFile* file =
        nullptr;       // if it is open on a file of a share that can be written to
    uint32_t uid = 0;  // who acts by it, the guest's
    P9Qid qid;
    uint8_t access = 0;  // O_ACCMODE, if it is open
    bool open = false;
    bool append = false;
    FileSync sync = FileSync::kNone;  // of each write
    bool xattr = false;               // stands for one of the file's extended attributes
  };
  // The value of an extended attribute, or the list of all names, that is read or written.
  struct Xattr {
    std::string name;
    std::string value;
    size_t size_bytes = 0;  // that the value has, or is to have when it is set
    int flags = 0;          // XATTR_*
    bool set = false;       // when the fid is clunked
  };

  Reply Version(const P9Command& command);
  Reply Attach(const P9Command& command);
  Reply Walk(const P9Command& command, uint32_t room);
  Reply Clunk(uint32_t number);
  Reply ExecuteOnFid(const P9Command& command, Fid& fid, uint32_t room, Chain& chain);

  // Files.
  Reply Open(const P9Command& command, Fid& fid);
  HostError BeginFlush(const Fid& fid, P9Transfer& transfer);
  static void UseOpened(P9OpenFiles::OpenFile& file, P9Transfer& transfer);
  Reply GetAttributes(const Fid& fid);
  Reply ReadLink(const Fid& fid);
  Reply ReadDirectory(const P9Command& command, const Fid& fid, uint32_t room);
  Reply GetFileSystem(const Fid& fid);

  // Changes. The share is writable.
  Reply Create(const P9Command& command, Fid& fid);
  // Makes and opens a file by `directory`, whose fid becomes the file's, at `place`: 0, or an
  // errno.
  HostError CreateAt(const P9Command& command, P9Places::Place& place, Fid& directory);
  Reply MakeNode(const P9Command& command, const Fid& directory);
  Reply Link(const P9Command& command, const Fid& directory);
  Reply Rename(const P9Command& command, const Fid& fid);
  Reply RenameAt(const P9Command& command, const Fid& from);
  Reply UnlinkAt(const P9Command& command, const Fid& directory);
  Reply Remove(const Fid& fid);
  Reply SetAttributes(const P9Command& command, const Fid& fid);
  HostError RenameIn(NodeId from, absl::string_view from_name, NodeId to,
                     absl::string_view to_name);
  HostError UnlinkIn(NodeId directory, absl::string_view name, bool is_directory);
  // Finds where what a fid was walked to is now; ESTALE if something else is there.
  HostError FindPlace(const Fid& fid, NodeId& directory, std::string& name);
  // What is open of a file that is about to lose this name is not to be lost.
  void DoubtVictim(NodeId directory, absl::string_view name);
  Reply Lock(const P9Command& command, const Fid& fid);
  Reply GetLock(const P9Command& command, const Fid& fid);

  // Extended attributes.
  Reply XattrWalk(const P9Command& command, const Fid& from);
  Reply XattrCreate(const P9Command& command, Fid& fid);
  Reply ReadXattr(const P9Command& command, uint32_t room);
  Reply WriteXattr(const P9Command& command, Chain& chain);
  HostError SetXattr(NodeId node, const Xattr& xattr);
  // Keeps one for a fid; false if there are too many, or they take too much memory.
  bool KeepXattr(uint32_t number, Xattr xattr);
  void DropXattr(uint32_t number);
  static size_t MemoryOf(const Xattr& xattr);

  Fid* Find(uint32_t number);
  // Memory that the table of fids takes, and would take more for one more fid.
  size_t FidBytes() const;
  size_t MoreFidBytes() const;
  // Gives `fid` a number, in place of what had it; false, and `fid` is let go of, if there are too
  // many.
  bool Keep(uint32_t number, const Fid& fid);
  // One step of a walk: on success `fid` is what `name` leads to and holds its node, but no place.
  HostError Step(NodeId directory, absl::string_view name, Fid& fid);
  // Has a fid that was walked to by `name` remember that; false if names take too much memory.
  bool KeepPlace(Fid& fid, NodeId directory, absl::string_view name);
  // What a fid that has no number, or another besides, holds.
  void Hold(const Fid& fid);
  void LetGo(const Fid& fid);
  void Forget(NodeId node);
  // Gives up all that a fid stands for.
  void Release(uint32_t number, const Fid& fid);

  Fid MakeFid(const FoundNode& found);
  P9Qid MakeQid(const FileAttributes& attributes) const;
  // Appends to the reply; false, and nothing appended, if there is no room up to `limit`.
  bool AppendEntry(const DirectoryEntry& entry, size_t limit);
  void Append(const void* bytes, size_t size) {
    std::memcpy(reply_.data() + reply_size_, bytes, size);
    reply_size_ += size;
  }
  template <typename T>
  Reply Answer(const T& value) {
    static_assert(base::WireType<T> && sizeof(T) <= kReplyBytes);
    reply_size_ = 0;
    Append(&value, sizeof(T));
    return Replied();
  }
  Reply Replied() const { return {.payload = std::span(reply_).first(reply_size_)}; }

  HostTree& tree_;
  const P9Versions versions_;
  const uint32_t max_fids_;
  ReadFileCache shared_files_;  // if nothing changes in the share
  P9OpenFiles files_;           // if something may
  P9Locks locks_;
  P9Places places_;
  uint32_t max_message_bytes_ = 0;
  absl::flat_hash_map<uint32_t, Fid> fids_;
  absl::flat_hash_map<uint32_t, Xattr> xattrs_;  // by fid
  size_t xattr_bytes_ = 0;                       // of memory
  std::vector<uint8_t> reply_;
  size_t reply_size_ = 0;
  std::string text_;                         // of a link, or a name
  std::array<uint64_t, 256> requests_ = {};  // by type
  uint64_t malformed_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_SERVER_H_
