// A writable HostTree of a temporary directory, for tests.
#ifndef VIRTIO_HOST_TREE_TESTING_HOST_CHANGES_FIXTURES_H_
#define VIRTIO_HOST_TREE_TESTING_HOST_CHANGES_FIXTURES_H_

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/testing/host_tree_fixtures.h"

namespace virtio {

inline constexpr Caller kRoot = {};
inline constexpr Caller kUser = {.uid = 1000, .gid = 100, .umask = 027};

class HostChangesTest : public HostTreeTest {
 protected:
  void SetUp() override { host_.Directory("root"); }
  void Open(bool writable = true, uint32_t max_directories = 8, size_t max_nodes = 1000) {
    HostTree::Options options;
    options.name = "fs[0]";
    options.path = host_.Path("root");
    options.writable = writable;
    options.max_directories = max_directories;
    options.max_node_bytes = NodeTable::BytesFor(max_nodes);
    options.uids = MapToOwn(geteuid(), {0, 1000});
    options.gids = MapToOwn(getegid(), {0, 100});
    OpenWith(std::move(options));
  }
  NodeId Find(NodeId directory, absl::string_view name) {
    FoundNode found;
    EXPECT_EQ(tree_->Lookup(directory, name, found), 0) << name;
    return found.id;
  }
  FoundNode MakeFile(NodeId directory, absl::string_view name, const Caller& caller = kRoot,
                     uint32_t mode = 0644) {
    FoundNode found;
    std::unique_ptr<HostFile> file;
    EXPECT_EQ(tree_->Create(directory, name, caller, mode, O_RDWR, found, file), 0) << name;
    return found;
  }
  FoundNode MakeDirectory(NodeId directory, absl::string_view name, const Caller& caller = kRoot,
                          uint32_t mode = 0755) {
    FoundNode found;
    EXPECT_EQ(tree_->MakeDirectory(directory, name, caller, mode, found), 0) << name;
    return found;
  }
  FileAttributes Attributes(NodeId id) {
    FileAttributes attributes;
    EXPECT_EQ(tree_->GetAttributes(id, attributes), 0);
    return attributes;
  }
  HostError Set(NodeId id, const AttributeChanges& changes) {
    FileAttributes attributes;
    return tree_->SetAttributes(id, changes, nullptr, attributes);
  }
  struct stat HostStatus(absl::string_view name) {
    struct stat status = {};
    EXPECT_EQ(lstat(host_.Path(absl::StrCat("root/", name)).c_str(), &status), 0) << name;
    return status;
  }
  bool OnHost(absl::string_view name) {
    struct stat status;
    return lstat(host_.Path(absl::StrCat("root/", name)).c_str(), &status) == 0;
  }
  static std::string Content(const HostFile& file) {
    char bytes[256];
    const ssize_t size = pread(file.fd(), bytes, sizeof(bytes), 0);
    return size < 0 ? absl::StrCat("error ", errno) : std::string(bytes, static_cast<size_t>(size));
  }
  static bool IsRoot() { return geteuid() == 0; }
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_TESTING_HOST_CHANGES_FIXTURES_H_
