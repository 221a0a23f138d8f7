#include "virtio/host_tree/node_table.h"

#include <malloc.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace virtio {
namespace {

// A table that never had this many nodes has too little memory to give back.
constexpr size_t kTrimPeak = 8192;

// A hash table has one byte beside each slot. The number of slots is a power of two less one, and
// an eighth of them stays free.
constexpr size_t kSlotBytes = sizeof(void*) + 1;
size_t MaxUsed(size_t slots) { return slots - slots / 8; }

// Returns the memory of the heap for a name with its NUL.
size_t MemoryOfName(size_t size) {
  constexpr size_t kHeapHeader = 8;
  constexpr size_t kHeapStep = 16;
  constexpr size_t kHeapLeast = 32;
  return std::max(kHeapLeast, (size + 1 + kHeapHeader + kHeapStep - 1) / kHeapStep * kHeapStep);
}

uint32_t IndexOf(NodeId id) { return static_cast<uint32_t>(static_cast<uint64_t>(id)) - 1; }

NodeId MakeId(uint32_t generation, uint32_t index) {
  return NodeId{uint64_t{generation} << 32 | (uint64_t{index} + 1)};
}

}  // namespace

NodeTable::NodeTable(const FileIdentity& root, size_t max_bytes,
                     absl::AnyInvocable<void(Node&)> on_remove)
    : max_bytes_(max_bytes), on_remove_(std::move(on_remove)), root_(Allocate()) {
  by_identity_.reserve(kChunkNodes);
  CHECK(root_->id == kRootNode);
  root_->identity = root;
  root_->type = S_IFDIR;
  SetName(*root_, "");
  by_identity_.insert(root_);
}

NodeTable::~NodeTable() = default;

Node* NodeTable::Find(NodeId id) {
  const uint32_t index = IndexOf(id);
  const uint32_t chunk = index / kChunkNodes;
  if (chunk >= chunks_.size() || chunks_[chunk].nodes == nullptr) return nullptr;
  Node& node = chunks_[chunk].nodes[index % kChunkNodes];
  // A free node has id 0, which no guest can name: the index of id 0 is out of range.
  return node.id == id ? &node : nullptr;
}

Node* NodeTable::Insert(const FileIdentity& identity, uint16_t type, Node& parent,
                        absl::string_view name) {
  if (const auto found = by_identity_.find(identity); found != by_identity_.end()) {
    Node& node = **found;
    const size_t known = MemoryOfName(node.name_size);
    const size_t needed = MemoryOfName(name.size());
    if (needed > known && !Fits(needed - known)) return nullptr;
    Place(node, parent, name);
    ++node.lookups;
    return &node;
  }
  if (!FitsNew(name)) return nullptr;
  Node* node = Allocate();
  node->identity = identity;
  node->type = type;
  node->lookups = 1;
  node->parent = &parent;
  SetName(*node, name);
  ++parent.children;
  by_identity_.insert(node);
  peak_ = std::max(peak_, size());
  return node;
}

Node* NodeTable::Find(const FileIdentity& identity) {
  const auto found = by_identity_.find(identity);
  return found != by_identity_.end() ? *found : nullptr;
}

void NodeTable::Place(Node& node, Node& parent, absl::string_view name) {
  if (&node == root_) return;
  if (node.parent == &parent && node.name() == name) {
    node.orphan = false;
    return;
  }
  // The host may move directories between two looks, so recorded places can be from different
  // moments. They must not become a circle.
  size_t depth = 0;
  for (const Node* ancestor = &parent; ancestor != nullptr; ancestor = ancestor->parent) {
    if (ancestor == &node || ++depth > kMaxDepth) return;
  }
  node.orphan = false;
  Node* left = std::exchange(node.parent, &parent);
  --left->children;
  ++parent.children;
  SetName(node, name);
  RemoveUnused(*left);
}

void NodeTable::RemoveUnused(Node& node) {
  Node* next = &node;
  while (next != nullptr && IsUnused(*next)) {
    Node& unused = *std::exchange(next, next->parent);
    on_remove_(unused);
    CHECK(unused.path_fd < 0);
    by_identity_.erase(&unused);
    --next->children;
    Release(unused);
  }
  if (peak_ < kTrimPeak || size() > peak_ / 8) return;
  peak_ = size();
  by_identity_.rehash(0);
  malloc_trim(0);  // names are small, and the heap would keep their memory
}

void NodeTable::SetName(Node& node, absl::string_view name) {
  CHECK(name.size() <= kMaxNameBytes);
  if (node.name_bytes != nullptr) name_bytes_ -= MemoryOfName(node.name_size);
  name_bytes_ += MemoryOfName(name.size());
  node.name_bytes = std::make_unique<char[]>(name.size() + 1);
  std::copy(name.begin(), name.end(), node.name_bytes.get());
  node.name_size = static_cast<uint8_t>(name.size());
}

// --- Memory --------------------------------------------------------------------------------------

size_t NodeTable::bytes() const {
  const size_t chunks = chunks_.size() - absent_chunks_.size();
  return chunks * kChunkBytes + chunks_.capacity() * sizeof(Chunk) + name_bytes_ +
         by_identity_.capacity() * kSlotBytes + charged_bytes_;
}

bool NodeTable::FitsNames() const { return Fits(2 * MemoryOfName(kMaxNameBytes)); }

size_t NodeTable::BytesForNew(size_t name_size) const {
  size_t more = MemoryOfName(name_size);
  if (open_chunks_.empty()) more += kChunkBytes;
  // A hash table that is full grows to twice its size.
  const size_t slots = by_identity_.capacity();
  if (by_identity_.size() >= MaxUsed(slots)) more += (slots + 1) * kSlotBytes;
  return more;
}

size_t NodeTable::BytesFor(size_t nodes) {
  size_t slots = 1;
  while (MaxUsed(slots) < std::max<size_t>(nodes, kChunkNodes)) slots = slots * 2 + 1;
  const size_t chunks = (nodes + kChunkNodes - 1) / kChunkNodes;
  size_t chunk_slots = 1;
  while (chunk_slots < chunks) chunk_slots *= 2;
  return chunks * kChunkBytes + chunk_slots * sizeof(Chunk) + nodes * MemoryOfName(0) +
         slots * kSlotBytes;
}

Node* NodeTable::Allocate() {
  if (open_chunks_.empty()) {
    uint32_t number;
    if (absent_chunks_.empty()) {
      number = static_cast<uint32_t>(chunks_.size());
      chunks_.emplace_back();
    } else {
      number = absent_chunks_.back();
      absent_chunks_.pop_back();
    }
    Chunk& chunk = chunks_[number];
    chunk.nodes = std::make_unique<Node[]>(kChunkNodes);
    chunk.free.reserve(kChunkNodes);
    for (uint32_t i = kChunkNodes; i > 0; --i) chunk.free.push_back(static_cast<uint16_t>(i - 1));
    OpenChunk(number);
  }
  const uint32_t number = open_chunks_.back();
  Chunk& chunk = chunks_[number];
  const uint16_t slot = chunk.free.back();
  chunk.free.pop_back();
  if (chunk.free.empty()) CloseChunk(number);
  Node& node = chunk.nodes[slot];
  node.id = MakeId(generation_++, number * kChunkNodes + slot);
  return &node;
}

void NodeTable::Release(Node& node) {
  const uint32_t index = IndexOf(node.id);
  const uint32_t number = index / kChunkNodes;
  Chunk& chunk = chunks_[number];
  name_bytes_ -= MemoryOfName(node.name_size);
  node = Node();
  if (chunk.free.empty()) OpenChunk(number);
  chunk.free.push_back(static_cast<uint16_t>(index % kChunkNodes));
  if (chunk.free.size() < kChunkNodes) return;
  CloseChunk(number);
  chunk = Chunk();
  absent_chunks_.push_back(number);
}

void NodeTable::OpenChunk(uint32_t chunk) {
  chunks_[chunk].open_index = open_chunks_.size();
  open_chunks_.push_back(chunk);
}

void NodeTable::CloseChunk(uint32_t chunk) {
  const size_t index = chunks_[chunk].open_index;
  open_chunks_[index] = open_chunks_.back();
  chunks_[open_chunks_[index]].open_index = index;
  open_chunks_.pop_back();
}

}  // namespace virtio
