// A directory of the host as a guest may see it: names resolved below one root and never above it,
// filtered, owners mapped. The only code of a share that touches host files; it knows no protocol.
//
// Every step goes from a directory that is held open to one name in it, which is no path and not
// followed if it is a symbolic link: links are the guest's to resolve. So nothing that the host
// moves or the guest asks leads out of the root.
//
// Functions return 0 or an errno for the guest. They may block on the host's file system: the
// thread that calls them should serve nothing but shares.
#ifndef VIRTIO_HOST_TREE_HOST_TREE_H_
#define VIRTIO_HOST_TREE_HOST_TREE_H_

#include <sys/statfs.h>

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "virtio/host_tree/closure.h"
#include "virtio/host_tree/node_table.h"
#include "virtio/host_tree/owner_map.h"

struct statx;

namespace virtio {

struct FileTime {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
};

struct FileAttributes {
  uint64_t device = 0;  // of the host, on which the inode's number is unique
  uint64_t inode = 0;
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

struct DirectoryEntry {
  absl::string_view name;  // "." and ".." among them; valid during the call
  uint64_t inode = 0;
  uint64_t next_offset = 0;  // where the entry behind it begins
  uint8_t type = 0;          // DT_*
};

class HostTree {
 public:
  struct Options {
    std::string name;  // in messages: "fs[0]"
    std::string path;  // of the root
    // Names of the root that exist; without it all do.
    std::optional<std::string> closure;
    // Mount points below the root are not entered.
    bool one_file_system = false;
    OwnerMap uids = {};
    OwnerMap gids = {};
    size_t max_nodes = 2 << 20;      // that a guest can hold
    uint32_t max_directories = 256;  // held open at a time; at least 2
  };

  // Opens the root and reads the closure. Control thread; may block. Errors are one line: key,
  // file, errno or missing path.
  static absl::StatusOr<std::unique_ptr<HostTree>> Open(Options options);
  ~HostTree();
  HostTree(const HostTree&) = delete;
  HostTree& operator=(const HostTree&) = delete;

  // Reads the closure file again; what is new in it becomes visible, nothing disappears. On an
  // error nothing changes. No effect without a closure.
  absl::Status RereadClosure();
  bool has_closure() const { return closure_file_.has_value(); }

  // One thread from here on.

  // Finds `name`, any bytes, in directory `directory`; on success the guest holds the node once
  // more.
  int Lookup(NodeId directory, absl::string_view name, FoundNode& found);
  // Finds the directory in which `directory` was last found, or the root for the root; on success
  // the guest holds it once more. What the host has moved since leads nowhere else.
  int LookupParent(NodeId directory, FoundNode& found);
  // The guest holds a node that it knows once more.
  void Hold(NodeId id);
  // The guest gives up `count` of what it holds, at most all. Returns true if the node is gone.
  bool Forget(NodeId id, uint64_t count);
  // The guest gives up all it holds.
  void ForgetAll();
  bool Knows(NodeId id) { return nodes_.Find(id) != nullptr; }

  int GetAttributes(NodeId id, FileAttributes& attributes);
  // Puts the target of a symbolic link into `target`.
  int ReadLink(NodeId id, std::string& target);
  // Calls `visit` for the entries of a directory from `offset` on (0, or one that was given) until
  // it returns false, which takes the entry back, or none is left. `visit` may call Lookup.
  int ReadDirectory(NodeId id, uint64_t offset,
                    absl::FunctionRef<bool(const DirectoryEntry&)> visit);
  // Opens a regular file for reading.
  int OpenFile(NodeId id, base::UniqueFd& file);
  // With a closure it is full, and files are not counted.
  int GetFileSystem(struct statfs& file_system);

  size_t node_count() const { return nodes_.size(); }
  uint32_t open_directories() const { return open_directories_; }

 private:
  // A directory being read, kept for the next request.
  struct Listing {
    NodeId id;
    base::UniqueFd fd;
    uint64_t offset = 0;  // of the first entry in `bytes`, or where the host goes on
    size_t position = 0;
    size_t size = 0;
    std::vector<uint8_t> bytes;
  };

  HostTree(Options options, base::UniqueFd root, const struct statx& root_status);
  absl::Status LoadClosure();
  absl::Status CheckListed(const std::vector<absl::string_view>& names) const;
  // Takes what the root has off `names`.
  absl::Status EraseExisting(absl::flat_hash_set<absl::string_view>& names) const;

  // Looks at `name` in an open directory.
  int Status(int directory_fd, const char* name, struct statx& status) const;
  // Looks at a node where it was last found; ESTALE if something else is there.
  int StatusOf(Node& node, struct statx& status);
  // `directory_fd` is the root's, or that of the directory used last. Closes others if descriptors
  // run out.
  int OpenIn(int directory_fd, const char* name, int flags, base::UniqueFd& fd);
  // Opens `node` by name; ESTALE if something else is there.
  int OpenNode(Node& node, int flags, base::UniqueFd& fd);
  int OpenNodeIn(int parent_fd, const Node& node, int flags, base::UniqueFd& fd);
  // Returns the descriptor of a directory, opened if need be. Valid until the next call.
  int DirectoryFd(Node& node, int& fd);
  void Touch(Node& node);
  void PushNewest(Node& node);
  void Unlink(Node& node);
  void CloseDirectory(Node& node);
  void RemoveUnused(Node* node);
  FileAttributes ToAttributes(const Node& node, const struct statx& status) const;

  int ReadClosureRoot(uint64_t offset, absl::FunctionRef<bool(const DirectoryEntry&)> visit);
  int ReadHostDirectory(Node& node, uint64_t offset,
                        absl::FunctionRef<bool(const DirectoryEntry&)> visit);
  // Returns the listing of a directory at `offset`, or nullptr and sets `error`.
  Listing* FindListing(Node& node, uint64_t offset, int& error);
  void DropListing(NodeId id);

  const Options options_;
  const base::UniqueFd root_;
  const uint64_t root_inode_;
  const uint64_t root_mount_;
  std::optional<ClosureFile> closure_file_;
  NameSet visible_;
  FileTime closure_read_;  // when the root last changed, in the guest's eyes
  NodeTable nodes_;
  Node* newest_directory_ = nullptr;  // the open ones but the root, in order of use
  Node* oldest_directory_ = nullptr;
  uint32_t open_directories_ = 0;
  std::list<Listing> listings_;  // newest first
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_HOST_TREE_H_
