// A directory of the host as a guest may see it: names resolved below one root and never above it,
// filtered, owners mapped. The only code of a share that touches host files; it knows no protocol.
//
// Every step goes from a directory that is held open to one name in it, which is no path and not
// followed if it is a symbolic link: links are the guest's to resolve. So nothing that the host
// moves or the guest asks leads out of the root.
//
// A HostError is what the guest is told. Functions may block on the host's file system: the
// thread that calls them should serve nothing but shares. But nothing waits for another process
// that holds a lease on a file, nor, for longer than CallWatch::kPatience, for a client of nfsd
// that a file is delegated to: that is EAGAIN, nothing of consequence was done, and the holder was
// told (LeaseWait).
#ifndef VIRTIO_HOST_TREE_HOST_TREE_H_
#define VIRTIO_HOST_TREE_HOST_TREE_H_

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "virtio/host_tree/call_watch.h"
#include "virtio/host_tree/closure_view.h"
#include "virtio/host_tree/directory_cache.h"
#include "virtio/host_tree/directory_reader.h"
#include "virtio/host_tree/file_maker.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/host_file.h"
#include "virtio/host_tree/host_root.h"
#include "virtio/host_tree/node_opener.h"
#include "virtio/host_tree/node_table.h"
#include "virtio/host_tree/owner_map.h"
#include "virtio/host_tree/ownership.h"

namespace virtio {

struct FileTime {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;

  bool operator==(const FileTime&) const = default;
};

struct FileAttributes {
  uint64_t inode = 0;  // the guest's: unique in the tree
  // Different for the same file by another mount of the host; 0 by that of the root.
  uint32_t mount = 0;
  uint64_t size_bytes = 0;
  uint64_t blocks = 0;  // of 512 bytes
  FileTime accessed, modified, changed;
  uint32_t mode = 0;  // type and permissions
  uint32_t links = 0;
  uint32_t uid = 0;  // the guest's
  uint32_t gid = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint32_t block_bytes = 0;
};

// What a name led to.
struct FoundNode {
  NodeId id{0};
  FileAttributes attributes;
};

// What is to change about a file: first the size, then the owner, then the mode, last the times.
// The host takes set-id bits off a file that is cut or gets another owner.
struct AttributeChanges {
  std::optional<uint32_t> mode = {};  // permissions, set-id and sticky bits
  std::optional<uint32_t> uid = {};   // the guest's
  std::optional<uint32_t> gid = {};
  std::optional<uint64_t> size_bytes = {};
  bool clear_privileges = false;        // as ClearPrivileges, if the size changes
  timespec accessed = {0, UTIME_OMIT};  // or UTIME_NOW
  timespec modified = {0, UTIME_OMIT};
};

class HostTree {
 public:
  struct Options {
    std::string name;  // in messages: "fs[0]"
    std::string path;  // of the root
    // Names of the root that exist; without it all do.
    std::optional<std::string> closure;
    // Without it every change is EROFS. Not with a closure.
    bool writable = false;
    // Without it mount points below the root are not entered (EXDEV); with it those of the kinds
    // that FindFileSystemKind knows are.
    bool submounts = false;
    OwnerMap uids = {};
    OwnerMap gids = {};
    // Memory for the nodes that a guest can hold, and for what Charge counts.
    size_t max_node_bytes = size_t{256} << 20;
    uint32_t max_directories = 256;  // held open at a time; at least 2
    // For tests: the kind of file system of the root, by its statfs f_type, whatever the host says.
    std::optional<uint64_t> root_magic = {};
  };

  // Opens the root and reads the closure. Needs /proc. Control thread; may block. Errors are one
  // line: key, file, errno or missing path.
  static absl::StatusOr<std::unique_ptr<HostTree>> Open(Options options);
  ~HostTree();
  HostTree(const HostTree&) = delete;
  HostTree& operator=(const HostTree&) = delete;

  // Reads the closure file again; what is new in it becomes visible, nothing disappears. On an
  // error nothing changes. No effect without a closure.
  absl::Status RereadClosure() { return has_closure() ? closure_->Read() : absl::OkStatus(); }
  bool writable() const { return options_.writable; }
  bool submounts() const { return options_.submounts; }
  bool has_closure() const { return closure_.has_value(); }
  // Whether this machine's kernel takes set-id bits off every file that is written to or cut by
  // whoever may not keep them: not where another machine does.
  bool takes_set_ids() const { return !options_.submounts && !root_.kind().remote; }
  // How many names the closure has had so far. One thread, the one that reads it.
  size_t closure_size() const { return has_closure() ? closure_->size() : 0; }

  // One thread from here on.

  // Finds `name`, any bytes, in directory `directory`; on success the guest holds the node once
  // more.
  HostError Lookup(NodeId directory, absl::string_view name, FoundNode& found);
  // Finds the directory in which `directory` was last found, or the root for the root; on success
  // the guest holds it once more. What the host has moved since leads nowhere else.
  HostError LookupParent(NodeId directory, FoundNode& found);
  // The guest holds a node that it knows once more.
  void Hold(NodeId id);
  // The guest gives up `count` of what it holds, at most all. Returns true if the node is gone.
  bool Forget(NodeId id, uint64_t count);
  // The guest gives up all it holds.
  void ForgetAll();
  bool Knows(NodeId id) { return nodes_.Find(id) != nullptr; }

  HostError GetAttributes(NodeId id, FileAttributes& attributes);
  // Puts the target of a symbolic link into `target`.
  HostError ReadLink(NodeId id, std::string& target);
  // Calls `visit` for the entries of a directory from `offset` on (0, or one that was given) until
  // it returns false, which takes the entry back, or none is left. `visit` may call Lookup. If
  // `looks_up`, it does for every entry that can be, and takes the inode's number from there.
  HostError ReadDirectory(NodeId id, uint64_t offset, DirectoryReader::Visitor visit,
                          bool looks_up = false);
  // Opens a regular file for reading.
  HostError OpenFile(NodeId id, base::UniqueFd& file);
  // Opens a regular file. Of `flags` the access mode, O_APPEND and O_TRUNC count, O_SYNC and
  // O_DSYNC do not: FileSync says why.
  HostError OpenFile(NodeId id, int flags, std::unique_ptr<HostFile>& file);
  // Opens a directory, to be flushed.
  HostError OpenDirectory(NodeId id, std::unique_ptr<HostFile>& directory);
  // Whether times of change may have ticks of seconds, or come from another machine's clock.
  bool HasCoarseTimes(const FileAttributes& attributes) const {
    return attributes.mount != 0 || root_.kind().remote ||
           root_.kind().numbers == FileNumbers::kPinned;  // vfat, FUSE
  }
  // The file system that a node is on. With a closure it is full, and files are not counted.
  HostError GetFileSystem(NodeId id, struct statfs& file_system);
  // Opens the root such that its file system can be synced by the descriptor.
  HostError OpenFileSystem(base::UniqueFd& fd);

  // Changes: EROFS unless the tree is writable. Names are any bytes. What is made belongs to the
  // caller, and to the group of its directory if that is set-group-id; EPERM if the owner maps have
  // no place for the caller. `found` is held once more, as by Lookup.

  // Makes a regular file and opens it. One that is there already is opened, or with O_EXCL EEXIST.
  HostError Create(NodeId directory, absl::string_view name, const Caller& caller, uint32_t mode,
                   int flags, FoundNode& found, std::unique_ptr<HostFile>& file);
  HostError MakeDirectory(NodeId directory, absl::string_view name, const Caller& caller,
                          uint32_t mode, FoundNode& found);
  // Makes a file, pipe or socket as the type in `mode` says. Devices are EPERM, but for 0:0, by
  // which an overlay marks what is not there.
  HostError MakeNode(NodeId directory, absl::string_view name, const Caller& caller, uint32_t mode,
                     uint32_t device_major, uint32_t device_minor, FoundNode& found);
  // `target` is any bytes but NUL, less than PATH_MAX of them.
  HostError MakeSymlink(NodeId directory, absl::string_view name, const Caller& caller,
                        absl::string_view target, FoundNode& found);
  HostError Link(NodeId id, NodeId directory, absl::string_view name, FoundNode& found);
  // What the guest holds of the file goes on being there until it forgets it, or others need the
  // descriptor.
  HostError Unlink(NodeId directory, absl::string_view name) { return Remove(directory, name, 0); }
  HostError RemoveDirectory(NodeId directory, absl::string_view name) {
    return Remove(directory, name, AT_REMOVEDIR);
  }
  // `flags` are RENAME_EXCHANGE, or RENAME_NOREPLACE and RENAME_WHITEOUT as wanted. A whiteout is a
  // character device 0:0 in place of the old name, of `caller`'s; EINVAL if the host's file system
  // leaves none.
  HostError Rename(NodeId from, absl::string_view from_name, NodeId to, absl::string_view to_name,
                   uint32_t flags, const Caller& caller = {});
  // Where a node was last found, for who knows it by number only: 0, EBUSY for the root, or ESTALE.
  HostError FindPlace(NodeId id, NodeId& directory, std::string& name);
  // Returns the node of what is called `name` now if the guest knows it, by whatever name; else 0.
  NodeId FindKnown(NodeId directory, absl::string_view name);
  // Changes a file, by way of `file` if the guest names one it has open; `attributes` is how it is
  // then. On an error a part may have been changed.
  HostError SetAttributes(NodeId id, const AttributeChanges& changes, const HostFile* file,
                          FileAttributes& attributes);
  // Takes set-user-id and set-group-id off an open file, as a write by a user without privileges
  // does. A file of an owner whom the guest does not have keeps them: the guest cannot write to it.
  HostError ClearPrivileges(const HostFile& file);

  // Extended attributes: those of users. All others, which mean something to the host (file
  // capabilities, ACLs, labels), are EOPNOTSUPP and not listed. Values are at most 64 KiB.
  HostError GetXattr(NodeId id, absl::string_view name, std::string& value);
  // Puts names into `names`, a NUL behind each.
  HostError ListXattrs(NodeId id, std::string& names);
  // `flags` are XATTR_CREATE or XATTR_REPLACE.
  HostError SetXattr(NodeId id, absl::string_view name, absl::string_view value, int flags);
  HostError RemoveXattr(NodeId id, absl::string_view name);

  size_t node_count() const { return nodes_.size(); }
  size_t node_bytes() const { return nodes_.bytes(); }
  // As in NodeTable.
  bool Fits(size_t more_bytes) const { return nodes_.Fits(more_bytes); }
  void Charge(size_t bytes_before, size_t bytes_now) { nodes_.Charge(bytes_before, bytes_now); }
  uint32_t open_directories() const { return directories_.size(); }
  // How often something was opened, or tried to be, since the start.
  uint64_t opens() const { return root_.opens(); }

 private:
  HostTree(Options options, OpenedRoot root, Ownership owners);

  // Finds a node that is a regular file.
  HostError FindRegularFile(NodeId id, Node*& node);
  // Looks at `name` in an open directory and makes it a node that the guest holds once more.
  HostError Enter(Node& parent, int parent_fd, absl::string_view name, FoundNode& found);
  // Does the same for a file that was looked at already.
  HostError Enter(Node& parent, absl::string_view name, SeenFile& seen, FoundNode& found);
  FileAttributes ToAttributes(const Node& node, const struct statx& status);
  // Changes the size of an open file of `type`, its S_IFMT bits. EISDIR or EINVAL unless regular.
  HostError ChangeSize(int fd, uint16_t type, uint64_t size_bytes, bool clear_privileges);
  // Opens a node for the use of extended attribute `name`.
  HostError XattrFd(NodeId id, absl::string_view name, int& fd, base::UniqueFd& opened);

  // Checks what every change in a directory needs. `fd` is as by NodeOpener::DirectoryFd.
  HostError BeginChange(NodeId directory, absl::string_view name, Node*& parent, int& fd);
  HostError Make(NodeId directory, absl::string_view name, const Caller& caller,
                 const NewFile& file, FoundNode& found);
  // Opens a file that Create has found.
  HostError OpenFound(const Caller& caller, int flags, FoundNode& found,
                      std::unique_ptr<HostFile>& file);
  HostError Remove(NodeId directory, absl::string_view name, int flags);
  // Returns the node that the guest knows as `name` and that is about to lose this name; nullptr if
  // there is none. Keeps the node open if somebody can still ask for it afterwards: a directory, or
  // a file with other names.
  Node* KeepVictim(Node& parent, int parent_fd, absl::string_view name);
  // Records which node has `name` now.
  void NotePlace(Node& parent, int parent_fd, absl::string_view name);

  const Options options_;
  NodeTable nodes_;
  DirectoryCache directories_;
  HostRoot root_;
  NodeOpener opener_;
  DirectoryReader reader_;
  const Ownership owners_;
  CallWatch watch_;  // of calls that may meet a delegation; started if the tree is writable
  FileMaker maker_;
  std::optional<ClosureView> closure_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_HOST_TREE_H_
