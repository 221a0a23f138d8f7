// Which names of a store a guest may see.
#ifndef VIRTIO_HOST_TREE_CLOSURE_H_
#define VIRTIO_HOST_TREE_CLOSURE_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace virtio {

// Returns the base names of the store paths that `text` lists. `text` has one absolute path a line,
// or is what `nix-store --dump-db` and --register-validity exchange (path, hash, size, deriver,
// number of references, references). The names are parts of `text`. Any text is allowed. An error
// names the line that is wrong; all paths must be in one directory.
absl::StatusOr<std::vector<absl::string_view>> ParseClosure(absl::string_view text);

// A closure file that is read again from time to time. The directory of the file stays open, and
// the file is opened in it by name. So Read finds a file that has replaced the old one, and no path
// is resolved again.
class ClosureFile {
 public:
  static constexpr size_t kMaxBytes = 256 << 20;

  // `name` is for messages: "fs[0].closure".
  static absl::StatusOr<ClosureFile> Open(std::string name, std::string path);

  // Returns the content. May block.
  absl::StatusOr<std::string> Read() const;
  // Returns "fs[0].closure: PATH".
  std::string Name() const;

 private:
  ClosureFile(std::string name, std::string path, base::UniqueFd directory);

  std::string name_;
  std::string path_;
  base::UniqueFd directory_;
};

// A set of names that only grows. Each name has a number, counted from 0, that never changes.
class NameSet {
 public:
  // Adds the names that are new, in their order. The first function copies names, the second takes
  // the memory of another set over.
  void Add(const std::vector<absl::string_view>& names);
  void Add(NameSet other);
  // Returns the number of a name, or nullopt if the set does not have the name.
  std::optional<size_t> Find(absl::string_view name) const;
  bool Contains(absl::string_view name) const { return Find(name).has_value(); }
  size_t size() const { return names_.size(); }
  absl::string_view operator[](size_t i) const { return names_[i]; }

 private:
  void AddKept(absl::string_view name);

  std::vector<std::unique_ptr<char[]>> storage_;
  std::vector<absl::string_view> names_;
  absl::flat_hash_map<absl::string_view, size_t> numbers_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_CLOSURE_H_
