// Tests attributes, locks and extended attributes of files in a tree, and the rights that changes
// need.

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/testing/host_changes_fixtures.h"

namespace virtio {
namespace {

using testing::HasSubstr;

TEST_F(HostChangesTest, AttributesAreSetOnEveryKindOfFile) {
  host_.Link("nowhere", "root/link");
  ASSERT_EQ(mkfifo(host_.Path("root/pipe").c_str(), 0600), 0);
  Open();
  const NodeId file = MakeFile(kRootNode, "file", kRoot, 0).id;  // with no rights at all
  const NodeId directory = MakeDirectory(kRootNode, "dir", kRoot, 0).id;
  for (const NodeId id : {file, directory, Find(kRootNode, "pipe")}) {
    EXPECT_EQ(Set(id, {.mode = 07751}), 0);
    EXPECT_EQ(Attributes(id).mode & 07777, 07751U);
    EXPECT_EQ(Set(id, {.accessed = {123, 456}, .modified = {-5, 999'999'999}}), 0);
    EXPECT_EQ(Attributes(id).accessed.nanoseconds, 456U);
    EXPECT_EQ(Attributes(id).modified.seconds, -5);
    EXPECT_EQ(Set(id, {.modified = {7, 8}}), 0);
    EXPECT_EQ(Attributes(id).accessed.nanoseconds, 456U);
    EXPECT_EQ(Set(id, {.accessed = {0, UTIME_NOW}}), 0);
    EXPECT_GT(Attributes(id).accessed.seconds, 1'000'000'000);
    EXPECT_EQ(Attributes(id).modified.seconds, 7);
    EXPECT_EQ(Set(id, {.modified = {0, 1'000'000'000}}), EINVAL);
  }
  const NodeId link = Find(kRootNode, "link");
  EXPECT_EQ(Set(link, {.modified = {7, 8}}), 0);
  EXPECT_EQ(Attributes(link).modified.nanoseconds, 8U);
  EXPECT_EQ(Set(link, {.mode = 0600}), EOPNOTSUPP);
  EXPECT_EQ(Set(link, {.size_bytes = 0}), EINVAL);
  EXPECT_EQ(Set(directory, {.size_bytes = 0}), EISDIR);
  EXPECT_EQ(Set(file, {.size_bytes = 5'000'000'000}), 0);
  EXPECT_EQ(HostStatus("file").st_size, 5'000'000'000);
  EXPECT_EQ(Set(file, {.size_bytes = UINT64_MAX}), EFBIG);
  EXPECT_EQ(Set(kRootNode, {.mode = 0755}), 0);
}

TEST_F(HostChangesTest, ChangesByUsersClearSetIdBits) {
  Open();
  FoundNode found;
  std::unique_ptr<HostFile> file;
  ASSERT_EQ(tree_->Create(kRootNode, "file", kRoot, 06777, O_RDWR, found, file), 0);
  EXPECT_EQ(Set(found.id, {.size_bytes = 10}), 0);
  EXPECT_EQ(Attributes(found.id).mode & 07777, IsRoot() ? 06777U : 0777U);
  EXPECT_EQ(Set(found.id, {.size_bytes = 11, .clear_privileges = true}), 0);
  EXPECT_EQ(Attributes(found.id).mode & 07777, 0777U);
  EXPECT_EQ(Set(found.id, {.mode = 06767}), 0);
  EXPECT_EQ(tree_->ClearPrivileges(*file), 0);
  // Without the group's right to execute the file, set-group-id is no privilege and stays.
  EXPECT_EQ(Attributes(found.id).mode & 07777, 02767U);
}

TEST_F(HostChangesTest, OneRequestSetsOwnerSizeAndSetIdBits) {
  Open();
  const NodeId file = MakeFile(kRootNode, "file").id;
  EXPECT_EQ(Set(file, {.mode = 06755, .uid = 0, .gid = 0}), 0);
  EXPECT_EQ(HostStatus("file").st_mode & 07777, 06755U);
  EXPECT_EQ(Set(file, {.mode = 06755, .size_bytes = 9, .clear_privileges = true}), 0);
  EXPECT_EQ(HostStatus("file").st_mode & 07777, 06755U);
  EXPECT_EQ(HostStatus("file").st_size, 9);
  // A change of the owner alone clears the bits, as on the host.
  EXPECT_EQ(Set(file, {.uid = 0}), 0);
  EXPECT_EQ(HostStatus("file").st_mode & 07777, 0755U);
}

TEST_F(HostChangesTest, OpenFileKeepsOnlyTheFlagsThatCount) {
  host_.Write("root/file", "content");
  ASSERT_EQ(mkfifo(host_.Path("root/pipe").c_str(), 0600), 0);
  Open();
  const NodeId id = Find(kRootNode, "file");
  std::unique_ptr<HostFile> file;
  ASSERT_EQ(tree_->OpenFile(id, O_WRONLY | O_APPEND | O_DIRECT | O_CREAT, file), 0);
  EXPECT_EQ(fcntl(file->fd(), F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECT | O_CREAT),
            O_WRONLY | O_APPEND);
  EXPECT_EQ(pwrite(file->fd(), "!", 1, 0), 1);
  ASSERT_EQ(tree_->OpenFile(id, O_RDONLY, file), 0);
  EXPECT_EQ(Content(*file), "content!");
  EXPECT_EQ(pwrite(file->fd(), "!", 1, 0), -1);
  ASSERT_EQ(tree_->OpenFile(id, O_RDONLY | O_TRUNC, file), 0);
  EXPECT_EQ(Content(*file), "");
  EXPECT_EQ(tree_->OpenFile(id, O_ACCMODE, file), EINVAL);
  EXPECT_EQ(tree_->OpenFile(Find(kRootNode, "pipe"), O_RDWR, file), EACCES);
  EXPECT_EQ(tree_->OpenFile(kRootNode, O_RDWR, file), EISDIR);
  EXPECT_EQ(tree_->OpenDirectory(id, file), ENOTDIR);
  EXPECT_EQ(tree_->OpenDirectory(kRootNode, file), 0);
  EXPECT_EQ(fsync(file->fd()), 0);
}

TEST_F(HostChangesTest, FilesAreSearchedCopiedAndLocked) {
  Open();
  FoundNode found;
  std::unique_ptr<HostFile> a;
  std::unique_ptr<HostFile> b;
  ASSERT_EQ(tree_->Create(kRootNode, "a", kRoot, 0644, O_RDWR, found, a), 0);
  ASSERT_EQ(tree_->Create(kRootNode, "b", kRoot, 0644, O_RDWR, found, b), 0);
  ASSERT_EQ(pwrite(a->fd(), "content", 7, 1 << 20), 7);
  uint64_t at = 0;
  EXPECT_EQ(a->Seek(0, SEEK_DATA, at), 0);
  EXPECT_EQ(at, 1U << 20);
  EXPECT_EQ(a->Seek(0, SEEK_HOLE, at), 0);
  EXPECT_EQ(a->Seek(2 << 20, SEEK_DATA, at), ENXIO);
  EXPECT_EQ(a->Seek(0, SEEK_SET, at), EINVAL);
  EXPECT_EQ(a->Seek(UINT64_MAX, SEEK_DATA, at), EINVAL);
  EXPECT_EQ(a->CopyTo(*b, 1 << 20, 0, UINT64_MAX, at), 0);
  EXPECT_EQ(at, 7U);
  EXPECT_EQ(Content(*b), "content");
  EXPECT_EQ(a->CopyTo(*b, UINT64_MAX, 0, 1, at), EINVAL);

  std::unique_ptr<HostFile> other;
  ASSERT_EQ(tree_->OpenFile(found.id, O_RDWR, other), 0);
  EXPECT_EQ(b->SetLock({.type = F_WRLCK, .start = 5, .length = 10}), 0);
  EXPECT_EQ(other->SetLock({.type = F_RDLCK, .start = 14, .length = 0}), EAGAIN);
  FileLock lock = {.type = F_RDLCK};
  EXPECT_EQ(other->GetLock(lock), 0);
  EXPECT_EQ(lock.type, F_WRLCK);
  EXPECT_EQ(lock.start, 5U);
  EXPECT_EQ(lock.length, 10U);
  b.reset();
  EXPECT_EQ(other->SetLock({.type = F_RDLCK, .start = 14, .length = 0}), 0);
  EXPECT_EQ(other->SetLock({.type = F_RDLCK, .start = UINT64_MAX}), EINVAL);
}

TEST_F(HostChangesTest, OnlyExtendedAttributesOfUsersExist) {
  host_.Link("nowhere", "root/link");
  Open();
  const NodeId file = MakeFile(kRootNode, "file").id;
  const NodeId directory = MakeDirectory(kRootNode, "dir").id;
  std::string value;
  if (tree_->SetXattr(file, "user.a", "1", 0) == EOPNOTSUPP) GTEST_SKIP() << "none here";
  const std::string binary("\0\xff", 2);
  for (const NodeId id : {file, directory}) {
    EXPECT_EQ(tree_->SetXattr(id, "user.a", binary, 0), 0);
    EXPECT_EQ(tree_->SetXattr(id, "user.a", binary, XATTR_CREATE), EEXIST);
    EXPECT_EQ(tree_->SetXattr(id, "user.b", "", XATTR_REPLACE), ENODATA);
    EXPECT_EQ(tree_->SetXattr(id, "user.b", "", 0), 0);
    EXPECT_EQ(tree_->GetXattr(id, "user.a", value), 0);
    EXPECT_EQ(value, binary);
    EXPECT_EQ(tree_->GetXattr(id, "user.c", value), ENODATA);
    EXPECT_EQ(tree_->ListXattrs(id, value), 0);
    EXPECT_EQ(value.size(), 14U);
    EXPECT_THAT(value, HasSubstr(std::string("user.a\0", 7)));
    EXPECT_EQ(tree_->RemoveXattr(id, "user.a"), 0);
    EXPECT_EQ(tree_->RemoveXattr(id, "user.a"), ENODATA);
  }
  for (const char* name : {"security.capability", "trusted.overlay.opaque", "user", "", "userx.a",
                           "system.posix_acl_access", "security.selinux"}) {
    EXPECT_EQ(tree_->SetXattr(file, name, "x", 0), EOPNOTSUPP) << name;
    EXPECT_EQ(tree_->GetXattr(file, name, value), EOPNOTSUPP) << name;
    EXPECT_EQ(tree_->RemoveXattr(file, name), EOPNOTSUPP) << name;
  }
  EXPECT_EQ(tree_->SetXattr(file, "user." + std::string(300, 'x'), "x", 0), ERANGE);
  EXPECT_EQ(tree_->SetXattr(file, std::string("user.a\0b", 8), "x", 0), EOPNOTSUPP);
  EXPECT_EQ(tree_->SetXattr(file, "user.a", std::string(65537, 'x'), 0), E2BIG);
  EXPECT_EQ(tree_->SetXattr(file, "user.a", "x", 77), EINVAL);
  const NodeId link = Find(kRootNode, "link");
  EXPECT_EQ(tree_->SetXattr(link, "user.a", "x", 0), EPERM);
  EXPECT_EQ(tree_->GetXattr(link, "user.a", value), ENODATA);
  EXPECT_EQ(tree_->ListXattrs(link, value), 0);
  EXPECT_EQ(value, "");
  if (!IsRoot()) return;
  ASSERT_EQ(setxattr(host_.Path("root/file").c_str(), "trusted.x", "x", 1, 0), 0);
  EXPECT_EQ(tree_->ListXattrs(file, value), 0);
  EXPECT_EQ(value, std::string("user.b\0", 7));
}

// A user without privileges, with maps to the user's own ids, can make and change everything.
TEST_F(HostChangesTest, AnUnprivilegedProcessServesItsOwnFiles) {
  if (!IsRoot()) GTEST_SKIP() << "is not privileged anyway";
  ASSERT_EQ(chmod(host_.path().c_str(), 0755), 0);
  ASSERT_EQ(chown(host_.Path("root").c_str(), 990, 991), 0);
  host_.Write("root/of-root", "content");
  const pid_t child = fork();
  if (child == 0) {
    if (setresgid(991, 991, 991) != 0 || setresuid(990, 990, 990) != 0) _exit(1);
    HostTree::Options options;
    options.name = "fs[0]";
    options.path = host_.Path("root");
    options.writable = true;
    if (HostTree::Open(options).ok()) _exit(2);
    options.uids = OwnerMap({{.guest = 0, .host = 990}});
    options.gids = OwnerMap({{.guest = 0, .host = 991}});
    tree_ = *HostTree::Open(options);
    const FoundNode file = MakeFile(kRootNode, "file", {.umask = 022}, 0);
    const FoundNode directory = MakeDirectory(kRootNode, "dir");
    if (Set(file.id, {.mode = 0600}) != 0 || Set(directory.id, {.mode = 0}) != 0) _exit(3);
    if (Set(directory.id, {.mode = 0700, .uid = 0, .gid = 0}) != 0) _exit(4);
    if (file.attributes.uid != 0 || HostStatus("file").st_uid != 990) _exit(5);
    if (Set(Find(kRootNode, "of-root"), {.mode = 0777}) != EPERM) _exit(6);
    FoundNode found;
    if (tree_->MakeDirectory(kRootNode, "x", {.uid = 1}, 0755, found) != EPERM) _exit(7);
    _exit(HasFailure() ? 8 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

}  // namespace
}  // namespace virtio
