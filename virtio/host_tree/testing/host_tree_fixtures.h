// A HostTree of a temporary directory, for tests.
#ifndef VIRTIO_HOST_TREE_TESTING_HOST_TREE_FIXTURES_H_
#define VIRTIO_HOST_TREE_TESTING_HOST_TREE_FIXTURES_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {

class HostTreeTest : public testing::Test {
 protected:
  void Open(uint32_t max_directories = 16, size_t max_nodes = 1000) {
    HostTree::Options options;
    options.name = "fs[0]";
    options.path = host_.Path("root");
    options.max_directories = max_directories;
    options.max_node_bytes = NodeTable::BytesFor(max_nodes);
    OpenWith(std::move(options));
  }
  void OpenWithClosure(absl::string_view text) {
    host_.Write("paths", text);
    HostTree::Options options;
    options.name = "fs[0]";
    options.path = host_.Path("root");
    options.closure = host_.Path("paths");
    OpenWith(std::move(options));
  }
  void OpenWith(HostTree::Options options) {
    auto tree = HostTree::Open(std::move(options));
    ASSERT_TRUE(tree.ok()) << tree.status();
    tree_ = std::move(tree).value();
  }
  // Looks up a path, one name after the other. Returns the error of the first lookup that fails.
  HostError Walk(const std::vector<std::string>& names, NodeId& id) {
    id = kRootNode;
    for (const std::string& name : names) {
      FoundNode found;
      if (const HostError error = tree_->Lookup(id, name, found); error != 0) return error;
      id = found.id;
    }
    return 0;
  }
  NodeId Get(const std::vector<std::string>& names) {
    NodeId id;
    EXPECT_EQ(Walk(names, id), 0);
    return id;
  }
  HostError LookupError(NodeId directory, absl::string_view name) {
    FoundNode found;
    return tree_->Lookup(directory, name, found);
  }
  // Returns the content of a file, or "error N" if it cannot be opened.
  std::string Content(NodeId id) {
    base::UniqueFd fd;
    if (const HostError error = tree_->OpenFile(id, fd); error != 0)
      return absl::StrCat("error ", error.number());
    char bytes[256];
    const ssize_t size = read(fd.get(), bytes, sizeof(bytes));
    return std::string(bytes, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  }
  std::vector<std::string> List(NodeId id, uint64_t offset = 0) {
    std::vector<std::string> names;
    EXPECT_EQ(tree_->ReadDirectory(id, offset,
                                   [&names](const DirectoryEntry& entry) {
                                     names.emplace_back(entry.name);
                                     return true;
                                   }),
              0);
    return names;
  }

  TemporaryTree host_{testing::TempDir()};
  std::unique_ptr<HostTree> tree_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_TESTING_HOST_TREE_FIXTURES_H_
