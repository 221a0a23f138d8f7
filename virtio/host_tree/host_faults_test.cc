// Tests what the tree does when the host fails to look at a file.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>

#include "virtio/host_tree/testing/host_changes_fixtures.h"

namespace {

// `failing_look` says which of the next looks at a descriptor fails, counted from 1. The status of
// `stale_file` is then in the buffer, as that of an earlier look may be: when statx fails, the
// kernel leaves the buffer as it is.
int failing_look = 0;
std::string stale_file;

}  // namespace

// Replaces the function of the C library.
extern "C" int statx(int directory, const char* name, int flags, unsigned mask,
                     struct statx* status) noexcept {
  if (*name == '\0' && failing_look > 0 && --failing_look == 0) {
    syscall(SYS_statx, AT_FDCWD, stale_file.c_str(), 0, mask, status);
    errno = EIO;
    return -1;
  }
  return static_cast<int>(syscall(SYS_statx, directory, name, flags, mask, status));
}

namespace virtio {
namespace {

TEST_F(HostChangesTest, ANewFileThatCannotBeLookedAtIsNotRemoved) {
  Open();
  stale_file = host_.Path("root/file");
  failing_look = 1;
  FoundNode found;
  std::unique_ptr<HostFile> file;
  // The status in the buffer may be that of any file that has the name by then.
  EXPECT_EQ(tree_->Create(kRootNode, "file", kRoot, 0644, O_RDWR, found, file), EIO);
  EXPECT_EQ(failing_look, 0);
  EXPECT_EQ(file, nullptr);
  EXPECT_TRUE(OnHost("file"));
}

TEST_F(HostChangesTest, ANewFileThatCannotBeGivenAwayIsRemoved) {
  if (!IsRoot()) GTEST_SKIP() << "gives files to others";
  host_.Write("root/other", "the host's");
  Open();
  stale_file = host_.Path("root/other");
  FoundNode found;
  std::unique_ptr<HostFile> file;
  // Look 1 is at the file, look 2 at its directory, and look 3 at the file with its new owner.
  for (const int look : {2, 3}) {
    failing_look = look;
    EXPECT_EQ(tree_->Create(kRootNode, "file", kUser, 0644, O_RDWR, found, file), EIO) << look;
    EXPECT_EQ(failing_look, 0) << look;
    EXPECT_FALSE(OnHost("file")) << look;
  }
  // Again, look 1 is at the new directory, look 2 at its parent, and look 3 at the directory.
  for (const int look : {2, 3}) {
    failing_look = look;
    EXPECT_EQ(tree_->MakeDirectory(kRootNode, "dir", kUser, 0755, found), EIO) << look;
    EXPECT_EQ(failing_look, 0) << look;
    EXPECT_FALSE(OnHost("dir")) << look;
  }
  EXPECT_TRUE(OnHost("other"));
  EXPECT_EQ(tree_->node_count(), 1U);
}

}  // namespace
}  // namespace virtio
