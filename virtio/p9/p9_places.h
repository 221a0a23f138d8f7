// The names that fids were walked by. REMOVE and RENAME of a fid act on that name.
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

// A file can have several names, and its node knows only the name by which the file was last found.
// A fid stands for the name that it was walked by; if the guest renames the file, the fid's name
// follows. Fids with the same name share a place. A directory has only one name, which its node
// knows, so it needs no place. One thread.
class P9Places {
 public:
  class Place {
   public:
    // Returns false once the guest has removed or replaced the name.
    bool is_there() const { return directory_ != NodeId{0}; }
    NodeId directory() const { return directory_; }
    absl::string_view name() const { return name_; }

   private:
    friend class P9Places;
    NodeId directory_{0};  // held
    std::string name_;     // if the place is gone: a text that no other place has
    uint32_t users_ = 0;
  };

  // `tree` must outlive the places. All names together have at most `max_bytes` bytes, and places
  // are charged to the tree. Beyond these bounds no place is made, and a place whose new name does
  // not fit is lost.
  P9Places(HostTree& tree, size_t max_bytes) : tree_(tree), max_bytes_(max_bytes) {}

  // Returns the place of `name` in a directory that the guest knows, and counts one more user of
  // it. Returns nullptr if the names take too much memory.
  Place* Acquire(NodeId directory, absl::string_view name);
  // Counts one more user, or one user less.
  static void Hold(Place& place) { ++place.users_; }
  void Release(Place& place);

  // Records that the guest has removed a name.
  void Remove(NodeId directory, absl::string_view name);
  // Records that the guest has renamed a file. The file that had the new name has lost it.
  void Move(NodeId from, absl::string_view from_name, NodeId to, absl::string_view to_name);
  // Drops all places. Their users are gone, and the tree holds no nodes for the guest any more.
  void Clear();

  size_t size() const { return places_.size(); }

 private:
  using Key = std::pair<NodeId, absl::string_view>;
  // Memory for one place, without its name.
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
  // Makes `name` in `directory` the key of a place. Directory 0: the place is gone.
  void Put(Place& place, NodeId directory, std::string name);
  // Moves a place of the table to another key.
  void Replace(absl::flat_hash_set<std::unique_ptr<Place>, Hash, Same>::iterator at,
               NodeId directory, std::string name);

  HostTree& tree_;
  const size_t max_bytes_;
  size_t bytes_ = 0;   // of the names of all places that are not gone
  uint64_t gone_ = 0;  // how many places are gone; each has its number as its name
  absl::flat_hash_set<std::unique_ptr<Place>, Hash, Same> places_;
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_PLACES_H_
