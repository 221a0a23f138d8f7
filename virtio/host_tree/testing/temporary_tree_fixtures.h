// A directory for one test, removed at its end.
#ifndef VIRTIO_HOST_TREE_TESTING_TEMPORARY_TREE_FIXTURES_H_
#define VIRTIO_HOST_TREE_TESTING_TEMPORARY_TREE_FIXTURES_H_

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "virtio/host_tree/owner_map.h"

namespace virtio {

class TemporaryTree {
 public:
  explicit TemporaryTree(const std::string& parent) : path_(parent + "/tree-XXXXXX") {
    CHECK(mkdtemp(path_.data()) != nullptr);
  }
  ~TemporaryTree() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryTree(const TemporaryTree&) = delete;
  TemporaryTree& operator=(const TemporaryTree&) = delete;

  const std::string& path() const { return path_; }
  std::string Path(absl::string_view name) const { return absl::StrCat(path_, "/", name); }
  void Directory(absl::string_view name) const { std::filesystem::create_directories(Path(name)); }
  void Write(absl::string_view name, absl::string_view content) const {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    const base::UniqueFd fd(open(Path(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
    CHECK(write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  }
  void Link(absl::string_view target, absl::string_view name) const {
    CHECK(symlink(std::string(target).c_str(), Path(name).c_str()) == 0);
  }
  void Rename(absl::string_view from, absl::string_view to) const {
    CHECK(rename(Path(from).c_str(), Path(to).c_str()) == 0);
  }
  uint64_t Inode(absl::string_view name) const {
    struct stat status;
    CHECK(lstat(Path(name).c_str(), &status) == 0);
    return status.st_ino;
  }

 private:
  std::string path_;
};

// Maps the guest's `ids` to the host's id `own`. Maps nothing if the test runs as root, which can
// give files to anyone.
inline OwnerMap MapToOwn(uint32_t own, std::initializer_list<uint32_t> ids) {
  std::vector<OwnerRange> ranges;
  if (geteuid() != 0) {
    for (const uint32_t id : ids) ranges.push_back({.guest = id, .host = own});
  }
  return OwnerMap(std::move(ranges));
}

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_TESTING_TEMPORARY_TREE_FIXTURES_H_
