// What a 9P guest makes, renames and removes, and the attributes that it sets.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/p9/testing/p9_changes_fixtures.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

constexpr uint32_t kRoot = P9Harness::kRoot;

// --- Making --------------------------------------------------------------------------------------

TEST_F(P9ChangesTest, P9_lcreate_TheDirectorysFidBecomesTheFidOfTheOpenFile) {
  const uint32_t fid = p9_.Find({"dir"});
  const auto created = p9_.Create(fid, "new", O_WRONLY | O_CREAT | O_EXCL, 0640);
  ASSERT_EQ(created.error, 0);
  EXPECT_EQ(created.As<P9OpenReply>().qid.path.value(), p9_.host().Inode("root/dir/new"));
  EXPECT_EQ(p9_.Write(fid, 0, "hello"), 5);
  EXPECT_EQ(p9_.HostText("dir/new"), "hello");
  EXPECT_EQ(p9_.HostStatus("dir/new").st_mode, mode_t{S_IFREG | 0640});
  EXPECT_EQ(p9_.Read(fid, 0, 10).error, EBADF);  // the fid is not open for reading
  EXPECT_EQ(p9_.Create(fid, "other", O_RDWR, 0644).error, EBADF);
  EXPECT_EQ(p9_.GetAttributes(fid).As<P9AttributesReply>().size_bytes.value(), 5U);
  EXPECT_EQ(p9_.Clunk(fid).error, 0);
  EXPECT_EQ(p9_.counter("nodes"), 1U);
  EXPECT_EQ(p9_.counter("open_files"), 0U);
}

TEST_F(P9ChangesTest, P9_lcreate_AnExistingNameIsOpenedUnlessExcl) {
  const uint32_t fid = p9_.Find({});
  EXPECT_EQ(p9_.Create(fid, "file", O_RDWR | O_EXCL, 0644).error, EEXIST);
  EXPECT_EQ(p9_.Create(fid, "dir", O_RDWR, 0644).error, EISDIR);
  EXPECT_EQ(p9_.Create(fid, "file", O_RDWR, 0600).error, 0);
  EXPECT_EQ(p9_.ReadText(fid, 0, 100), "content");
  EXPECT_EQ(p9_.Create(p9_.Find({"file"}), "below", O_RDWR, 0644).error, ENOTDIR);
  const uint32_t truncated = p9_.Find({});
  EXPECT_EQ(p9_.Create(truncated, "file", O_RDWR | O_TRUNC, 0600).error, 0);
  EXPECT_EQ(p9_.ReadText(fid, 0, 100), "");
}

TEST_F(P9ChangesTest, NewFilesHaveTheModeThatTheGuestSends) {
  umask(077);  // must have no effect: the guest has applied its own umask
  p9_.Created("shared", O_RDWR, 06666);
  EXPECT_EQ(p9_.MakeDirectory(kRoot, "sticky", 01777).error, 0);
  EXPECT_EQ(p9_.MakeNode(kRoot, "pipe", S_IFIFO | 0622).error, 0);
  umask(022);
  EXPECT_EQ(p9_.HostStatus("shared").st_mode & 0777, 0666U);
  EXPECT_EQ(p9_.HostStatus("sticky").st_mode, mode_t{S_IFDIR | 01777});
  EXPECT_EQ(p9_.HostStatus("pipe").st_mode, mode_t{S_IFIFO | 0622});
  EXPECT_EQ(p9_.MakeNode(kRoot, "disk", S_IFBLK | 0600).error, EPERM);
  EXPECT_EQ(p9_.MakeNode(kRoot, "odd", 0xffffffff).error, EINVAL);
}

TEST_F(P9ChangesTest, NewFilesBelongToTheAttachedUserAndTheSentGroup) {
  if (geteuid() != 0) GTEST_SKIP() << "needs to give files away";
  EXPECT_EQ(p9_.Attach(2, "", 1234).error, 0);
  EXPECT_EQ(p9_.MakeDirectory(2, "theirs", 0777, 4321).error, 0);
  EXPECT_EQ(p9_.HostStatus("theirs").st_uid, 1234U);
  EXPECT_EQ(p9_.HostStatus("theirs").st_gid, 4321U);
  // A fid that is walked from another fid acts for the same user.
  EXPECT_EQ(p9_.Walked(2, 3, {"theirs"}), 1);
  EXPECT_EQ(p9_.Create(3, "file", O_RDWR, 0644, 77).error, 0);
  EXPECT_EQ(p9_.HostStatus("theirs/file").st_uid, 1234U);
  EXPECT_EQ(p9_.HostStatus("theirs/file").st_gid, 77U);
  EXPECT_EQ(p9_.Attach(4, "", kP9NoUser).error, 0);  // no user: root
  EXPECT_EQ(p9_.MakeLink(4, "link", "target").error, 0);
  EXPECT_EQ(p9_.HostStatus("link").st_uid, 0U);
  // A new file in a set-group-id directory gets the group of the directory.
  EXPECT_EQ(p9_.SetAttributes(p9_.Find({"theirs"}), {.valid = kP9SetMode, .mode = 02777}).error, 0);
  EXPECT_EQ(p9_.Walked(2, 5, {"theirs"}), 1);
  EXPECT_EQ(p9_.Create(5, "inherited", O_RDWR, 0644, 77).error, 0);
  EXPECT_EQ(p9_.HostStatus("theirs/inherited").st_gid, 4321U);
}

TEST(P9ChangesOwnersTest, OwnerMapsApplyInBothDirections) {
  if (geteuid() != 0) GTEST_SKIP() << "needs to give files away";
  P9Harness p9({.writable = true,
                .uids = OwnerMap({{.guest = 0, .host = 5000, .count = 10}}),
                .gids = OwnerMap({{.guest = 0, .host = 6000, .count = 10}})},
               [](const TemporaryTree&) {});
  EXPECT_EQ(p9.Attach(2, "", 3).error, 0);
  EXPECT_EQ(p9.MakeDirectory(2, "mapped", 0755, 4).error, 0);
  EXPECT_EQ(p9.HostStatus("mapped").st_uid, 5003U);
  EXPECT_EQ(p9.HostStatus("mapped").st_gid, 6004U);
  const uint32_t mapped = p9.Find({"mapped"});
  const auto attributes = p9.GetAttributes(mapped).As<P9AttributesReply>();
  EXPECT_EQ(attributes.uid.value(), 3U);
  EXPECT_EQ(attributes.gid.value(), 4U);
  EXPECT_EQ(p9.SetAttributes(mapped, {.valid = kP9SetUid, .uid = 9}).error, 0);
  EXPECT_EQ(p9.HostStatus("mapped").st_uid, 5009U);
  EXPECT_EQ(p9.SetAttributes(mapped, {.valid = kP9SetUid, .uid = 10}).error, EPERM);
  EXPECT_EQ(p9.MakeDirectory(2, "unmapped", 0755, 10).error, EPERM);
  EXPECT_EQ(p9.Attach(3, "", 10).error, 0);
  EXPECT_EQ(p9.MakeDirectory(3, "unmapped").error, EPERM);
}

TEST_F(P9ChangesTest, P9_link_MakesHardLinksAndSymbolicLinks) {
  EXPECT_EQ(p9_.MakeLink(kRoot, "soft", "../outside").error, 0);
  EXPECT_EQ(p9_.OfFid(kP9ReadLink, p9_.Find({"soft"})).Text(2), "../outside");
  EXPECT_EQ(p9_.MakeLink(kRoot, "soft", "x").error, EEXIST);
  EXPECT_EQ(p9_.MakeLink(kRoot, "empty", "").error, ENOENT);
  EXPECT_EQ(p9_.MakeLink(kRoot, "nul", absl::string_view("a\0b", 3)).error, EINVAL);
  EXPECT_EQ(p9_.MakeLink(kRoot, "long", std::string(4095, 'x')).error, 0);
  const uint32_t file = p9_.Find({"file"});
  const uint32_t dir = p9_.Find({"dir"});
  EXPECT_EQ(p9_.Link(dir, file, "hard").error, 0);
  EXPECT_EQ(p9_.host().Inode("root/dir/hard"), p9_.host().Inode("root/file"));
  EXPECT_EQ(LinksOf(file), 2U);
  EXPECT_EQ(p9_.Link(dir, file, "hard").error, EEXIST);
  EXPECT_EQ(p9_.Link(kRoot, dir, "hard").error, EPERM);
  EXPECT_EQ(p9_.Link(file, file, "hard").error, ENOTDIR);
  EXPECT_EQ(p9_.Link(dir, 999, "hard").error, EBADF);
  EXPECT_EQ(p9_.Link(999, file, "hard").error, EBADF);
}

TEST_F(P9ChangesTest, HostileNamesAreRefused) {
  const uint32_t file = p9_.Find({"file"});
  const std::vector<std::pair<std::string, int>> names = {{"", EINVAL},
                                                          {".", EINVAL},
                                                          {"..", EINVAL},
                                                          {"/", EINVAL},
                                                          {"../outside", EINVAL},
                                                          {"dir/inner", EINVAL},
                                                          {"/etc", EINVAL},
                                                          {std::string("a\0b", 3), EINVAL},
                                                          {std::string(256, 'x'), ENAMETOOLONG},
                                                          {std::string(4096, 'x'), ENAMETOOLONG}};
  for (const auto& [name, error] : names) {
    EXPECT_EQ(p9_.Create(p9_.Find({}), name, O_RDWR, 0644).error, error) << name;
    EXPECT_EQ(p9_.MakeDirectory(kRoot, name).error, error) << name;
    EXPECT_EQ(p9_.MakeNode(kRoot, name, S_IFREG).error, error) << name;
    EXPECT_EQ(p9_.MakeLink(kRoot, name, "target").error, error) << name;
    EXPECT_EQ(p9_.Link(kRoot, file, name).error, error) << name;
    EXPECT_EQ(p9_.RenameAt(kRoot, "file", kRoot, name).error, error) << name;
    EXPECT_EQ(p9_.RenameAt(kRoot, name, kRoot, "new").error, error) << name;
    EXPECT_EQ(p9_.Do(kP9Rename, P9Bytes().Number(file).Number(kRoot).String(name)).error, error);
    EXPECT_EQ(p9_.Unlink(kRoot, name).error, error) << name;
    EXPECT_EQ(p9_.Unlink(kRoot, name, AT_REMOVEDIR).error, error) << name;
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(p9_.HostPath("")), {}), 2);
  EXPECT_EQ(p9_.HostText("../outside"), "of no concern");
  // Any other bytes are a valid name.
  EXPECT_EQ(p9_.MakeDirectory(kRoot, "\xff\xfe\x80").error, 0);
  EXPECT_TRUE(IsOnHost("\xff\xfe\x80"));
}

TEST_F(P9ChangesTest, ForgedFidsAreRefused) {
  for (const uint32_t fid : {0U, 999U, 0x7fffffffU, kP9NoFid}) {
    EXPECT_EQ(p9_.Create(fid, "new", O_RDWR, 0644).error, EBADF);
    EXPECT_EQ(p9_.MakeDirectory(fid, "new").error, EBADF);
    EXPECT_EQ(p9_.MakeNode(fid, "new", S_IFREG).error, EBADF);
    EXPECT_EQ(p9_.MakeLink(fid, "new", "target").error, EBADF);
    EXPECT_EQ(p9_.RenameAt(fid, "file", kRoot, "new").error, EBADF);
    EXPECT_EQ(p9_.RenameAt(kRoot, "file", fid, "new").error, EBADF);
    EXPECT_EQ(p9_.Do(kP9Rename, P9Bytes().Number(fid).Number(kRoot).String("new")).error, EBADF);
    EXPECT_EQ(p9_.Do(kP9Rename, P9Bytes().Number(kRoot).Number(fid).String("new")).error, EBADF);
    EXPECT_EQ(p9_.Unlink(fid, "file").error, EBADF);
    EXPECT_EQ(p9_.SetAttributes(fid, {.valid = kP9SetMode}).error, EBADF);
    EXPECT_EQ(p9_.Write(fid, 0, "x"), -EBADF);
    EXPECT_EQ(p9_.OfFid(kP9FSync, fid).error, EBADF);
    EXPECT_EQ(p9_.Lock(fid, kP9WriteLock, 0, 0, 1), -EBADF);
    EXPECT_EQ(p9_.OfFid(kP9Remove, fid).error, EBADF);
  }
}

// --- Renaming and removing -----------------------------------------------------------------------

TEST_F(P9ChangesTest, P9_renameat_FidsFollowTheRenamedFile) {
  const uint32_t dir = p9_.Find({"dir"});
  const uint32_t inner = p9_.Opened({"dir", "inner"});
  EXPECT_EQ(p9_.MakeDirectory(kRoot, "to").error, 0);
  const uint32_t to = p9_.Find({"to"});
  EXPECT_EQ(p9_.RenameAt(kRoot, "dir", to, "moved").error, 0);
  EXPECT_EQ(p9_.ReadText(inner, 0, 5), "inner");
  EXPECT_EQ(p9_.Walked(dir, 50, {"inner"}), 1);
  EXPECT_EQ(p9_.Walked(dir, 51, {"..", "moved"}), 2);
  EXPECT_EQ(p9_.Walked(kRoot, 52, {"dir"}), -ENOENT);
  EXPECT_EQ(p9_.Create(dir, "new", O_RDWR, 0644).error, 0);
  EXPECT_TRUE(IsOnHost("to/moved/new"));
  EXPECT_EQ(p9_.RenameAt(kRoot, "to", p9_.Find({"to", "moved"}), "below").error, EINVAL);
}

TEST_F(P9ChangesTest, P9_rename_RenamesTheFileOfTheFid) {
  const uint32_t inner = p9_.Find({"dir", "inner"});
  EXPECT_EQ(p9_.Do(kP9Rename, P9Bytes().Number(inner).Number(kRoot).String("outer")).error, 0);
  EXPECT_EQ(p9_.HostText("outer"), "inner content");
  EXPECT_EQ(p9_.Do(kP9Rename, P9Bytes().Number(inner).Number(kRoot).String("again")).error, 0);
  EXPECT_EQ(p9_.HostText("again"), "inner content");
  EXPECT_EQ(p9_.Do(kP9Rename, P9Bytes().Number(kRoot).Number(kRoot).String("x")).error, EBUSY);
}

TEST_F(P9ChangesTest, AReplacedFileStaysOpen) {
  const uint32_t file = p9_.Opened({"file"});
  EXPECT_EQ(p9_.RenameAt(p9_.Find({"dir"}), "inner", kRoot, "file").error, 0);
  EXPECT_EQ(p9_.ReadText(file, 0, 100), "content");
  EXPECT_EQ(LinksOf(file), 0U);
  EXPECT_EQ(p9_.ReadText(p9_.Opened({"file"}), 0, 100), "inner content");
}

TEST_F(P9ChangesTest, UnlinkedFilesCanBeUsedWhileTheyAreOpen) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.Open(file, O_RDWR).error, 0);
  EXPECT_EQ(p9_.Unlink(kRoot, "file").error, 0);
  EXPECT_FALSE(IsOnHost("file"));
  EXPECT_EQ(p9_.Write(file, 7, " stays"), 6);
  EXPECT_EQ(p9_.ReadText(file, 0, 100), "content stays");
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = kP9SetSize, .size_bytes = 4}).error, 0);
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = kP9SetMode, .mode = 0}).error, 0);
  EXPECT_EQ(p9_.ReadText(file, 0, 100), "cont");
  EXPECT_EQ(LinksOf(file), 0U);
  EXPECT_EQ(p9_.OfFid(kP9FSync, file).error, 0);
  EXPECT_EQ(p9_.OfFid(kP9Remove, file).error, ESTALE);  // ends the fid
  EXPECT_EQ(p9_.OfFid(kP9Remove, file).error, EBADF);
  EXPECT_EQ(p9_.counter("nodes"), 1U);
  EXPECT_EQ(p9_.counter("open_files"), 0U);
}

TEST_F(P9ChangesTest, P9_remove_TheFidEndsEvenIfTheFileStays) {
  EXPECT_EQ(p9_.Unlink(kRoot, "dir").error, EISDIR);
  EXPECT_EQ(p9_.Unlink(kRoot, "file", AT_REMOVEDIR).error, ENOTDIR);
  EXPECT_EQ(p9_.Unlink(kRoot, "dir", AT_REMOVEDIR).error, ENOTEMPTY);
  EXPECT_EQ(p9_.Unlink(kRoot, "none").error, ENOENT);
  const uint32_t full = p9_.Find({"dir"});
  EXPECT_EQ(p9_.OfFid(kP9Remove, full).error, ENOTEMPTY);
  EXPECT_EQ(p9_.GetAttributes(full).error, EBADF);  // the fid has ended
  EXPECT_EQ(p9_.OfFid(kP9Remove, p9_.Find({"dir", "inner"})).error, 0);
  const uint32_t dir = p9_.Opened({"dir"});
  EXPECT_EQ(p9_.Unlink(kRoot, "dir", AT_REMOVEDIR).error, 0);
  for (const auto& listed : p9_.List(dir)) EXPECT_EQ(listed.name[0], '.');
  EXPECT_EQ(p9_.Create(dir, "new", O_RDWR, 0644).error, EBADF);  // the fid is open
  EXPECT_EQ(p9_.MakeDirectory(dir, "new").error, ENOENT);
  EXPECT_EQ(p9_.GetAttributes(dir).error, 0);
}

// --- Attributes ----------------------------------------------------------------------------------

TEST_F(P9ChangesTest, P9_setattr_SetsTheAttributesOfTheMask) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = kP9SetMode, .mode = S_IFDIR | 04751}).error, 0);
  EXPECT_EQ(p9_.HostStatus("file").st_mode, mode_t{S_IFREG | 04751});
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = kP9SetSize, .size_bytes = 3}).error, 0);
  EXPECT_EQ(p9_.HostText("file"), "con");
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = kP9SetSize, .size_bytes = UINT64_MAX}).error, EFBIG);
  const uint32_t both = kP9SetAccessed | kP9SetAccessedTo | kP9SetModified | kP9SetModifiedTo;
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = both,
                                     .accessed = {static_cast<uint64_t>(-5), 7},
                                     .modified = {1234567890, 999'999'999}})
                .error,
            0);
  EXPECT_EQ(p9_.HostStatus("file").st_atim.tv_sec, -5);
  EXPECT_EQ(p9_.HostStatus("file").st_mtim.tv_nsec, 999'999'999);
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = kP9SetModified}).error, 0);  // to now
  EXPECT_GT(p9_.HostStatus("file").st_mtim.tv_sec, 1'700'000'000);
  EXPECT_EQ(p9_.HostStatus("file").st_atim.tv_sec, -5);
  // Numbers of nanoseconds that have a meaning for the host are refused.
  for (const uint64_t odd : {uint64_t{UTIME_NOW}, uint64_t{UTIME_OMIT}, uint64_t{1'000'000'000}}) {
    EXPECT_EQ(p9_.SetAttributes(file, {.valid = both, .accessed = {0, odd}}).error, EINVAL);
    EXPECT_EQ(p9_.SetAttributes(file, {.valid = both, .modified = {0, odd}}).error, EINVAL);
  }
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = kP9SetChanged}).error, 0);
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = 0xfffffe00}).error, 0);
}

}  // namespace
}  // namespace virtio
