// A 9P share that can be written to.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/p9/p9_test_harness.h"

namespace virtio {
namespace {

constexpr uint32_t kRoot = P9Harness::kRoot;

class P9ChangesTest : public testing::Test {
 protected:
  static P9Harness::Options Writable() {
    return {.versions = P9Versions::kContents, .writable = true};
  }
  static void Fill(const TemporaryTree& host) {
    host.Write("root/file", "content");
    host.Write("root/dir/inner", "inner content");
    host.Write("outside", "of no concern");
  }
  bool IsOnHost(absl::string_view name) {
    struct stat status;
    return lstat(p9_.HostPath(name).c_str(), &status) == 0;
  }
  uint32_t LinksOf(uint32_t fid) {
    return static_cast<uint32_t>(p9_.GetAttributes(fid).As<P9AttributesReply>().links.value());
  }

  P9Harness p9_{Writable(), Fill};
};

// --- Making --------------------------------------------------------------------------------------

TEST_F(P9ChangesTest, CreatingTurnsTheDirectorysFidIntoTheOpenFiles) {
  const uint32_t fid = p9_.Find({"dir"});
  const auto created = p9_.Create(fid, "new", O_WRONLY | O_CREAT | O_EXCL, 0640);
  ASSERT_EQ(created.error, 0);
  EXPECT_EQ(created.As<P9OpenReply>().qid.path.value(), p9_.host().Inode("root/dir/new"));
  EXPECT_EQ(p9_.Write(fid, 0, "hello"), 5);
  EXPECT_EQ(p9_.HostText("dir/new"), "hello");
  EXPECT_EQ(p9_.HostStatus("dir/new").st_mode, mode_t{S_IFREG | 0640});
  EXPECT_EQ(p9_.Read(fid, 0, 10).error, EBADF);  // not opened for that
  EXPECT_EQ(p9_.Create(fid, "other", O_RDWR, 0644).error, EBADF);
  EXPECT_EQ(p9_.GetAttributes(fid).As<P9AttributesReply>().size_bytes.value(), 5U);
  EXPECT_EQ(p9_.Clunk(fid).error, 0);
  EXPECT_EQ(p9_.counter("nodes"), 1U);
  EXPECT_EQ(p9_.counter("open_files"), 0U);
}

TEST_F(P9ChangesTest, CreatingWhatIsThere) {
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

TEST_F(P9ChangesTest, ModesAreAsTheGuestSays) {
  umask(077);  // is ours, not the guest's
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

TEST_F(P9ChangesTest, WhatIsMadeBelongsToWhoAttachedAndItsGroup) {
  if (geteuid() != 0) GTEST_SKIP() << "needs to give files away";
  EXPECT_EQ(p9_.Attach(2, "", 1234).error, 0);
  EXPECT_EQ(p9_.MakeDirectory(2, "theirs", 0777, 4321).error, 0);
  EXPECT_EQ(p9_.HostStatus("theirs").st_uid, 1234U);
  EXPECT_EQ(p9_.HostStatus("theirs").st_gid, 4321U);
  // What is walked to is walked to by the same user.
  EXPECT_EQ(p9_.Walked(2, 3, {"theirs"}), 1);
  EXPECT_EQ(p9_.Create(3, "file", O_RDWR, 0644, 77).error, 0);
  EXPECT_EQ(p9_.HostStatus("theirs/file").st_uid, 1234U);
  EXPECT_EQ(p9_.HostStatus("theirs/file").st_gid, 77U);
  EXPECT_EQ(p9_.Attach(4, "", kP9NoUser).error, 0);  // the one who mounts
  EXPECT_EQ(p9_.MakeLink(4, "link", "target").error, 0);
  EXPECT_EQ(p9_.HostStatus("link").st_uid, 0U);
  // A set-group-id directory gives its group on.
  EXPECT_EQ(p9_.SetAttributes(p9_.Find({"theirs"}), {.valid = kP9SetMode, .mode = 02777}).error, 0);
  EXPECT_EQ(p9_.Walked(2, 5, {"theirs"}), 1);
  EXPECT_EQ(p9_.Create(5, "inherited", O_RDWR, 0644, 77).error, 0);
  EXPECT_EQ(p9_.HostStatus("theirs/inherited").st_gid, 4321U);
}

TEST(P9ChangesOwnersTest, MapsApplyBothWays) {
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

TEST_F(P9ChangesTest, LinksOfBothKinds) {
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
  // Any other bytes are a name.
  EXPECT_EQ(p9_.MakeDirectory(kRoot, "\xff\xfe\x80").error, 0);
  EXPECT_TRUE(IsOnHost("\xff\xfe\x80"));
}

TEST_F(P9ChangesTest, ForgedFidsAreNobodys) {
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

TEST_F(P9ChangesTest, RenamingMovesWhatFidsName) {
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

TEST_F(P9ChangesTest, RenamingByFid) {
  const uint32_t inner = p9_.Find({"dir", "inner"});
  EXPECT_EQ(p9_.Do(kP9Rename, P9Bytes().Number(inner).Number(kRoot).String("outer")).error, 0);
  EXPECT_EQ(p9_.HostText("outer"), "inner content");
  EXPECT_EQ(p9_.Do(kP9Rename, P9Bytes().Number(inner).Number(kRoot).String("again")).error, 0);
  EXPECT_EQ(p9_.HostText("again"), "inner content");
  EXPECT_EQ(p9_.Do(kP9Rename, P9Bytes().Number(kRoot).Number(kRoot).String("x")).error, EBUSY);
}

TEST_F(P9ChangesTest, WhatIsReplacedStaysOpen) {
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
  EXPECT_EQ(p9_.OfFid(kP9Remove, file).error, ESTALE);  // and the fid is gone
  EXPECT_EQ(p9_.OfFid(kP9Remove, file).error, EBADF);
  EXPECT_EQ(p9_.counter("nodes"), 1U);
  EXPECT_EQ(p9_.counter("open_files"), 0U);
}

TEST_F(P9ChangesTest, RemovingByNameAndByFid) {
  EXPECT_EQ(p9_.Unlink(kRoot, "dir").error, EISDIR);
  EXPECT_EQ(p9_.Unlink(kRoot, "file", AT_REMOVEDIR).error, ENOTDIR);
  EXPECT_EQ(p9_.Unlink(kRoot, "dir", AT_REMOVEDIR).error, ENOTEMPTY);
  EXPECT_EQ(p9_.Unlink(kRoot, "none").error, ENOENT);
  const uint32_t full = p9_.Find({"dir"});
  EXPECT_EQ(p9_.OfFid(kP9Remove, full).error, ENOTEMPTY);
  EXPECT_EQ(p9_.GetAttributes(full).error, EBADF);  // gone either way
  EXPECT_EQ(p9_.OfFid(kP9Remove, p9_.Find({"dir", "inner"})).error, 0);
  const uint32_t dir = p9_.Opened({"dir"});
  EXPECT_EQ(p9_.Unlink(kRoot, "dir", AT_REMOVEDIR).error, 0);
  for (const auto& listed : p9_.List(dir)) EXPECT_EQ(listed.name[0], '.');
  EXPECT_EQ(p9_.Create(dir, "new", O_RDWR, 0644).error, EBADF);  // is open
  EXPECT_EQ(p9_.MakeDirectory(dir, "new").error, ENOENT);
  EXPECT_EQ(p9_.GetAttributes(dir).error, 0);
}

// --- Writing -------------------------------------------------------------------------------------

TEST_F(P9ChangesTest, Writes) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.Write(file, 0, "x"), -EBADF);  // is not open
  EXPECT_EQ(p9_.Open(file, O_RDWR).error, 0);
  EXPECT_EQ(p9_.Write(file, 3, "TENT"), 4);
  EXPECT_EQ(p9_.Write(file, 0, ""), 0);
  EXPECT_EQ(p9_.HostText("file"), "conTENT");
  EXPECT_EQ(p9_.Write(file, uint64_t{5} << 30, "far"), 3);
  EXPECT_EQ(p9_.HostStatus("file").st_size, (int64_t{5} << 30) + 3);
  for (const uint64_t offset : {UINT64_MAX, uint64_t{1} << 63, (uint64_t{1} << 63) - 1}) {
    EXPECT_EQ(p9_.Write(file, offset, "x"), -EFBIG) << offset;
  }
  const uint32_t reader = p9_.Opened({"file"});
  EXPECT_EQ(p9_.Write(reader, 0, "x"), -EBADF);
  EXPECT_EQ(p9_.Write(kRoot, 0, "x"), -EBADF);
  EXPECT_EQ(p9_.Open(p9_.Find({}), O_RDWR).error, EISDIR);
  EXPECT_EQ(p9_.Open(p9_.Find({"file"}), O_ACCMODE).error, EINVAL);
  EXPECT_EQ(p9_.counter("written_bytes"), 7U);
}

TEST_F(P9ChangesTest, AppendsGoToTheEndWhereverThatIs) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.Open(file, O_WRONLY | O_APPEND).error, 0);
  p9_.host().Write("root/file", "changed by the host");
  EXPECT_EQ(p9_.Write(file, 7, "!"), 1);
  EXPECT_EQ(p9_.HostText("file"), "changed by the host!");
}

TEST_F(P9ChangesTest, UsersTakeSetIdBitsOffWhatTheyWriteTo) {
  for (const uint32_t uid : {0U, 1234U}) {
    const uint32_t root = 10 + 2 * (uid != 0 ? 1 : 0);
    EXPECT_EQ(p9_.Attach(root, "", uid).error, 0);
    EXPECT_EQ(p9_.Walked(root, root + 1, {"file"}), 1);
    EXPECT_EQ(p9_.Open(root + 1, O_WRONLY).error, 0);
    ASSERT_EQ(chmod(p9_.host().Path("root/file").c_str(), 06755), 0);
    EXPECT_EQ(p9_.Write(root + 1, 0, "x"), 1);
    if (uid != 0 || geteuid() == 0) {  // an unprivileged writer takes them off in any case
      EXPECT_EQ(p9_.HostStatus("file").st_mode & 07777, uid == 0 ? 06755U : 0755U);
    }
  }
}

TEST_F(P9ChangesTest, OpeningTruncates) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.Open(file, O_WRONLY | O_TRUNC).error, 0);
  EXPECT_EQ(p9_.HostText("file"), "");
}

TEST_F(P9ChangesTest, WriteFramingMeansNothing) {  // [VIRTIO 1.2 §2.7.4]
  const uint32_t file = p9_.Created("framed");
  const Bytes request = P9Harness::WriteArguments(file, 0, "0123456789").Message(kP9Write, 9);
  for (size_t first = 1; first < request.size(); ++first) {
    EXPECT_EQ(p9_.SetAttributes(file, {.valid = kP9SetSize}).error, 0);
    p9_.driver().EnableInterrupts();
    const uint16_t head = p9_.driver()
                              .Chain()
                              .Readable(std::span(request).first(first))
                              .Readable(std::span(request).subspan(first))
                              .Writable(3)
                              .Writable(8)
                              .Offer();
    p9_.harness().Publish(0);
    EXPECT_EQ(p9_.Take(head, kP9Write, 9).As<base::Le32>().value(), 10U);
    EXPECT_EQ(p9_.HostText("framed"), "0123456789") << first;
  }
}

TEST_F(P9ChangesTest, CountsOfWritesMustBeTrue) {
  const uint32_t file = p9_.Created("counted");
  for (const uint32_t count : {0U, 1U, 3U, UINT32_MAX}) {
    const auto bytes = P9Bytes().Number(file).Number(uint64_t{0}).Number(count);
    EXPECT_EQ(p9_.Do(kP9Write, P9Bytes(bytes).Number(uint16_t{0x4141})).error, EINVAL) << count;
  }
  EXPECT_EQ(p9_.HostText("counted"), "");
}

TEST_F(P9ChangesTest, HostErrorsOfWritesReachTheGuest) {
  const uint32_t file = p9_.Created("failing");
  for (const int error : {EIO, ENOSPC, EDQUOT}) {
    p9_.loop().FailNext(base::FakeEventLoop::Kind::kWrite, error);
    EXPECT_EQ(p9_.Write(file, 0, "data"), -error);
  }
  p9_.loop().FailNext(base::FakeEventLoop::Kind::kWrite, EINTR, 3);
  EXPECT_EQ(p9_.Write(file, 0, "data"), 4);
  p9_.loop().FailNext(base::FakeEventLoop::Kind::kFdatasync, EIO);
  EXPECT_EQ(p9_.Do(kP9FSync, P9Bytes().Number(file).Number(1U)).error, EIO);
  EXPECT_EQ(p9_.OfFid(kP9FSync, file).error, 0);
  EXPECT_EQ(p9_.counter("host_errors"), 4U);
}

TEST_F(P9ChangesTest, DirectoriesCanBeFlushed) {
  EXPECT_EQ(p9_.OfFid(kP9FSync, p9_.Opened({"dir"})).error, 0);
  EXPECT_EQ(p9_.OfFid(kP9FSync, p9_.Find({"file"})).error, 0);
  EXPECT_EQ(p9_.counter("open_files"), 0U);
}

TEST(P9WritesTest, ShortWritesGoOn) {
  P9Harness p9({.harness = {.loop = {.seed = 5,
                                     .short_transfer_percent = 80,
                                     .short_transfer_unit_bytes = 1},
                            .queue_size = 64},
                .writable = true},
               [](const TemporaryTree&) {});
  const uint32_t file = p9.Created("long");
  std::string text;
  for (int i = 0; text.size() < 3000; ++i) absl::StrAppend(&text, i, " ");
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(p9.Write(file, i * text.size(), text), static_cast<int>(text.size()));
    EXPECT_EQ(p9.HostText("long").substr(i * text.size()), text);
  }
  EXPECT_GT(p9.counter("short_transfers"), 0U);
}

TEST(P9WritesTest, FidsInUseCanBeClunkedFlushedAndLeft) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    P9Harness p9({.harness = {.loop = {.seed = seed}, .queue_size = 64}, .writable = true},
                 [](const TemporaryTree&) {});
    const uint32_t file = p9.Created("file");
    p9.driver().EnableInterrupts();
    p9.Offer(kP9Write, 1, P9Harness::WriteArguments(file, 0, "data"), 64);
    p9.Offer(kP9FSync, 2, P9Bytes().Number(file).Number(0U), 64);
    p9.Offer(kP9Flush, 3, P9Bytes().Number(uint16_t{1}), 64);
    if (seed % 3 == 0) p9.Offer(kP9Clunk, 4, P9Bytes().Number(file), 64);
    if (seed % 3 == 1) p9.Offer(kP9Version, 4, P9Bytes().Number(8192U).String(kP9Dialect), 64);
    if (seed % 3 == 2) p9.Offer(kP9Remove, 4, P9Bytes().Number(file), 64);
    p9.harness().Publish(0);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(p9.driver().PopUsed().has_value());
    EXPECT_EQ(p9.counter("open_files"), 0U);
    EXPECT_EQ(p9.counter("nodes"), 1U);
  }
}

// --- Attributes ----------------------------------------------------------------------------------

TEST_F(P9ChangesTest, SetsAttributes) {
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
  // Numbers that are orders to the host are no times.
  for (const uint64_t odd : {uint64_t{UTIME_NOW}, uint64_t{UTIME_OMIT}, uint64_t{1'000'000'000}}) {
    EXPECT_EQ(p9_.SetAttributes(file, {.valid = both, .accessed = {0, odd}}).error, EINVAL);
    EXPECT_EQ(p9_.SetAttributes(file, {.valid = both, .modified = {0, odd}}).error, EINVAL);
  }
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = kP9SetChanged}).error, 0);
  EXPECT_EQ(p9_.SetAttributes(file, {.valid = 0xfffffe00}).error, 0);
}

// --- Bounds --------------------------------------------------------------------------------------

TEST(P9FilesTest, FidsBeyondWhatMayBeOpenAreOpenedAgain) {
  P9Harness p9({.max_open_files = 9, .writable = true}, [](const TemporaryTree&) {});
  std::vector<uint32_t> fids;
  for (int i = 0; i < 20; ++i) {
    fids.push_back(p9.Created(absl::StrCat(i)));
    EXPECT_EQ(p9.Write(fids.back(), 0, absl::StrCat("first ", i, " ")), i < 10 ? 8 : 9);
    EXPECT_LE(p9.counter("open_files"), 4U);
  }
  for (int i = 0; i < 20; ++i) {
    // Wherever it is now.
    EXPECT_EQ(p9.RenameAt(kRoot, absl::StrCat(i), kRoot, absl::StrCat("moved-", i)).error, 0);
    EXPECT_EQ(p9.Write(fids[static_cast<size_t>(i)], 20, "second"), 6);
    EXPECT_LE(p9.counter("open_files"), 4U);
  }
  EXPECT_EQ(p9.HostText("moved-7").substr(0, 8), "first 7 ");
  EXPECT_EQ(p9.HostText("moved-7").substr(20), "second");
}

TEST(P9FilesTest, WhatCannotBeOpenedAgainStaysOpen) {
  P9Harness p9({.max_open_files = 9, .writable = true}, [](const TemporaryTree& host) {
    for (int i = 0; i < 20; ++i) host.Write(absl::StrCat("root/other-", i), "x");
  });
  const uint32_t unlinked = p9.Created("unlinked");
  const uint32_t replaced = p9.Created("replaced");
  const uint32_t forbidden = p9.Created("forbidden", O_WRONLY, 0);
  EXPECT_EQ(p9.Write(unlinked, 0, "unlinked"), 8);
  EXPECT_EQ(p9.Write(replaced, 0, "replaced"), 8);
  for (int i = 0; i < 10; ++i) p9.Opened({absl::StrCat("other-", i)});
  EXPECT_EQ(p9.Unlink(kRoot, "unlinked").error, 0);
  EXPECT_EQ(p9.RenameAt(kRoot, "other-0", kRoot, "replaced").error, 0);
  for (int i = 10; i < 20; ++i) p9.Opened({absl::StrCat("other-", i)});
  EXPECT_EQ(p9.ReadText(unlinked, 0, 10), "unlinked");
  EXPECT_EQ(p9.ReadText(replaced, 0, 10), "replaced");
  EXPECT_EQ(p9.Write(forbidden, 0, "x"), 1);
  // All four are needed now, which does not keep names from going.
  const uint32_t fourth = p9.Created("fourth");
  EXPECT_EQ(p9.Unlink(kRoot, "forbidden").error, 0);
  EXPECT_EQ(p9.Unlink(kRoot, "fourth").error, 0);
  EXPECT_EQ(p9.Open(p9.Find({"other-1"}), O_RDWR).error, ENFILE);
  EXPECT_EQ(p9.Unlink(kRoot, "other-2").error, 0);
  EXPECT_EQ(p9.Write(fourth, 0, "x"), 1);
  EXPECT_EQ(p9.Clunk(unlinked).error, 0);
  EXPECT_EQ(p9.Open(p9.Find({"other-1"}), O_RDWR).error, 0);
}

TEST(P9FilesTest, TransfersInFlightHoldNoMoreFilesThanMayBeOpen) {
  P9Harness p9(
      {.harness = {.loop = {.seed = 9}, .queue_size = 64}, .max_open_files = 5, .writable = true},
      [](const TemporaryTree&) {});
  std::vector<uint32_t> fids;
  fids.reserve(10);
  for (int i = 0; i < 10; ++i) fids.push_back(p9.Created(absl::StrCat(i)));
  p9.driver().EnableInterrupts();
  for (const uint32_t fid : fids) {
    p9.Offer(kP9Write, static_cast<uint16_t>(fid), P9Harness::WriteArguments(fid, 0, "data"), 64);
  }
  if (p9.driver().Publish()) p9.harness().Kick(0);
  p9.loop().RunTurn();
  EXPECT_LE(p9.loop().in_flight(base::FakeEventLoop::Kind::kWrite), 2U);
  p9.loop().RunUntilIdle();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(p9.driver().PopUsed()->len, 11U);
    EXPECT_EQ(p9.HostText(absl::StrCat(i)), "data");
  }
}

// --- Locks ---------------------------------------------------------------------------------------

// Another process of the host, as locks see it.
class HostLocker {
 public:
  explicit HostLocker(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {}
  bool Set(int16_t type, off_t start, off_t length) const {
    struct flock lock = {};
    lock.l_type = type;
    lock.l_start = start;
    lock.l_len = length;
    return fcntl(fd_.get(), F_OFD_SETLK, &lock) == 0;
  }

 private:
  base::UniqueFd fd_;
};

TEST_F(P9ChangesTest, LocksAreSeenByTheHost) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.Lock(file, kP9WriteLock, 0, 0, 1), -EBADF);  // is not open
  EXPECT_EQ(p9_.Open(file, O_RDWR).error, 0);
  const HostLocker host(p9_.HostPath("file"));
  EXPECT_EQ(p9_.Lock(file, kP9WriteLock, 10, 10, 1), kP9LockSuccess);
  EXPECT_FALSE(host.Set(F_RDLCK, 19, 1));
  EXPECT_TRUE(host.Set(F_WRLCK, 20, 0));
  EXPECT_EQ(p9_.Lock(file, kP9ReadLock, 15, 10, 1), kP9LockBlocked);
  const P9Lock blocker = p9_.GetLock(file, kP9ReadLock, 0, 0, 1);
  EXPECT_EQ(blocker.type, kP9WriteLock);
  EXPECT_EQ(blocker.start.value(), 20U);
  EXPECT_EQ(blocker.length.value(), 0U);
  EXPECT_EQ(blocker.process.value(), 0U);
  EXPECT_EQ(p9_.GetLock(file, kP9WriteLock, 0, 20, 1).type, kP9Unlock);
  EXPECT_EQ(p9_.Lock(file, kP9Unlock, 12, 2, 1), kP9LockSuccess);
  EXPECT_TRUE(host.Set(F_RDLCK, 12, 2));
  EXPECT_FALSE(host.Set(F_RDLCK, 10, 2));
  EXPECT_FALSE(host.Set(F_RDLCK, 14, 6));
  EXPECT_EQ(p9_.Clunk(file).error, 0);
  EXPECT_TRUE(host.Set(F_WRLCK, 0, 0));
  EXPECT_EQ(p9_.counter("open_files"), 0U);
}

TEST_F(P9ChangesTest, LocksOfOneGuestsProcesses) {
  const auto opened = [this] {
    const uint32_t fid = p9_.Find({"file"});
    EXPECT_EQ(p9_.Open(fid, O_RDWR).error, 0);
    return fid;
  };
  const uint32_t a = opened();
  const uint32_t b = opened();
  const HostLocker host(p9_.HostPath("file"));
  // Two readers: the host sees one until the last of them gives up.
  EXPECT_EQ(p9_.Lock(a, kP9ReadLock, 0, 100, 1), kP9LockSuccess);
  EXPECT_EQ(p9_.Lock(b, kP9ReadLock, 50, 100, 2), kP9LockSuccess);
  EXPECT_EQ(p9_.Lock(b, kP9WriteLock, 0, 10, 2), kP9LockBlocked);
  EXPECT_EQ(p9_.GetLock(b, kP9WriteLock, 0, 10, 2).process.value(), 1U);
  EXPECT_EQ(p9_.Lock(a, kP9Unlock, 0, 0, 1), kP9LockSuccess);
  EXPECT_TRUE(host.Set(F_WRLCK, 0, 50));
  EXPECT_EQ(p9_.GetLock(a, kP9Unlock, 0, 10, 1).type, kP9WriteLock);  // as Linux asks
  EXPECT_EQ(p9_.GetLock(a, kP9Unlock, 200, 10, 1).type, kP9Unlock);
  EXPECT_FALSE(host.Set(F_WRLCK, 50, 1));
  EXPECT_TRUE(host.Set(F_UNLCK, 0, 50));
  // A process is the same whichever fid it acts by, and unlocks by any of them.
  EXPECT_EQ(p9_.Lock(b, kP9WriteLock, 0, 0, 2), kP9LockSuccess);
  EXPECT_EQ(p9_.Lock(a, kP9WriteLock, 10, 10, 2), kP9LockSuccess);
  EXPECT_EQ(p9_.Lock(a, kP9Unlock, 0, 0, 2), kP9LockSuccess);
  EXPECT_TRUE(host.Set(F_WRLCK, 0, 0));
  EXPECT_TRUE(host.Set(F_UNLCK, 0, 0));
  EXPECT_EQ(p9_.counter("open_files"), 1U);  // both fids' one
}

TEST_F(P9ChangesTest, HostileLocks) {
  const uint32_t file = p9_.Created("locked");
  EXPECT_EQ(p9_.Lock(file, 3, 0, 0, 1), -EINVAL);
  EXPECT_EQ(p9_.Lock(file, kP9WriteLock, uint64_t{1} << 63, 0, 1), -EINVAL);
  EXPECT_EQ(p9_.Lock(file, kP9WriteLock, 1, UINT64_MAX, 1), -EINVAL);
  EXPECT_EQ(p9_.Lock(kRoot, kP9WriteLock, 0, 0, 1), -EBADF);
  // As many as one likes, to a bound; what was there can be given up.
  int status = kP9LockSuccess;
  int count = 0;
  for (uint64_t at = 0; status == kP9LockSuccess && count < 5000; at += 2, ++count) {
    status = p9_.Lock(file, kP9ReadLock, at, 1, 1);
  }
  EXPECT_EQ(status, kP9LockError);
  EXPECT_EQ(count, 1025);
  EXPECT_EQ(p9_.Lock(file, kP9Unlock, 0, 0, 1), kP9LockSuccess);
  EXPECT_EQ(p9_.Lock(file, kP9WriteLock, 0, 0, 1), kP9LockSuccess);
  // One large lock cut to pieces is bounded the same.
  status = kP9LockSuccess;
  count = 0;
  for (uint64_t at = 1; status == kP9LockSuccess && count < 5000; at += 2, ++count) {
    status = p9_.Lock(file, kP9Unlock, at, 1, 1);
  }
  EXPECT_EQ(status, kP9LockError);
  EXPECT_LT(count, 1100);
}

TEST(P9LocksTest, LockedFilesAreBounded) {
  P9Harness p9({.max_open_files = 16, .writable = true}, [](const TemporaryTree&) {});
  for (int i = 0; i < 5; ++i) {
    const uint32_t file = p9.Created(absl::StrCat(i));
    EXPECT_EQ(p9.Lock(file, kP9WriteLock, 0, 0, 1), i < 2 ? kP9LockSuccess : kP9LockError);
  }
  EXPECT_EQ(p9.Version().error, 0);
  EXPECT_EQ(p9.counter("open_files"), 0U);
}

// --- Extended attributes -------------------------------------------------------------------------

class P9XattrTest : public P9ChangesTest {
 protected:
  void SetUp() override {
    if (setxattr(p9_.HostPath("file").c_str(), "user.host", "value", 5, 0) != 0) {
      GTEST_SKIP() << "the file system has no extended attributes";
    }
  }
  P9Harness::Result XattrWalk(uint32_t fid, uint32_t new_fid, absl::string_view name) {
    return p9_.Do(kP9XattrWalk, P9Bytes().Number(fid).Number(new_fid).String(name));
  }
  P9Harness::Result XattrCreate(uint32_t fid, absl::string_view name, uint64_t size,
                                uint32_t flags = 0) {
    return p9_.Do(kP9XattrCreate, P9Bytes().Number(fid).String(name).Number(size).Number(flags));
  }
  // 0 or an errno, as Linux sets one.
  int Set(absl::string_view name, absl::string_view value, uint32_t flags = 0) {
    const uint32_t fid = p9_.Find({"file"});
    if (const int error = XattrCreate(fid, name, value.size(), flags).error; error != 0) {
      EXPECT_EQ(p9_.Clunk(fid).error, 0);
      return error;
    }
    EXPECT_EQ(p9_.Write(fid, 0, value), static_cast<int>(value.size()));
    return p9_.Clunk(fid).error;
  }
  std::string HostValue(const std::string& name) {
    std::string value(70'000, 0);
    const ssize_t size =
        getxattr(p9_.HostPath("file").c_str(), name.c_str(), value.data(), value.size());
    return size < 0 ? "?" : value.substr(0, static_cast<size_t>(size));
  }
};

TEST_F(P9XattrTest, AreReadThroughAFid) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(XattrWalk(file, 50, "user.host").As<base::Le64>().value(), 5U);
  EXPECT_EQ(p9_.ReadText(50, 0, 100), "value");
  EXPECT_EQ(p9_.ReadText(50, 2, 2), "lu");
  EXPECT_EQ(p9_.ReadText(50, UINT64_MAX, 2), "");
  EXPECT_EQ(p9_.Write(50, 0, "x"), -EBADF);
  EXPECT_EQ(p9_.GetAttributes(50).error, EBADF);
  EXPECT_EQ(p9_.Walked(50, 51, {}), -EBADF);
  EXPECT_EQ(p9_.OfFid(kP9FSync, 50).error, EBADF);
  EXPECT_EQ(XattrWalk(file, 50, "user.host").error, EBADF);
  EXPECT_EQ(p9_.Clunk(50).error, 0);
  EXPECT_EQ(XattrWalk(file, 50, "").As<base::Le64>().value(), 10U);
  EXPECT_EQ(p9_.ReadText(50, 0, 100), std::string("user.host\0", 10));
  EXPECT_EQ(XattrWalk(file, 52, "user.none").error, ENODATA);
  EXPECT_EQ(XattrWalk(file, 52, "security.capability").error, EOPNOTSUPP);
  EXPECT_EQ(p9_.OfFid(kP9Remove, 50).error, EBADF);  // the file stays, the fid goes
  EXPECT_EQ(p9_.Clunk(50).error, EBADF);
  EXPECT_TRUE(IsOnHost("file"));
}

TEST_F(P9XattrTest, AreSetWhenTheFidIsClunked) {
  const uint32_t fid = p9_.Find({"file"});
  EXPECT_EQ(XattrCreate(fid, "user.new", 6).error, 0);
  EXPECT_EQ(p9_.Write(fid, 0, "abc"), 3);
  EXPECT_EQ(p9_.Write(fid, 3, "def"), 3);
  EXPECT_EQ(p9_.Write(fid, 6, "x"), -ENOSPC);
  EXPECT_EQ(p9_.Read(fid, 0, 10).error, EBADF);
  EXPECT_EQ(HostValue("user.new"), "?");
  EXPECT_EQ(p9_.Clunk(fid).error, 0);
  EXPECT_EQ(HostValue("user.new"), "abcdef");
  EXPECT_EQ(Set("user.new", "x", XATTR_CREATE), EEXIST);
  EXPECT_EQ(Set("user.none", "x", XATTR_REPLACE), ENODATA);
  EXPECT_EQ(Set("user.empty", ""), 0);
  EXPECT_EQ(HostValue("user.empty"), "");
  EXPECT_EQ(Set("user.new", "", XATTR_REPLACE), 0);  // Linux's removexattr
  EXPECT_EQ(HostValue("user.new"), "?");
  EXPECT_EQ(Set("user.new", "", XATTR_REPLACE), ENODATA);
  for (const char* name : {"trusted.x", "security.x", "system.posix_acl_access", "x", ""}) {
    EXPECT_EQ(Set(name, "x"), EOPNOTSUPP) << name;
  }
}

TEST_F(P9XattrTest, HalfWrittenOnesAreNotSet) {
  const uint32_t fid = p9_.Find({"file"});
  EXPECT_EQ(XattrCreate(fid, "user.half", 6).error, 0);
  EXPECT_EQ(p9_.Write(fid, 0, "abc"), 3);
  EXPECT_EQ(p9_.Clunk(fid).error, EINVAL);
  EXPECT_EQ(p9_.GetAttributes(fid).error, EBADF);  // the fid is gone
  EXPECT_EQ(HostValue("user.half"), "?");
  const uint32_t left = p9_.Find({"file"});
  EXPECT_EQ(XattrCreate(left, "user.half", 1).error, 0);
  EXPECT_EQ(p9_.Write(left, 0, "a"), 1);
  EXPECT_EQ(p9_.Version().error, 0);
  EXPECT_EQ(HostValue("user.half"), "?");
}

TEST_F(P9XattrTest, ValuesAreBounded) {
  const uint32_t fid = p9_.Find({"file"});
  for (const uint64_t size : {uint64_t{65537}, UINT64_MAX, uint64_t{1} << 63}) {
    EXPECT_EQ(XattrCreate(fid, "user.large", size).error, E2BIG);
  }
  int reserved = 0;
  while (reserved < 50 && XattrCreate(p9_.Find({"file"}), "user.large", 65536).error == 0) {
    ++reserved;
  }
  EXPECT_EQ(reserved, 15);  // a MiB, with what goes with them
  EXPECT_EQ(p9_.Version().error, 0);
  EXPECT_EQ(p9_.Attach(kRoot).error, 0);
  EXPECT_EQ(Set("user.small", "x"), 0);
}

}  // namespace
}  // namespace virtio
