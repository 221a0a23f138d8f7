// The names that fids were walked by: where a remove or rename by fid acts.
#ifndef VIRTIO_P9_P9_PLACES_H_
#define VIRTIO_P9_P9_PLACES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "virtio/host_tree/host_tree.h"

namespace virtio {

// A file can have several names, and a node knows the one by which the file was last found. A fid
// means the name it was walked by, which follows what the guest renames. Fids of one name share a
// place. Directories have one name, which their node knows, and no place. One thread.
class P9Places {
 public:
  class Place {
   public:
    // False once the guest has removed or replaced the name.
    bool is_there() const { return directory_ != NodeId{0}; }
    NodeId directory() const { return directory_; }
    absl::string_view name() const { return name_; }

   private:
    friend class P9Places;
    NodeId directory_{0};  // held
    std::string name_;     // of a place that is gone: what no other has
    uint32_t users_ = 0;
  };

  // `tree` must outlive the places. All names together have at most `max_bytes`, and places count
  // as nodes of the tree: beyond, places are not made, and those that get a longer name are lost.
  P9Places(HostTree& tree, size_t max_bytes) : tree_(tree), max_bytes_(max_bytes) {}

  // Returns the place of `name` in a directory that the guest knows, for one user more, or nullptr
  // if the names take too much memory.
  Place* Acquire(NodeId directory, absl::string_view name);
  // For one user more, and less.
  static void Hold(Place& place) { ++place.users_; }
  void Release(Place& place);

  // The guest has taken a name away.
  void Remove(NodeId directory, absl::string_view name);
  // The guest has renamed a file; what had the new name has lost it.
  void Move(NodeId from, absl::string_view from_name, NodeId to, absl::string_view to_name);
  // Nobody uses any place any more, nor holds a node.
  void Clear();

  size_t size() const { return places_.size(); }

 private:
  using Key = std::pair<NodeId, absl::string_view>;
  // What a place takes of memory, but for its name.
  static constexpr size_t kPlaceBytes = sizeof(Place) + 64;
  struct Hash {
    using is_transparent = void;
    size_t operator()(const Key& key) const { return absl::Hash<Key>()(key); }
    size_t operator()(const std::unique_ptr<Place>& place) const { return (*this)(KeyOf(*place)); }
  };
  struct Same {
    using is_transparent = void;
    static const Key& ToKey(const Key& key) { return key; }
    static Key ToKey(const std::unique_ptr<Place>& place) { return KeyOf(*place); }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return ToKey(a) == ToKey(b);
    }
  };

  static Key KeyOf(const Place& place) { return {place.directory_, place.name_}; }
  // Makes `name` in `directory` the key of a place; 0: it is not there any more.
  void Put(Place& place, NodeId directory, std::string name);
  // Takes a place that is in the table away from one key and to another.
  void Replace(absl::flat_hash_set<std::unique_ptr<Place>, Hash, Same>::iterator at,
               NodeId directory, std::string name);

  HostTree& tree_;
  const size_t max_bytes_;
  size_t bytes_ = 0;   // of the names of places that are there
  uint64_t gone_ = 0;  // places that were lost, each of which has its number for a name
  absl::flat_hash_set<std::unique_ptr<Place>, Hash, Same> places_;
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_PLACES_H_
