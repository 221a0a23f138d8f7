// The files a guest knows: who they are, where they were found, how often they were handed out.
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

// Names a node towards the guest. An id that was forgotten is not given out again soon.
enum class NodeId : uint64_t {};
inline constexpr NodeId kRootNode{1};  // as FUSE_ROOT_ID

// What makes a host file the same file: inode numbers are used again, times of birth are not. What
// is mounted at two places is two files, one of which may be read-only.
struct FileIdentity {
  uint32_t device =
      0;               // 12 bits of the major number, 20 of the minor: more than that Linux has not
  uint32_t mount = 0;  // the low bits of its number
  uint64_t inode = 0;
  int64_t birth_ns = 0;  // or what else tells: a hash of the file handle, or the S_IFMT bits

  bool operator==(const FileIdentity&) const = default;
  template <typename H>
  friend H AbslHashValue(H state, const FileIdentity& identity) {
    return H::combine(std::move(state), identity.device, identity.mount, identity.inode,
                      identity.birth_ns);
  }
};

class HostFile;

// A file, directory or other object. Stays in place while it is in the table.
struct Node {
  absl::string_view name() const { return {name_bytes.get(), name_size}; }

  FileIdentity identity;
  uint64_t lookups = 0;                // handed out and not forgotten
  Node* parent = nullptr;              // where it was last found, and under which name; null: root
  std::unique_ptr<char[]> name_bytes;  // with a NUL behind it
  HostFile* files = nullptr;           // by which the guest has it open, and it stays
  Node* newer = nullptr;               // in the list of those with a path_fd
  Node* older = nullptr;
  NodeId id{0};
  uint32_t children = 0;  // nodes whose parent this is
  int path_fd = -1;       // O_PATH: of what is in use, or of an orphan
  uint16_t type = 0;      // S_IFMT bits
  uint8_t name_size = 0;
  bool orphan = false;  // the guest took its name away; `parent` is where it was
};

// Directories below each other that a request may have to open again, one by one. The guest and the
// host can nest them without limit; no path that a system call takes has more names.
inline constexpr size_t kMaxDepth = 2048;

// Grows with what the guest looks up, up to a limit, and shrinks with what it forgets. One thread.
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

  // Returns the node with this id, or nullptr. Any id.
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
  // Memory that the table takes, names and all, with what is charged to it.
  size_t bytes() const;
  // True if there is memory for one more file of this name.
  bool FitsNew(absl::string_view name) const { return Fits(BytesForNew(name.size())); }
  // True if there is memory for two names to become as long as names can be, by a rename.
  bool FitsNames() const;
  // Others keep something for the guest beside its nodes, which counts as the table's. Fits tells
  // whether there is memory for so much more; Charge counts it.
  bool Fits(size_t more_bytes) const { return bytes() + more_bytes <= max_bytes_; }
  void Charge(size_t bytes_before, size_t bytes_now) { charged_bytes_ += bytes_now - bytes_before; }
  // What a table of so many nodes takes, the root among them, whose names have up to 23 bytes.
  static size_t BytesFor(size_t nodes);
  // True if nobody needs the node any more: forgotten, not open, no children, not the root.
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
  // Part of the table, given back to the host when it is empty.
  struct Chunk {
    std::unique_ptr<Node[]> nodes;  // null: not there
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
  // What one more node takes.
  size_t BytesForNew(size_t name_size) const;

  const size_t max_bytes_;
  absl::AnyInvocable<void(Node&)> on_remove_;
  size_t name_bytes_ = 0;  // of memory
  size_t charged_bytes_ = 0;
  std::vector<Chunk> chunks_;
  std::vector<uint32_t> open_chunks_;    // with free nodes
  std::vector<uint32_t> absent_chunks_;  // without memory
  uint32_t generation_ = 0;              // of the next id
  absl::flat_hash_set<Node*, Hash, Same> by_identity_;
  size_t peak_ = 0;  // nodes, since memory was last given back
  Node* root_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_NODE_TABLE_H_
