// The demands of VIRTIO 1.2 for every device, and of Linux's virtio_9p.h and 9P2000.L for this
// device, that no other test covers. tests/conformance lists the clauses.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#define VIRTIO_RING_NO_LEGACY  // the legacy part is not C++
#include <linux/virtio_ring.h>

#include <cstring>
#include <set>
#include <vector>

#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

constexpr uint32_t kRoot = P9Harness::kRoot;

Bytes Config(P9Device& device) {
  Bytes config(device.config_size());
  device.ReadConfig(0, config);
  return config;
}

// --- VIRTIO --------------------------------------------------------------------------------------

TEST(P9ConformanceTest, P9_2_2_2_OnlySupportedFeaturesAreOffered) {
  P9Harness p9(StoreOptions(), FillStore);
  EXPECT_EQ(p9.device().features(), uint64_t{1} << VIRTIO_RING_F_EVENT_IDX |
                                        uint64_t{1} << VIRTIO_RING_F_INDIRECT_DESC |
                                        kP9FeatureMountTag);
}

TEST(P9ConformanceTest, P9_2_5_2_ConfigurationIsThereFromTheStart) {
  P9Harness p9(StoreOptions(), FillStore);
  const Bytes running = Config(p9.device());
  ASSERT_TRUE(p9.Stop());
  EXPECT_EQ(Config(p9.device()), running);
  EXPECT_EQ(running, (Bytes{5, 0, 's', 't', 'o', 'r', 'e'}));
}

// "A device MUST NOT write to a device-readable buffer."
TEST(P9ConformanceTest, P9_2_7_5_1_ReadableBuffersAreNotWritten) {
  P9Harness p9({.writable = true}, FillStore);
  constexpr uint64_t kBuffer = 0x3000000;
  const uint32_t tool = p9.Opened({"1-app", "bin", "tool"});
  for (int type = 0; type < 256; ++type) {
    Bytes before = P9Harness::ReadArguments(tool, 0, 100).Message(static_cast<uint8_t>(type), 9);
    const auto readable = static_cast<uint32_t>(before.size());
    before.resize(before.size() + 64, 0x77);
    ASSERT_TRUE(p9.harness().memory().Write(kBuffer, before));
    p9.driver().EnableInterrupts();
    p9.driver().Chain().ReadableAt(kBuffer, readable).Writable(200).Offer();
    p9.harness().Publish(0);
    EXPECT_TRUE(p9.driver().PopUsed().has_value());
    Bytes after(before.size());
    ASSERT_TRUE(p9.harness().memory().Read(kBuffer, after));
    EXPECT_EQ(after, before) << type;
  }
}

TEST(P9ConformanceTest, P9_2_7_8_2_UsedLengthIsWhatWasWritten) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t tool = p9.Opened({"1-app", "bin", "tool"});
  p9.driver().EnableInterrupts();
  const uint16_t head = p9.Offer(kP9Read, 9, P9Harness::ReadArguments(tool, 0, 100), 300);
  p9.harness().Publish(0);
  EXPECT_EQ(p9.Take(head, kP9Read, 9).Text(4), "content of tool");
  const Bytes all = p9.driver().WritableBytes(head);
  EXPECT_EQ(Bytes(all.begin() + 11 + 15, all.end()), Bytes(all.size() - 26, 0xEE));
}

// --- 9P2000.L ------------------------------------------------------------------------------------

// The type of an answer is one more than that of its request, or Rlerror with an errno. The answer
// has the request's tag and its own size. P9Harness::Do checks all of that; here many requests with
// different tags are in flight at once.
TEST(P9ConformanceTest, P9_message_AnswersHaveTypeTagAndSize) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t tool = p9.Opened({"1-app", "bin", "tool"});
  p9.driver().EnableInterrupts();
  std::vector<uint16_t> heads;
  const uint16_t tags[] = {0, 1, 0x7fff, 0xfffe, 0xffff};
  for (const uint16_t tag : tags) {
    heads.push_back(p9.Offer(kP9Read, tag, P9Harness::ReadArguments(tool, 0, 7), 11));
  }
  p9.harness().Publish(0);
  std::set<uint32_t> ended;
  while (const auto used = p9.driver().PopUsed()) {
    for (size_t i = 0; i < heads.size(); ++i) {
      if (heads[i] != used->id) continue;
      const Bytes bytes = p9.driver().WritableBytes(heads[i]);
      EXPECT_EQ(P9Harness::Parse(bytes, used->len, kP9Read, tags[i]).Text(4), "content");
    }
    ended.insert(used->id);
  }
  EXPECT_EQ(ended.size(), heads.size());
  EXPECT_EQ(p9.Read(999, 0, 1).error, EBADF);
}

// A message that is shorter or longer than its header says is refused.
TEST(P9ConformanceTest, P9_message_WrongSizesAreRefused) {
  P9Harness p9(StoreOptions(), FillStore);
  for (const int error : {-8, -1, 1, 100}) {
    p9.driver().EnableInterrupts();
    const Bytes request = P9Bytes().Number(kRoot).Message(kP9Clunk, 9, error);
    const uint16_t head = p9.driver().Chain().Readable(request).Writable(64).Offer();
    p9.harness().Publish(0);
    EXPECT_NE(p9.Take(head, kP9Clunk, 9).error, 0) << error;
  }
  EXPECT_EQ(p9.GetAttributes(kRoot).error, 0);
}

// lopen(9P2000.L): "it is an error if the fid has been opened".
TEST(P9ConformanceTest, P9_lopen_AFidIsOpenedOnlyOnce) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t tool = p9.Opened({"1-app", "bin", "tool"});
  EXPECT_EQ(p9.Open(tool).error, EBADF);
  EXPECT_EQ(p9.ReadText(tool, 0, 7), "content");
  const uint32_t directory = p9.Opened({"1-app"});
  EXPECT_EQ(p9.Open(directory).error, EBADF);
}

// The offset in an entry is where the next entry begins.
TEST(P9ConformanceTest, P9_readdir_ContinuesAtTheOffsetOfTheLastEntry) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t many = p9.Opened({"1-app", "many"});
  const auto listed = p9.List(many);
  ASSERT_EQ(listed.size(), 52U);
  const uint64_t offset = listed[20].entry.next_offset.value();
  const auto rest = p9.Do(kP9ReadDir, P9Harness::ReadArguments(many, offset, 4096), 4100);
  P9DirectoryEntry next;
  ASSERT_GT(rest.data.size(), 4 + sizeof(next));
  std::memcpy(&next, rest.data.data() + 4, sizeof(next));
  EXPECT_EQ(next.qid.path.value(), listed[21].entry.qid.path.value());
}

TEST(P9ConformanceTest, P9_readlink_TargetsAreNotResolved) {
  P9Harness p9(StoreOptions(), FillStore);
  EXPECT_EQ(p9.OfFid(kP9ReadLink, p9.Find({"1-app", "link"})).Text(2), "../2-secret/key");
}

TEST(P9ConformanceTest, P9_statfs_ReportsTheTypeOf9P) {
  P9Harness p9(StoreOptions(), FillStore);
  const auto reply = p9.OfFid(kP9StatFs, kRoot).As<P9StatFsReply>();
  EXPECT_EQ(reply.type.value(), 0x01021997U);  // V9FS_MAGIC
  EXPECT_EQ(reply.max_name_bytes.value(), 255U);
}

TEST(P9ConformanceTest, P9_mkdir_AnswersWithTheQid) {
  P9Harness p9({.writable = true}, FillStore);
  const auto made = p9.MakeDirectory(kRoot, "new").As<P9Qid>();
  EXPECT_EQ(made.type, kP9QidDirectory);
  EXPECT_EQ(made.path.value(), p9.host().Inode("root/new"));
  EXPECT_EQ(p9.MakeDirectory(kRoot, "new").error, EEXIST);
}

TEST(P9ConformanceTest, P9_mknod_AnswersWithTheQid) {
  P9Harness p9({.writable = true}, FillStore);
  const auto made = p9.MakeNode(kRoot, "pipe", S_IFIFO | 0600).As<P9Qid>();
  EXPECT_EQ(made.path.value(), p9.host().Inode("root/pipe"));
  EXPECT_EQ(p9.HostStatus("pipe").st_mode & S_IFMT, mode_t{S_IFIFO});
}

TEST(P9ConformanceTest, P9_symlink_AnswersWithTheQid) {
  P9Harness p9({.writable = true}, FillStore);
  const auto made = p9.MakeLink(kRoot, "soft", "/anything").As<P9Qid>();
  EXPECT_EQ(made.type, kP9QidSymLink);
  EXPECT_EQ(p9.OfFid(kP9ReadLink, p9.Find({"soft"})).Text(2), "/anything");
}

// With AT_REMOVEDIR only directories are removed, without it only other files.
TEST(P9ConformanceTest, P9_unlinkat_OnlyRemovedirRemovesDirectories) {
  P9Harness p9({.writable = true}, FillStore);
  EXPECT_EQ(p9.MakeDirectory(kRoot, "new").error, 0);
  EXPECT_EQ(p9.Unlink(kRoot, "new").error, EISDIR);
  EXPECT_EQ(p9.Unlink(kRoot, "new", AT_REMOVEDIR).error, 0);
  EXPECT_EQ(p9.Unlink(p9.Find({"1-app"}), "big", AT_REMOVEDIR).error, ENOTDIR);
  EXPECT_EQ(p9.Unlink(p9.Find({"1-app"}), "big").error, 0);
}

// The answer is the lock that is in the way, or "unlock".
TEST(P9ConformanceTest, P9_getlock_ReturnsTheLockInTheWay) {
  P9Harness p9({.writable = true}, FillStore);
  const uint32_t one = p9.Find({"1-app", "big"});
  const uint32_t other = p9.Find({"1-app", "big"});
  ASSERT_EQ(p9.Open(one, O_RDWR).error, 0);
  ASSERT_EQ(p9.Open(other, O_RDWR).error, 0);
  EXPECT_EQ(p9.GetLock(other, kP9ReadLock, 0, 0, 2).type, kP9Unlock);
  ASSERT_EQ(p9.Lock(one, kP9WriteLock, 5, 10, 1), kP9LockSuccess);
  const P9Lock lock = p9.GetLock(other, kP9ReadLock, 0, 0, 2);
  EXPECT_EQ(lock.type, kP9WriteLock);
  EXPECT_EQ(lock.start.value(), 5U);
  EXPECT_EQ(lock.length.value(), 10U);
  EXPECT_EQ(lock.process.value(), 1U);
}

TEST(P9ConformanceTest, P9_auth_IsRefused) {
  P9Harness p9(StoreOptions(), FillStore);
  EXPECT_EQ(p9.Do(kP9Auth, P9Bytes().Number(9U).String("").String("")).error, EOPNOTSUPP);
}

}  // namespace
}  // namespace virtio
