#include "virtio/host_tree/node_opener.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <optional>
#include <string>

#include "virtio/host_tree/file_name.h"
#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {
namespace {

class NodeOpenerTest : public testing::Test {
 protected:
  // Makes the file `name` in `parent` a node.
  Node& Enter(Node& parent, absl::string_view name) {
    int fd = -1;
    SeenFile seen;
    EXPECT_EQ(opener_.DirectoryFd(parent, fd), 0);
    EXPECT_EQ(root_.Look(fd, NameBuffer(name).bytes, seen), 0) << name;
    return *nodes_.Insert(seen.identity, TypeOf(seen.status), parent, name);
  }

  TemporaryTree host_{testing::TempDir()};
  HostRoot root_{*OpenRoot("fs[0]", host_.path(), std::nullopt), /*submounts=*/false, directories_};
  NodeTable nodes_{root_.identity(), NodeTable::BytesFor(10),
                   [this](Node& node) { directories_.Close(node); }};
  // LIFETIME: ends before nodes_, because it closes the nodes that it holds open. root_ only keeps
  // the reference until a test calls it.
  DirectoryCache directories_{2};
  NodeOpener opener_{root_, directories_};
};

TEST_F(NodeOpenerTest, AClosedDirectoryIsOpenedAgain) {
  for (const char* name : {"a", "b", "c"}) host_.Directory(name);
  Node& a = Enter(nodes_.root(), "a");
  int fd = -1;
  for (Node* node : {&a, &Enter(nodes_.root(), "b"), &Enter(nodes_.root(), "c")}) {
    EXPECT_EQ(opener_.DirectoryFd(*node, fd), 0);
  }
  EXPECT_EQ(a.path_fd, -1);
  const uint64_t before = root_.opens();
  EXPECT_EQ(opener_.DirectoryFd(a, fd), 0);
  EXPECT_EQ(fd, a.path_fd);
  EXPECT_EQ(root_.opens(), before + 1);
  EXPECT_EQ(opener_.DirectoryFd(a, fd), 0);
  EXPECT_EQ(root_.opens(), before + 1);
  directories_.Close(a);
}

TEST_F(NodeOpenerTest, AnotherFileOfTheSameNameIsStale) {
  host_.Write("file", "old");
  Node& file = Enter(nodes_.root(), "file");
  host_.Rename("file", "moved");
  host_.Write("file", "new");
  struct statx status;
  base::UniqueFd fd;
  int path_fd;
  EXPECT_EQ(opener_.Status(file, status), ESTALE);
  EXPECT_EQ(opener_.Open(file, O_RDONLY, fd), ESTALE);
  EXPECT_EQ(opener_.NodeFd(file, path_fd, fd), ESTALE);
}

TEST_F(NodeOpenerTest, AFileWhoseNameTheGuestHasRemovedIsStale) {
  host_.Write("file", "content");
  Node& file = Enter(nodes_.root(), "file");
  file.orphan = true;
  struct statx status;
  base::UniqueFd fd;
  EXPECT_EQ(opener_.Status(file, status), ESTALE);
  EXPECT_EQ(opener_.Open(file, O_RDONLY, fd), ESTALE);
}

TEST_F(NodeOpenerTest, AnOpenedFileBlocksAndAppendsIfAsked) {
  host_.Write("file", "content");
  Node& file = Enter(nodes_.root(), "file");
  base::UniqueFd fd;
  ASSERT_EQ(opener_.Open(file, O_RDWR | O_APPEND, fd), 0);
  EXPECT_EQ(fcntl(fd.get(), F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_APPEND);
  ASSERT_EQ(opener_.Open(file, O_RDONLY, fd), 0);
  EXPECT_EQ(fcntl(fd.get(), F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDONLY);
}

TEST_F(NodeOpenerTest, ReadLinkNeedsALink) {
  host_.Link("target", "link");
  host_.Write("file", "content");
  std::string target;
  EXPECT_EQ(opener_.ReadLink(Enter(nodes_.root(), "link"), target), 0);
  EXPECT_EQ(target, "target");
  EXPECT_EQ(opener_.ReadLink(Enter(nodes_.root(), "file"), target), EINVAL);
}

}  // namespace
}  // namespace virtio
