// The files that a guest knows: what identifies them, where they were found, and how often the
// guest holds them.
#ifndef VIRTIO_HOST_TREE_NODE_TABLE_H_
#define VIRTIO_HOST_TREE_NODE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"

namespace virtio {

// What the guest calls a node. The id of a node that is gone is not used again soon.
enum class NodeId : uint64_t {};
inline constexpr NodeId kRootNode{1};  // as FUSE_ROOT_ID

// What identifies a file of the host. A file system gives the inode number of a removed file to a
// new file, but not with the same time of birth. A file that is mounted at two places counts as two
// files, because one of the mounts may be read-only.
struct FileIdentity {
  uint32_t device = 0;  // 12 bits of the major number and 20 of the minor, all that Linux has
  uint32_t mount = 0;   // the low bits of the number of the mount
  uint64_t inode = 0;
  int64_t birth_ns = 0;  // or a substitute: a hash of the file handle, or the S_IFMT bits

  bool operator==(const FileIdentity&) const = default;
  template <typename H>
  friend H AbslHashValue(H state, const FileIdentity& identity) {
    return H::combine(std::move(state), identity.device, identity.mount, identity.inode,
                      identity.birth_ns);
  }
};

class HostFile;

// A file, directory or other object. Its address does not change while it is in the table.
struct Node {
  absl::string_view name() const { return {name_bytes.get(), name_size}; }

  FileIdentity identity;
  uint64_t lookups = 0;                // how often the guest holds the node
  Node* parent = nullptr;              // where the node was last found; null for the root
  std::unique_ptr<char[]> name_bytes;  // the name there, with a NUL after it
  HostFile* files = nullptr;           // that the guest has open; they keep the node
  Node* newer = nullptr;               // in the list of the nodes with a path_fd
  Node* older = nullptr;
  NodeId id{0};
  uint32_t children = 0;  // nodes whose parent this is
  int path_fd = -1;       // O_PATH, or -1: see DirectoryCache
  uint16_t type = 0;      // S_IFMT bits
  uint8_t name_size = 0;
  bool orphan = false;  // the guest removed the name; `parent` is where the file was
};

// How many directories below each other a request may have to open again. The guest and the host
// can nest more of them, but no path of a system call has more names.
inline constexpr size_t kMaxDepth = 2048;

// Grows when the guest looks files up, up to a limit, and shrinks when the guest forgets files. One
// thread.
class NodeTable {
 public:
  // Takes up to about `max_bytes` of memory, but always what the root needs. Calls `on_remove` with
  // every node before the node is removed; it must close the node's `path_fd`.
  NodeTable(
      const FileIdentity& root, size_t max_bytes,
      absl::AnyInvocable<void(Node&)> on_remove = [](Node&) {});
  ~NodeTable();
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  Node& root() { return *root_; }
  size_t size() const { return by_identity_.size(); }

  // Returns the node with this id, or nullptr. The id can be anything.
  Node* Find(NodeId id);
  // Returns the node of this file, or nullptr.
  Node* Find(const FileIdentity& identity);
  // Returns the node of the file found as `name` in `parent` and counts one lookup more. Makes the
  // node if the file is new; returns nullptr if there is no memory for that. The node of a file
  // that was found elsewhere before moves, as by Place.
  Node* Insert(const FileIdentity& identity, uint16_t type, Node& parent, absl::string_view name);
  // Records where a file is now, unless that would make the node its own ancestor. Removes the
  // parent that the node had, if nobody needs that parent any more.
  void Place(Node& node, Node& parent, absl::string_view name);
  // The memory that the table takes, with all names and all that is charged.
  size_t bytes() const;
  // True if there is memory for one more file of this name.
  bool FitsNew(absl::string_view name) const { return Fits(BytesForNew(name.size())); }
  // True if there is memory for a rename that makes two names as long as names can be.
  bool FitsNames() const;
  // Other objects keep memory for the guest, too, and that memory counts as the table's. Fits
  // returns true if there is room for `more_bytes`. Charge counts `bytes_now` instead of
  // `bytes_before`.
  bool Fits(size_t more_bytes) const { return bytes() + more_bytes <= max_bytes_; }
  void Charge(size_t bytes_before, size_t bytes_now) { charged_bytes_ += bytes_now - bytes_before; }
  // Returns the memory of a table with `nodes` nodes, the root among them, whose names have up to
  // 23 bytes.
  static size_t BytesFor(size_t nodes);
  // True if the guest has forgotten the node and has not opened it, and the node has no children
  // and is not the root.
  bool IsUnused(const Node& node) const {
    return node.lookups == 0 && node.children == 0 && node.files == nullptr && &node != root_;
  }
  // Removes the node if it is unused, and then each parent that is unused without it.
  void RemoveUnused(Node& node);

  // Calls `function` with every node; it must not add or remove any.
  template <typename Function>
  void ForEach(Function function) {
    for (Node* node : by_identity_) function(*node);
  }

 private:
  static constexpr uint32_t kChunkNodes = 512;
  static constexpr size_t kMaxNameBytes = 255;  // NAME_MAX
  // Part of the table. The host gets its memory back when none of its nodes is used.
  struct Chunk {
    std::unique_ptr<Node[]> nodes;  // null if the chunk has no memory
    std::vector<uint16_t> free;
    size_t open_index = 0;  // in open_chunks_, if `free` is not empty
  };
  static constexpr size_t kChunkBytes = kChunkNodes * (sizeof(Node) + sizeof(uint16_t));
  struct Hash {
    using is_transparent = void;
    size_t operator()(const FileIdentity& identity) const {
      return absl::Hash<FileIdentity>()(identity);
    }
    size_t operator()(const Node* node) const { return (*this)(node->identity); }
  };
  struct Same {
    using is_transparent = void;
    static const FileIdentity& Key(const FileIdentity& identity) { return identity; }
    static const FileIdentity& Key(const Node* node) { return node->identity; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Key(a) == Key(b);
    }
  };

  Node* Allocate();
  void Release(Node& node);
  void OpenChunk(uint32_t chunk);
  void CloseChunk(uint32_t chunk);
  void SetName(Node& node, absl::string_view name);
  // Returns the memory that one more node takes.
  size_t BytesForNew(size_t name_size) const;

  const size_t max_bytes_;
  absl::AnyInvocable<void(Node&)> on_remove_;
  size_t name_bytes_ = 0;  // of memory for names
  size_t charged_bytes_ = 0;
  std::vector<Chunk> chunks_;
  std::vector<uint32_t> open_chunks_;    // chunks with free nodes
  std::vector<uint32_t> absent_chunks_;  // chunks without memory
  uint32_t generation_ = 0;              // of the next id
  absl::flat_hash_set<Node*, Hash, Same> by_identity_;
  size_t peak_ = 0;  // most nodes since the host last got memory back
  Node* root_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_NODE_TABLE_H_
