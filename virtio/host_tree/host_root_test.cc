#include "virtio/host_tree/host_root.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {
namespace {

class HostRootTest : public testing::Test {
 protected:
  TemporaryTree host_{testing::TempDir()};
  DirectoryCache directories_{2};
  HostRoot root_{*OpenRoot("fs[0]", host_.path(), std::nullopt), /*submounts=*/false, directories_};
};

TEST_F(HostRootTest, LinksAreSeenButNotFollowed) {
  host_.Write("file", "content");
  host_.Link("file", "link");
  SeenFile seen;
  EXPECT_EQ(root_.Look(root_.fd(), "link", seen), 0);
  EXPECT_TRUE(S_ISLNK(seen.status.stx_mode));
  EXPECT_EQ(root_.Look(root_.fd(), "link/", seen), ENOTDIR);
  base::UniqueFd fd;
  ASSERT_EQ(root_.OpenIn(root_.fd(), "link", O_PATH, fd), 0);
  struct statx status;
  EXPECT_EQ(root_.Status(fd.get(), "", status), 0);
  EXPECT_TRUE(S_ISLNK(status.stx_mode));
}

TEST_F(HostRootTest, NoNameLeadsOutOfTheRoot) {
  host_.Link("/", "link");
  base::UniqueFd fd;
  EXPECT_EQ(root_.OpenIn(root_.fd(), "..", O_PATH, fd), EXDEV);
  EXPECT_EQ(root_.OpenIn(root_.fd(), "/", O_PATH, fd), EXDEV);
  EXPECT_EQ(root_.OpenIn(root_.fd(), "link/etc", O_PATH, fd), ELOOP);
  EXPECT_FALSE(fd.valid());
}

TEST_F(HostRootTest, AFailedLookDescribesNoFile) {
  host_.Write("file", "content");
  SeenFile seen;
  ASSERT_EQ(root_.Look(root_.fd(), "file", seen), 0);
  EXPECT_EQ(seen.status.stx_size, 7U);
  EXPECT_EQ(root_.Look(root_.fd(), "none", seen), ENOENT);
  EXPECT_EQ(seen.status.stx_mode, 0U);
  EXPECT_EQ(seen.status.stx_size, 0U);
}

TEST_F(HostRootTest, ModesAndLinksNeedOnlyAPathDescriptor) {
  host_.Write("file", "content");
  base::UniqueFd fd;
  ASSERT_EQ(root_.OpenIn(root_.fd(), "file", O_PATH, fd), 0);
  EXPECT_EQ(root_.ChangeMode(fd.get(), 0100640), 0);
  EXPECT_EQ(root_.Link(fd.get(), root_.fd(), "other"), 0);
  struct statx status;
  EXPECT_EQ(root_.Status(root_.fd(), "other", status), 0);
  EXPECT_EQ(status.stx_mode, S_IFREG | 0640);
  EXPECT_EQ(status.stx_nlink, 2U);
  base::UniqueFd opened;
  ASSERT_EQ(root_.Reopen(fd.get(), O_RDONLY, opened), 0);
  char bytes[8];
  EXPECT_EQ(read(opened.get(), bytes, sizeof(bytes)), 7);
}

}  // namespace
}  // namespace virtio
