#include "virtio/host_tree/file_maker.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>
#include <filesystem>
#include <optional>
#include <string>

#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {
namespace {

class FileMakerTest : public testing::Test {
 protected:
  HostError Make(const char* name, const NewFile& file) {
    SeenFile made;
    return maker_.Make(root_.fd(), name, caller_, file, made);
  }
  struct stat HostStatus(const char* name) const {
    struct stat status = {};
    EXPECT_EQ(lstat(host_.Path(name).c_str(), &status), 0) << name;
    return status;
  }

  TemporaryTree host_{testing::TempDir()};
  DirectoryCache directories_{2};
  HostRoot root_{*OpenRoot("fs[0]", host_.path(), std::nullopt), /*submounts=*/false, directories_};
  const Ownership owners_{{}, {}, OwnRights()};
  CallWatch watch_;
  FileMaker maker_{root_, owners_, watch_};
  const Caller caller_ = {.uid = geteuid(), .gid = getegid(), .umask = 027};
};

TEST_F(FileMakerTest, TakesTheUmaskOffTheMode) {
  EXPECT_EQ(Make("dir", {.mode = S_IFDIR | 0777}), 0);
  EXPECT_EQ(Make("pipe", {.mode = S_IFIFO | 0666}), 0);
  EXPECT_EQ(HostStatus("dir").st_mode, S_IFDIR | 0750U);
  EXPECT_EQ(HostStatus("pipe").st_mode, S_IFIFO | 0640U);
  SeenFile made;
  base::UniqueFd fd;
  EXPECT_EQ(maker_.MakeRegular(root_.fd(), "file", caller_, 0666, O_RDWR, made, fd), 0);
  EXPECT_EQ(HostStatus("file").st_mode, S_IFREG | 0640U);
  EXPECT_EQ(made.status.stx_ino, HostStatus("file").st_ino);
  EXPECT_EQ(write(fd.get(), "x", 1), 1);
}

TEST_F(FileMakerTest, RefusesDevicesAndUnknownTypes) {
  EXPECT_EQ(Make("block", {.mode = S_IFBLK | 0600}), EPERM);
  EXPECT_EQ(Make("null", {.mode = S_IFCHR | 0600, .device_major = 1, .device_minor = 3}), EPERM);
  EXPECT_EQ(Make("regular", {.mode = S_IFREG | 0600}), EINVAL);
  EXPECT_EQ(Make("none", {.mode = 0600}), EINVAL);
  EXPECT_EQ(Make("link", {.mode = S_IFLNK, .target = std::string(PATH_MAX, 'x')}), ENAMETOOLONG);
  EXPECT_EQ(Make("link", {.mode = S_IFLNK, .target = absl::string_view("a\0b", 3)}), EINVAL);
  EXPECT_TRUE(std::filesystem::is_empty(host_.path()));
}

TEST_F(FileMakerTest, MakesNothingForACallerWithoutAnOwnerOnTheHost) {
  SeenFile made;
  const Caller nobody = {.uid = UINT32_MAX};
  EXPECT_EQ(maker_.Make(root_.fd(), "dir", nobody, {.mode = S_IFDIR | 0755}, made), EPERM);
  EXPECT_TRUE(std::filesystem::is_empty(host_.path()));
}

TEST_F(FileMakerTest, RemovesAMadeFileOnlyIfItStillHasItsName) {
  SeenFile made;
  base::UniqueFd fd;
  ASSERT_EQ(maker_.MakeRegular(root_.fd(), "file", caller_, 0644, O_RDWR, made, fd), 0);
  host_.Rename("file", "moved");
  host_.Write("file", "the host's");
  maker_.Remove(root_.fd(), "file", made.identity);
  EXPECT_TRUE(std::filesystem::exists(host_.Path("file")));
  maker_.Remove(root_.fd(), "moved", made.identity);
  EXPECT_FALSE(std::filesystem::exists(host_.Path("moved")));
}

TEST_F(FileMakerTest, GivesAWhiteoutToTheCallerAndLeavesOtherFilesAlone) {
  if (geteuid() != 0) GTEST_SKIP() << "cannot give files to others";
  FileMaker::Making making;
  ASSERT_EQ(maker_.Begin({.uid = 1000, .gid = 100}, making), 0);
  ASSERT_EQ(mknod(host_.Path("whiteout").c_str(), S_IFCHR, 0), 0);
  ASSERT_EQ(mkfifo(host_.Path("pipe").c_str(), 0600), 0);
  ASSERT_EQ(mknod(host_.Path("null").c_str(), S_IFCHR, makedev(1, 3)), 0);
  for (const char* name : {"whiteout", "pipe", "null"}) {
    maker_.OwnWhiteout(root_.fd(), name, making);
  }
  EXPECT_EQ(HostStatus("whiteout").st_uid, 1000U);
  EXPECT_EQ(HostStatus("whiteout").st_gid, 100U);
  EXPECT_EQ(HostStatus("pipe").st_uid, 0U);
  EXPECT_EQ(HostStatus("null").st_uid, 0U);
}

}  // namespace
}  // namespace virtio
