// A directory of the host as a guest may see it. HostTree resolves names below one root and never
// above the root, hides what the guest may not see, and maps owners. No other code of a share
// touches host files, and this code knows no protocol. host_root.h says why nothing leads out of
// the root. Symbolic links are for the guest to resolve.
//
// HostTree finds the node that a request is about and calls its parts: HostRoot looks at files and
// opens them, NodeOpener opens nodes, DirectoryReader reads directories, Ownership knows whose
// files the guest may change, FileMaker makes files, and ClosureView knows the names of the
// closure.
//
// A HostError is the error that the guest gets. Functions may block on the host's file system, so
// the thread that calls them should serve nothing but shares. But no function waits for another
// process that holds a lease on a file, and none waits longer than CallWatch::kPatience for a
// client of nfsd to which a file is delegated. The error is EAGAIN then: nothing of consequence was
// done, and the host has asked the other process to give the file back (LeaseWait).
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
  uint64_t inode = 0;  // as the guest sees it: unique in the tree
  // Differs between two mounts of the host that show the same file. 0 for the mount of the root.
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

// The node that a name led to.
struct FoundNode {
  NodeId id{0};
  FileAttributes attributes;
};

// The changes of one file. The size changes first, then the owner, then the mode, and last the
// times, because the host takes set-id bits off a file that is truncated or gets another owner.
struct AttributeChanges {
  std::optional<uint32_t> mode = {};  // permissions, set-id and sticky bits
  std::optional<uint32_t> uid = {};   // the guest's
  std::optional<uint32_t> gid = {};
  std::optional<uint64_t> size_bytes = {};
  bool clear_privileges = false;        // as ClearPrivileges, when the size changes
  timespec accessed = {0, UTIME_OMIT};  // UTIME_NOW is allowed, too
  timespec modified = {0, UTIME_OMIT};
};

class HostTree {
 public:
  struct Options {
    std::string name;  // in messages: "fs[0]"
    std::string path;  // of the root
    // The closure file, which lists the names of the root that exist. Without a closure, all exist.
    std::optional<std::string> closure;
    // Without it, every change is EROFS. Never together with a closure.
    bool writable = false;
    // Without it, mounts below the root are not entered (EXDEV). With it, a mount is entered if
    // FindFileSystemKind knows its file system.
    bool submounts = false;
    OwnerMap uids = {};
    OwnerMap gids = {};
    // The memory for the nodes that a guest can hold, and for what Charge counts.
    size_t max_node_bytes = size_t{256} << 20;
    uint32_t max_directories = 256;  // held open at the same time; at least 2
    // For tests: replaces the statfs f_type of the root.
    std::optional<uint64_t> root_magic = {};
  };

  // Opens the root and reads the closure. Needs /proc. Control thread; may block. Errors are one
  // line: key, file, errno or missing path.
  static absl::StatusOr<std::unique_ptr<HostTree>> Open(Options options);
  ~HostTree();
  HostTree(const HostTree&) = delete;
  HostTree& operator=(const HostTree&) = delete;

  // Reads the closure file again. New names become visible, and no name disappears. On an error,
  // nothing changes. No effect without a closure.
  absl::Status RereadClosure() { return has_closure() ? closure_->Read() : absl::OkStatus(); }
  bool writable() const { return options_.writable; }
  bool submounts() const { return options_.submounts; }
  bool has_closure() const { return closure_.has_value(); }
  // True if the kernel of this machine takes set-id bits off every file that is truncated or
  // written to by a user without the right to keep these bits. False if files may be on another
  // machine.
  bool takes_set_ids() const { return !options_.submounts && !root_.kind().remote; }
  // How many names the closure has had so far. Only for the thread that reads the closure.
  size_t closure_size() const { return has_closure() ? closure_->size() : 0; }

  // All functions below must be called on one thread.

  // Finds `name`, which can have any bytes, in a directory. On success, the guest holds the node
  // once more.
  HostError Lookup(NodeId directory, absl::string_view name, FoundNode& found);
  // Finds the directory in which `directory` was last found; the root is its own parent. On
  // success, the guest holds the parent once more. Moves by the host since then do not change the
  // result.
  HostError LookupParent(NodeId directory, FoundNode& found);
  // Makes the guest hold a node that it knows once more.
  void Hold(NodeId id);
  // Gives up `count` of the times that the guest holds a node, at most all of them. Returns true if
  // the node is gone.
  bool Forget(NodeId id, uint64_t count);
  // Gives up everything that the guest holds.
  void ForgetAll();
  bool Knows(NodeId id) { return nodes_.Find(id) != nullptr; }

  HostError GetAttributes(NodeId id, FileAttributes& attributes);
  // Puts the target of a symbolic link into `target`.
  HostError ReadLink(NodeId id, std::string& target);
  // Reads the entries of a directory, as DirectoryReader::Read.
  HostError ReadDirectory(NodeId id, uint64_t offset, DirectoryReader::Visitor visit,
                          bool looks_up = false);
  // Opens a regular file for reading.
  HostError OpenFile(NodeId id, base::UniqueFd& file);
  // Opens a regular file. Of `flags`, only the access mode, O_APPEND and O_TRUNC count. FileSync
  // says why O_SYNC and O_DSYNC do not.
  HostError OpenFile(NodeId id, int flags, std::unique_ptr<HostFile>& file);
  // Opens a directory so that it can be flushed.
  HostError OpenDirectory(NodeId id, std::unique_ptr<HostFile>& directory);
  // True if times of change may be as coarse as seconds, or come from the clock of another machine.
  bool HasCoarseTimes(const FileAttributes& attributes) const {
    return attributes.mount != 0 || root_.kind().remote ||
           root_.kind().numbers == FileNumbers::kPinned;  // vfat, FUSE
  }
  // Describes the file system of a node. With a closure, the file system is full, and its files are
  // not counted.
  HostError GetFileSystem(NodeId id, struct statfs& file_system);
  // Opens the root so that its file system can be synced through the descriptor.
  HostError OpenFileSystem(base::UniqueFd& fd);

  // Changes. All are EROFS unless the tree is writable. Names can have any bytes. A new file
  // belongs to the caller, and to the group of its directory if the directory is set-group-id.
  // EPERM if the owner maps have no owner on the host for the caller. The guest holds `found` once
  // more, as after Lookup.

  // Makes a regular file and opens it. Opens a file that exists already; with O_EXCL, that is
  // EEXIST instead.
  HostError Create(NodeId directory, absl::string_view name, const Caller& caller, uint32_t mode,
                   int flags, FoundNode& found, std::unique_ptr<HostFile>& file);
  HostError MakeDirectory(NodeId directory, absl::string_view name, const Caller& caller,
                          uint32_t mode, FoundNode& found);
  // Makes a regular file, pipe or socket, as the type in `mode` says. Devices are EPERM, except for
  // 0:0, by which an overlay marks a removed file.
  HostError MakeNode(NodeId directory, absl::string_view name, const Caller& caller, uint32_t mode,
                     uint32_t device_major, uint32_t device_minor, FoundNode& found);
  // `target` has any bytes but NUL, and fewer than PATH_MAX of them.
  HostError MakeSymlink(NodeId directory, absl::string_view name, const Caller& caller,
                        absl::string_view target, FoundNode& found);
  HostError Link(NodeId id, NodeId directory, absl::string_view name, FoundNode& found);
  // A file that the guest holds stays usable until the guest forgets the file, or until other files
  // need its descriptor.
  HostError Unlink(NodeId directory, absl::string_view name) { return Remove(directory, name, 0); }
  HostError RemoveDirectory(NodeId directory, absl::string_view name) {
    return Remove(directory, name, AT_REMOVEDIR);
  }
  // `flags` are RENAME_EXCHANGE, or any of RENAME_NOREPLACE and RENAME_WHITEOUT. A whiteout is a
  // character device 0:0 that gets the old name and belongs to `caller`. EINVAL if the host's file
  // system cannot make whiteouts.
  HostError Rename(NodeId from, absl::string_view from_name, NodeId to, absl::string_view to_name,
                   uint32_t flags, const Caller& caller = {});
  // Gives the directory and the name under which a node was last found, for protocols that know a
  // file by its number only. EBUSY for the root. ESTALE if the guest has removed the name.
  HostError FindPlace(NodeId id, NodeId& directory, std::string& name);
  // Returns the node of the file that has this name now, if the guest knows that file by any name;
  // else 0.
  NodeId FindKnown(NodeId directory, absl::string_view name);
  // Changes a file. If the guest names an open file for this, `file` is that file. `attributes`
  // describes the file after the changes. On an error, some of the changes may have been made.
  HostError SetAttributes(NodeId id, const AttributeChanges& changes, const HostFile* file,
                          FileAttributes& attributes);
  // Takes set-user-id and set-group-id off an open file, as a write by a user without privileges
  // does. A file whose owner has no id in the guest keeps these bits, since the guest cannot write
  // to it.
  HostError ClearPrivileges(const HostFile& file);

  // Extended attributes. Only those of users exist. All others mean something to the host (file
  // capabilities, ACLs, labels), so they are EOPNOTSUPP and not listed. Values have at most 64 KiB.
  HostError GetXattr(NodeId id, absl::string_view name, std::string& value);
  // Puts the names into `names`, with a NUL after each.
  HostError ListXattrs(NodeId id, std::string& names);
  // `flags` are XATTR_CREATE or XATTR_REPLACE.
  HostError SetXattr(NodeId id, absl::string_view name, absl::string_view value, int flags);
  HostError RemoveXattr(NodeId id, absl::string_view name);

  size_t node_count() const { return nodes_.size(); }
  size_t node_bytes() const { return nodes_.bytes(); }
  // As NodeTable::Fits and NodeTable::Charge.
  bool Fits(size_t more_bytes) const { return nodes_.Fits(more_bytes); }
  void Charge(size_t bytes_before, size_t bytes_now) { nodes_.Charge(bytes_before, bytes_now); }
  uint32_t open_directories() const { return directories_.size(); }
  // How many opens were made or tried since the start.
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
