// Tests files that are made in a tree: their modes, owners and limits.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/testing/host_changes_fixtures.h"

namespace virtio {
namespace {

TEST_F(HostChangesTest, ANewFileHasTheModeUmaskAndOwnerThatWereAskedFor) {
  Open();
  const FoundNode file = MakeFile(kRootNode, "file", kUser, 0666);
  EXPECT_EQ(file.attributes.mode, S_IFREG | 0640U);
  EXPECT_EQ(HostStatus("file").st_mode, S_IFREG | 0640U);
  const FoundNode directory = MakeDirectory(kRootNode, "dir", kUser, 01777);
  EXPECT_EQ(directory.attributes.mode, S_IFDIR | 01750U);
  FoundNode found;
  ASSERT_EQ(tree_->MakeNode(kRootNode, "pipe", kUser, S_IFIFO | 0666, 0, 0, found), 0);
  EXPECT_EQ(HostStatus("pipe").st_mode, S_IFIFO | 0640U);
  ASSERT_EQ(tree_->MakeNode(kRootNode, "socket", kUser, S_IFSOCK | 0600, 0, 0, found), 0);
  EXPECT_EQ(HostStatus("socket").st_mode, S_IFSOCK | 0600U);
  ASSERT_EQ(tree_->MakeSymlink(kRootNode, "link", kUser, "/etc/passwd", found), 0);
  std::string target;
  ASSERT_EQ(tree_->ReadLink(found.id, target), 0);
  EXPECT_EQ(target, "/etc/passwd");
  if (!IsRoot()) return;
  for (const char* name : {"file", "dir", "pipe", "socket", "link"}) {
    EXPECT_EQ(HostStatus(name).st_uid, 1000U) << name;
    EXPECT_EQ(HostStatus(name).st_gid, 100U) << name;
  }
  // The host clears set-id bits when a file is given away, so they must be set after that.
  MakeFile(kRootNode, "set-id", {.uid = 1000, .gid = 100}, 06755);
  EXPECT_EQ(HostStatus("set-id").st_mode, S_IFREG | 06755U);
}

TEST_F(HostChangesTest, TheUmaskOfTheProcessDoesNotChange) {
  const mode_t before = umask(031);
  Open();
  EXPECT_EQ(MakeFile(kRootNode, "file", {.umask = 0}, 0777).attributes.mode, S_IFREG | 0777U);
  EXPECT_EQ(umask(before), 031U);
}

TEST_F(HostChangesTest, NewFilesGetTheGroupOfASetGroupIdDirectory) {
  if (!IsRoot()) GTEST_SKIP() << "needs another group";
  host_.Directory("root/dir");
  ASSERT_EQ(chown(host_.Path("root/dir").c_str(), 0, 4321), 0);
  ASSERT_EQ(chmod(host_.Path("root/dir").c_str(), 02777), 0);
  Open();
  const NodeId directory = Find(kRootNode, "dir");
  const FoundNode file = MakeFile(directory, "file", kUser);
  EXPECT_EQ(file.attributes.gid, 4321U);
  EXPECT_EQ(file.attributes.uid, 1000U);
  const FoundNode below = MakeDirectory(directory, "below", kUser);
  EXPECT_EQ(below.attributes.gid, 4321U);
  EXPECT_EQ(below.attributes.mode, S_IFDIR | 02750U);
}

TEST_F(HostChangesTest, ADefaultAclReplacesTheUmask) {
  host_.Directory("root/dir");
  // A default ACL: version 2; user rwx, group rwx, mask rwx, others r-x.
  const uint8_t acl[] = {2,    0, 0, 0,                          //
                         0x01, 0, 7, 0, 0xff, 0xff, 0xff, 0xff,  //
                         0x04, 0, 7, 0, 0xff, 0xff, 0xff, 0xff,  //
                         0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff,  //
                         0x20, 0, 5, 0, 0xff, 0xff, 0xff, 0xff};
  if (setxattr(host_.Path("root/dir").c_str(), "system.posix_acl_default", acl, sizeof(acl), 0) !=
      0) {
    GTEST_SKIP() << "no ACLs here";
  }
  Open();
  const FoundNode file = MakeFile(Find(kRootNode, "dir"), "file", {.umask = 077}, 0666);
  EXPECT_EQ(file.attributes.mode & 0777, 0664U);
}

TEST_F(HostChangesTest, CreateOpensAnExistingFileUnlessExclusive) {
  host_.Write("root/file", "content");
  host_.Link("file", "root/link");
  host_.Directory("root/dir");
  Open();
  FoundNode found;
  std::unique_ptr<HostFile> file;
  EXPECT_EQ(tree_->Create(kRootNode, "file", kRoot, 0644, O_RDWR | O_EXCL, found, file), EEXIST);
  EXPECT_EQ(tree_->Create(kRootNode, "file", kRoot, 0644, O_RDWR, found, file), 0);
  EXPECT_EQ(Content(*file), "content");
  EXPECT_EQ(tree_->Create(kRootNode, "file", kRoot, 0644, O_RDWR | O_TRUNC, found, file), 0);
  EXPECT_EQ(Content(*file), "");
  EXPECT_EQ(tree_->Create(kRootNode, "link", kRoot, 0644, O_RDWR, found, file), EACCES);
  EXPECT_EQ(tree_->Create(kRootNode, "dir", kRoot, 0644, O_RDWR, found, file), EISDIR);
  EXPECT_EQ(tree_->node_count(), 2U);  // files that were not opened are not held
}

TEST_F(HostChangesTest, DevicesAreNotMade) {
  Open();
  FoundNode found;
  EXPECT_EQ(tree_->MakeNode(kRootNode, "null", kRoot, S_IFCHR | 0666, 1, 3, found), EPERM);
  EXPECT_EQ(tree_->MakeNode(kRootNode, "disk", kRoot, S_IFBLK | 0666, 0, 0, found), EPERM);
  EXPECT_EQ(tree_->MakeNode(kRootNode, "what", kRoot, S_IFDIR | 0666, 0, 0, found), EINVAL);
  EXPECT_EQ(tree_->MakeNode(kRootNode, "what", kRoot, 0, 0, 0, found), EINVAL);
  EXPECT_EQ(tree_->MakeNode(kRootNode, "whiteout", kRoot, S_IFCHR | 0666, 0, 0, found), 0);
  EXPECT_EQ(HostStatus("whiteout").st_rdev, 0U);
}

TEST_F(HostChangesTest, AFullTableRenamesNothing) {
  host_.Write("root/b", "x");
  Open(true, 8, 2);
  MakeFile(kRootNode, "a");
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, std::string(255, 'n'), 0), ENFILE);
  EXPECT_TRUE(OnHost("a"));
}

TEST_F(HostChangesTest, AFullTableMakesNothing) {
  Open(true, 8, 2);
  MakeFile(kRootNode, "file");
  FoundNode found;
  std::unique_ptr<HostFile> file;
  EXPECT_EQ(tree_->Create(kRootNode, "more", kRoot, 0644, O_RDWR, found, file), ENFILE);
  EXPECT_EQ(tree_->MakeDirectory(kRootNode, "more", kRoot, 0755, found), ENFILE);
  EXPECT_FALSE(OnHost("more"));
}

TEST_F(HostChangesTest, OwnersAreMappedBothWays) {
  if (!IsRoot()) GTEST_SKIP() << "needs other owners";
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = host_.Path("root");
  options.writable = true;
  options.uids = OwnerMap({{.guest = 0, .host = 5000, .count = 10}});
  options.gids = OwnerMap({{.guest = 0, .host = 6000, .count = 10}});
  OpenWith(std::move(options));
  const FoundNode file = MakeFile(kRootNode, "file", {.uid = 3, .gid = 4});
  EXPECT_EQ(file.attributes.uid, 3U);
  EXPECT_EQ(HostStatus("file").st_uid, 5003U);
  EXPECT_EQ(HostStatus("file").st_gid, 6004U);
  EXPECT_EQ(Set(file.id, {.uid = 9}), 0);
  EXPECT_EQ(HostStatus("file").st_uid, 5009U);
  EXPECT_EQ(HostStatus("file").st_gid, 6004U);
  EXPECT_EQ(Set(file.id, {.uid = 10}), EPERM);
  EXPECT_EQ(Set(file.id, {.gid = UINT32_MAX}), EPERM);
  FoundNode found;
  EXPECT_EQ(tree_->MakeDirectory(kRootNode, "dir", {.uid = 10}, 0755, found), EPERM);
  EXPECT_FALSE(OnHost("dir"));
}

TEST_F(HostChangesTest, FilesOfOwnersOutsideTheMapsCannotBeChanged) {
  if (!IsRoot()) GTEST_SKIP() << "needs other owners";
  host_.Write("root/strangers", "content");
  host_.Write("root/of a group", "content");
  ASSERT_EQ(chown(host_.Path("root/of a group").c_str(), 5000, 0), 0);
  for (const char* name : {"root/strangers", "root/of a group"}) {
    ASSERT_EQ(chmod(host_.Path(name).c_str(), 04755), 0);
  }
  host_.Directory("root/dir");
  ASSERT_EQ(chmod(host_.Path("root/dir").c_str(), 02777), 0);
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = host_.Path("root");
  options.writable = true;
  options.uids = OwnerMap({{.guest = 0, .host = 5000, .count = 10}});
  options.gids = OwnerMap({{.guest = 0, .host = 6000, .count = 10}});
  OpenWith(std::move(options));
  for (const char* name : {"strangers", "of a group"}) {
    const NodeId file = Find(kRootNode, name);
    EXPECT_EQ(Set(file, {.mode = 0755}), EPERM) << name;
    EXPECT_EQ(Set(file, {.uid = 1}), EPERM) << name;
    EXPECT_EQ(Set(file, {.size_bytes = 1}), EPERM) << name;
    std::unique_ptr<HostFile> opened;
    EXPECT_EQ(tree_->OpenFile(file, O_WRONLY, opened), EACCES) << name;
    EXPECT_EQ(tree_->OpenFile(file, O_RDONLY | O_TRUNC, opened), EACCES) << name;
    EXPECT_EQ(tree_->OpenFile(file, O_RDONLY, opened), 0) << name;
    EXPECT_EQ(tree_->ClearPrivileges(*opened), 0) << name;
    EXPECT_EQ(Set(file, {.modified = {5, 0}}), EPERM) << name;
    EXPECT_EQ(tree_->SetXattr(file, "user.a", "x", 0), EPERM) << name;
    EXPECT_EQ(tree_->RemoveXattr(file, "user.a"), EPERM) << name;
    EXPECT_EQ(HostStatus(name).st_mode, S_IFREG | 04755U) << name;
    EXPECT_NE(HostStatus(name).st_mtim.tv_sec, 5) << name;
    EXPECT_EQ(HostStatus(name).st_size, 7) << name;
  }
  // The guest cannot make a file that runs with a group of the host either.
  MakeFile(Find(kRootNode, "dir"), "file", {.uid = 3, .gid = 4}, 06755);
  EXPECT_EQ(HostStatus("dir/file").st_gid, 0U);
  EXPECT_EQ(HostStatus("dir/file").st_mode, S_IFREG | 04755U);
}

TEST_F(HostChangesTest, DirectoriesTooDeepToBeOpenedAgainAreRefused) {
  Open(/*writable=*/true, /*max_directories=*/2, /*max_nodes=*/2 * kMaxDepth);
  const NodeId first = MakeDirectory(kRootNode, "d").id;
  NodeId deepest = first;
  for (size_t depth = 1; depth < kMaxDepth + 8; ++depth) deepest = MakeDirectory(deepest, "d").id;
  EXPECT_EQ(LookupError(deepest, "none"), ENOENT);
  // The use of other directories closes the deepest one.
  for (const char* name : {"a", "b", "c"}) MakeDirectory(MakeDirectory(first, name).id, "x");
  EXPECT_EQ(LookupError(deepest, "none"), ELOOP);
  EXPECT_EQ(std::system(absl::StrCat("rm -rf ", host_.Path("root/d")).c_str()), 0);
}

}  // namespace
}  // namespace virtio
