#include "virtio/block/block_image.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace virtio {
namespace {

using testing::HasSubstr;

class BlockImageTest : public testing::Test {
 protected:
  BlockImageTest() {
    std::string pattern = absl::StrCat(testing::TempDir(), "/image-XXXXXX");
    directory_ = mkdtemp(pattern.data());
  }
  ~BlockImageTest() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return absl::StrCat(directory_, "/", name); }
  std::string MakeFile(const std::string& name, uint64_t bytes) const {
    std::ofstream(Path(name)).put('x');
    std::filesystem::resize_file(Path(name), bytes);
    return Path(name);
  }
  static absl::StatusOr<BlockImage> Open(const std::string& path, bool readonly = false,
                                         bool direct = false) {
    return BlockImage::Open(
        {.name = "disks[0].path", .path = path, .readonly = readonly, .direct = direct});
  }
  // Returns the message, with DIR for the directory.
  std::string ErrorOf(const absl::StatusOr<BlockImage>& image) const {
    if (image.ok()) return "OK";
    return absl::StrReplaceAll(std::string(image.status().message()), {{directory_, "DIR"}});
  }

  std::string directory_;
};

TEST_F(BlockImageTest, OpensAFile) {
  auto image = Open(MakeFile("a.raw", 1 << 20));
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->size_bytes(), 1u << 20);
  EXPECT_EQ(image->logical_block_bytes(), 512u);
  EXPECT_EQ(image->io_alignment(), 1u);
  EXPECT_EQ(fcntl(image->fd(), F_GETFD), FD_CLOEXEC);
}

TEST_F(BlockImageTest, RoundsTheSizeDown) {
  auto image = Open(MakeFile("a.raw", 1025));
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->size_bytes(), 1024u);
}

TEST_F(BlockImageTest, BadFilesHaveTheirOwnMessages) {
  std::filesystem::create_directory(Path("d"));
  mkfifo(Path("p").c_str(), 0600);
  EXPECT_EQ(ErrorOf(Open(Path("none.raw"))),
            "disks[0].path: DIR/none.raw: cannot open: No such file or directory (ENOENT); make an "
            "image with: truncate -s 10G FILE");
  EXPECT_EQ(
      ErrorOf(Open(Path("d"))),
      "disks[0].path: DIR/d: is a directory; a disk needs a raw image file or a block device");
  EXPECT_EQ(ErrorOf(Open(Path("p"))),
            "disks[0].path: DIR/p: is a pipe; a disk needs a file or a block device");
  EXPECT_EQ(
      ErrorOf(Open("/dev/null")),
      "disks[0].path: /dev/null: is a character device; a disk needs a file or a block device");
  EXPECT_EQ(
      ErrorOf(Open(MakeFile("empty", 0))),
      "disks[0].path: DIR/empty: is empty (0 bytes); give it a size with: truncate -s 10G FILE");
  EXPECT_EQ(
      ErrorOf(Open(MakeFile("tiny", 511))),
      "disks[0].path: DIR/tiny: is empty (511 bytes); give it a size with: truncate -s 10G FILE");
}

TEST_F(BlockImageTest, TwoWritersAreKeptApart) {
  const std::string path = MakeFile("a.raw", 4096);
  {
    auto first = Open(path);
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(ErrorOf(Open(path)),
              "disks[0].path: DIR/a.raw: in use by another process, which holds a lock on it (two "
              "writers would destroy it); stop the other VM or give each its own image, or set "
              "readonly in both");
    EXPECT_THAT(ErrorOf(Open(path, true)), HasSubstr("(it writes to it)"));
  }
  EXPECT_TRUE(Open(path).ok()) << "the lock must end with the image";
}

TEST_F(BlockImageTest, ManyReadersMayShare) {
  const std::string path = MakeFile("a.raw", 4096);
  auto first = Open(path, true);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(Open(path, true).ok());
  EXPECT_THAT(ErrorOf(Open(path)), HasSubstr("in use by another process"));
}

TEST_F(BlockImageTest, HolderOfAClassicLockIsNamed) {
  const std::string path = MakeFile("a.raw", 4096);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const int fd = open(path.c_str(), O_RDWR);
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    fcntl(fd, F_SETLK, &lock);
    [[maybe_unused]] const ssize_t written = write(ready[1], "x", 1);
    pause();
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_THAT(ErrorOf(Open(path)), HasSubstr(absl::StrCat("in use by process ", child, ",")));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST_F(BlockImageTest, PassedDescriptorIsUsedAndLocked) {
  const std::string path = MakeFile("a.raw", 4096);
  base::UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  auto image = BlockImage::Open({.name = "disks[0].fd", .path = "fd", .fd = std::move(fd)});
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_FALSE(Open(path).ok()) << "the descriptor must be locked";
}

TEST_F(BlockImageTest, PassedDescriptorMustBeAWritableDisk) {
  const std::string path = MakeFile("a.raw", 4096);
  base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(ErrorOf(BlockImage::Open({.name = "disks[0].fd", .path = "fd 3", .fd = std::move(fd)})),
            "disks[0].fd: fd 3: the descriptor is not open for writing; set readonly");
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  base::UniqueFd other(sockets[1]);
  EXPECT_THAT(ErrorOf(BlockImage::Open(
                  {.name = "disks[0].fd", .path = "fd 3", .fd = base::UniqueFd(sockets[0])})),
              HasSubstr("is no file"));
}

TEST_F(BlockImageTest, SetSizeTakesANewMeasurement) {
  const std::string path = MakeFile("a.raw", 4096);
  auto image = Open(path);
  ASSERT_TRUE(image.ok());
  std::filesystem::resize_file(path, 8192 + 100);
  EXPECT_EQ(MeasureImage(image->fd()).value(), 8292u);
  EXPECT_EQ(image->SetSize(8292), 8192u);
  EXPECT_EQ(image->size_bytes(), 8192u);
  EXPECT_FALSE(MeasureImage(-1).ok());
}

TEST_F(BlockImageTest, DirectReportsAlignments) {
  auto image = Open(MakeFile("a.raw", 1 << 20), false, true);
  if (!image.ok()) {  // depends on the file system of the temporary directory
    EXPECT_THAT(ErrorOf(image), HasSubstr("set direct to false"));
    return;
  }
  EXPECT_GE(image->memory_alignment(), 1u);
  EXPECT_GE(image->io_alignment(), 512u);
  EXPECT_EQ(image->size_bytes() % image->io_alignment(), 0u);
}

// A guest would not notice that it has lost the end of its disk, and with it a copy of its
// partition table.
TEST_F(BlockImageTest, DirectDoesNotCutSectorsOffTheEnd) {
  const auto open = [](const std::string& path, bool direct) {
    return BlockImage::Open(
        {.name = "disks[0].path", .path = path, .direct = direct, .least_direct_alignment = 4096});
  };
  const std::string path = MakeFile("a.raw", 4096 + 512);
  EXPECT_EQ(open(path, false)->size_bytes(), 4608u);
  const auto image = open(path, true);
  ASSERT_FALSE(image.ok());
  EXPECT_THAT(ErrorOf(image), HasSubstr("set direct to false"));
}

TEST_F(BlockImageTest, TheSizeIsAMultipleOfTheGuestsSector) {
  const std::string path = MakeFile("a.raw", 10000);
  auto image = BlockImage::Open({.name = "disk", .path = path, .logical_block_bytes = 4096});
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->size_bytes(), 8192u);
  EXPECT_EQ(image->physical_block_bytes(), 4096u);
  EXPECT_EQ(image->SetSize(13000), 12288u);
}

}  // namespace
}  // namespace virtio
