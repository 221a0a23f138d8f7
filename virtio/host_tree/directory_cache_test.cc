#include "virtio/host_tree/directory_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>

namespace virtio {
namespace {

class DirectoryCacheTest : public testing::Test {
 protected:
  void Keep(Node& node) {
    cache_.Keep(node, base::UniqueFd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  }
  static bool IsOpen(const Node& node) {
    return node.path_fd >= 0 && fcntl(node.path_fd, F_GETFD) >= 0;
  }

  Node a_, b_, c_;
  DirectoryCache cache_{2};
};

TEST_F(DirectoryCacheTest, ANodeBeyondTheLimitClosesTheNodeUsedLongestAgo) {
  Keep(a_);
  Keep(b_);
  cache_.Touch(a_);
  Keep(c_);
  EXPECT_EQ(cache_.size(), 2U);
  EXPECT_TRUE(IsOpen(a_));
  EXPECT_EQ(b_.path_fd, -1);
  EXPECT_TRUE(IsOpen(c_));
}

TEST_F(DirectoryCacheTest, TheNewestStaysOpenWhenDescriptorsRunOut) {
  EXPECT_FALSE(cache_.GivesUp(EMFILE));
  Keep(a_);
  EXPECT_FALSE(cache_.GivesUp(EMFILE));
  Keep(b_);
  EXPECT_FALSE(cache_.GivesUp(EACCES));
  EXPECT_TRUE(cache_.GivesUp(ENFILE));
  EXPECT_EQ(a_.path_fd, -1);
  EXPECT_TRUE(IsOpen(b_));
}

TEST_F(DirectoryCacheTest, AClosedNodeCanBeKeptAgain) {
  Keep(a_);
  Keep(b_);
  cache_.Close(a_);
  cache_.Close(a_);
  EXPECT_EQ(cache_.size(), 1U);
  Keep(a_);
  Keep(c_);
  EXPECT_EQ(b_.path_fd, -1);
  EXPECT_TRUE(IsOpen(a_));
}

TEST(DirectoryCache, ClosesAllNodesAtItsEnd) {
  Node node;
  {
    DirectoryCache cache(2);
    cache.Keep(node, base::UniqueFd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  }
  EXPECT_EQ(node.path_fd, -1);
}

}  // namespace
}  // namespace virtio
