// The 9P2000.L server: one session of a guest with one tree of the host.
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

// What the version of a qid stands for. A guest compares versions to decide whether its cached data
// are still valid.
enum class P9Versions : uint8_t {
  kNone,      // always 0, for which Linux caches no data
  kContents,  // the size and the time of modification
  kConstant,  // always 1: nothing in the tree changes
};

struct P9Transfer : FileTransfer {
  P9OpenFiles::OpenFile* opened = nullptr;  // where `file` comes from, if not from the cache
};

// Answers all requests but FLUSH and transfers. P9Queue answers FLUSH, and gives transfers (READ
// and WRITE of files, FSYNC) to the loop. Loop thread.
class P9Server {
 public:
  using Reply = ShareReply;

  // How much a guest can hold.
  struct Limits {
    uint32_t fids = 0;        // their memory is charged to the tree, which also bounds them
    uint32_t open_files = 0;  // descriptors
  };
  // Returns true if each file that a fid has open stays open for the fid, even if the host removes
  // or replaces the name. Returns false if nothing changes in the share: the server then opens and
  // closes files as needed.
  static bool HasOwnFiles(const HostTree& tree, P9Versions versions) {
    return tree.writable() || versions != P9Versions::kConstant;
  }
  // Return how many of `open_files` are reserved for locks, and how many files a share with own
  // files can have open with the others. Both are at least 1.
  static uint32_t MaxLockedFiles(uint32_t open_files) { return std::max(open_files / 8, 1U); }
  static uint32_t MaxOwnFiles(uint32_t open_files) {
    return open_files < 2 ? 1 : open_files - MaxLockedFiles(open_files);
  }

  // `tree` and `loop` must outlive the server. The loop must accept temporary files.
  P9Server(HostTree& tree, base::EventLoop& loop, P9Versions versions, Limits limits);

  // Counts a request. The queue calls it once for every request, before anything else.
  void Count(const P9Command& command);
  // Returns whether `command` is for BeginTransfer instead of Execute: READ and WRITE, unless they
  // are of an extended attribute, and FSYNC if the share is writable.
  bool IsTransfer(const P9Command& command);
  // Checks a well-formed transfer and opens its file. After success `transfer` holds the file until
  // EndTransfer.
  HostError BeginTransfer(const P9Command& command, P9Transfer& transfer);
  void EndTransfer(P9Transfer& transfer);
  // Executes any other well-formed request but FLUSH. `room` is how many bytes of payload fit into
  // the guest's buffers. The data of a WRITE are still in `chain`.
  Reply Execute(const P9Command& command, uint32_t room, Chain& chain);
  // Forgets everything that the guest held. Called when the guest or its driver is gone.
  void EndSession();

  // Returns the size of a message that was agreed with the guest, or 0 before VERSION.
  uint32_t max_message_bytes() const { return max_message_bytes_; }
  void AddCounters(Counters& counters) const;

 private:
  static constexpr size_t kReplyBytes = 64 << 10;
  // Memory for the name that a fid was walked by, on average. Most names are shorter.
  static constexpr size_t kNameBytesPerFid = 64;

  // What a fid stands for: a node, which the fid holds once.
  struct Fid {
    NodeId node{0};
    P9Places::Place* place = nullptr;       // null for directories, and in read-only shares
    P9OpenFiles::OpenFile* file = nullptr;  // if open, and the share has own files (HasOwnFiles)
    uint32_t uid = 0;                       // the guest's user that acts by the fid
    P9Qid qid;
    uint8_t access = 0;  // O_ACCMODE, if open
    bool open = false;
    bool append = false;
    FileSync sync = FileSync::kNone;  // what each write flushes
    bool xattr = false;               // the fid stands for an extended attribute of the node
  };
  // The value of an extended attribute, or the list of all names, which a guest reads or writes by
  // a fid.
  struct Xattr {
    std::string name;
    std::string value;
    size_t size_bytes = 0;  // of the whole value
    int flags = 0;          // XATTR_*
    bool set = false;       // the guest writes the value, which is set when the fid is clunked
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
  // Makes and opens a file at `place`. `directory` becomes the fid of the file.
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
  // Finds the directory and the name of a fid's file now. Returns ESTALE if another file has that
  // name.
  HostError FindPlace(const Fid& fid, NodeId& directory, std::string& name);
  // Prepares the removal of a name: an open file that loses its last name must stay open.
  void DoubtVictim(NodeId directory, absl::string_view name);
  Reply Lock(const P9Command& command, const Fid& fid);
  Reply GetLock(const P9Command& command, const Fid& fid);

  // Extended attributes.
  Reply XattrWalk(const P9Command& command, const Fid& from);
  Reply XattrCreate(const P9Command& command, Fid& fid);
  Reply ReadXattr(const P9Command& command, uint32_t room);
  Reply WriteXattr(const P9Command& command, Chain& chain);
  HostError SetXattr(NodeId node, const Xattr& xattr);
  // Keeps an attribute for a fid. Returns false if there are too many, or if they take too much
  // memory.
  bool KeepXattr(uint32_t number, Xattr xattr);
  void DropXattr(uint32_t number);
  static size_t MemoryOf(const Xattr& xattr);

  Fid* Find(uint32_t number);
  // Return how much memory the table of fids takes, and how much more one more fid would need.
  size_t FidBytes() const;
  size_t MoreFidBytes() const;
  // Gives `fid` a number, and releases the fid that had the number. Returns false, and lets go of
  // `fid`, if there are too many fids.
  bool Keep(uint32_t number, const Fid& fid);
  // Makes one step of a walk. After success `fid` is what `name` leads to; it holds the node, but
  // no place.
  HostError Step(NodeId directory, absl::string_view name, Fid& fid);
  // Makes a fid that was walked by `name` remember the name. Returns false if the names take too
  // much memory.
  bool KeepPlace(Fid& fid, NodeId directory, absl::string_view name);
  // Hold and let go of the node and the place of a fid.
  void Hold(const Fid& fid);
  void LetGo(const Fid& fid);
  void Forget(NodeId node);
  // Gives up everything that a fid holds: node, place, open file, locks, attribute.
  void Release(uint32_t number, const Fid& fid);

  Fid MakeFid(const FoundNode& found);
  P9Qid MakeQid(const FileAttributes& attributes) const;
  // Appends an entry to the reply. Returns false and appends nothing if the reply would be longer
  // than `limit`.
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
  ReadFileCache shared_files_;  // used if the share has no own files (HasOwnFiles)
  P9OpenFiles files_;           // used if it has
  P9Locks locks_;
  P9Places places_;
  uint32_t max_message_bytes_ = 0;
  absl::flat_hash_map<uint32_t, Fid> fids_;
  absl::flat_hash_map<uint32_t, Xattr> xattrs_;  // by fid
  size_t xattr_bytes_ = 0;                       // of memory
  std::vector<uint8_t> reply_;
  size_t reply_size_ = 0;
  std::string text_;                         // a target of a link, a name, or a value
  std::array<uint64_t, 256> requests_ = {};  // by type
  uint64_t malformed_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_SERVER_H_
