// Files on which another process of the host holds a lease. Requests for such a file wait for that
// process; nothing else waits.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "virtio/fs/testing/fs_fixtures.h"
#include "virtio/host_tree/lease_wait.h"
#include "virtio/host_tree/testing/forgetful_fuse_fixtures.h"
#include "virtio/host_tree/testing/lease_fixtures.h"
#include "virtio/host_tree/testing/mount_fixtures.h"

namespace virtio {
namespace {

using Kind = base::FakeEventLoop::Kind;

class FsLeaseTest : public testing::Test {
 protected:
  explicit FsLeaseTest(bool writable = true)
      : fs_({.cache = writable ? FsCache::kAuto : FsCache::kAlways, .writable = writable},
            [](const TemporaryTree& host) {
              host.Write("root/leased", "content");
              host.Write("root/other", "other");
            }),
        lease_(fs_.host().Path("root/leased")) {
    node_ = fs_.Find(1, "leased");
  }
  // Sends a request that does not end at once.
  uint16_t Send(uint32_t opcode, uint64_t node, const Bytes& arguments) {
    const Bytes request = fs_.Request(opcode, node, arguments);
    fs_.driver().EnableInterrupts();
    const uint16_t head = fs_.driver()
                              .Chain()
                              .Readable(request)
                              .Writable(sizeof(fuse_out_header))
                              .Writable(4096)
                              .Offer();
    fs_.harness().Publish(FsHarness::kRequests);
    EXPECT_FALSE(fs_.driver().PopUsed().has_value());
    EXPECT_EQ(fs_.loop().in_flight(Kind::kTimeout), 1U);
    EXPECT_TRUE(lease_.wanted());
    return head;
  }
  uint16_t SendOpen(uint32_t flags = O_RDWR) {
    return Send(FUSE_OPEN, node_, BytesOf(fuse_open_in{flags, 0}));
  }

  FsHarness fs_;
  Lease lease_;
  uint64_t node_ = 0;
};

TEST_F(FsLeaseTest, AnOpenWaitsUntilTheLeaseIsGivenUp) {
  const uint16_t head = SendOpen();
  fs_.loop().AdvanceTime(std::chrono::seconds(5));
  EXPECT_FALSE(fs_.driver().PopUsed().has_value());
  lease_.GiveUp();
  fs_.loop().AdvanceTime(std::chrono::milliseconds(250));
  const auto result = fs_.Take(head);
  EXPECT_EQ(result.error, 0);
  EXPECT_NE(result.As<fuse_open_out>().fh, 0U);
  EXPECT_EQ(fs_.loop().in_flight(Kind::kTimeout), 0U);
}

TEST_F(FsLeaseTest, OtherRequestsAreServedDuringTheWait) {
  const uint16_t head = SendOpen();
  const uint64_t other = fs_.Find(1, "other");
  const auto opened = fs_.Do(FUSE_OPEN, other, BytesOf(fuse_open_in{O_RDWR, 0}));
  ASSERT_EQ(opened.error, 0);
  EXPECT_EQ(fs_.Read(other, 0, 10, opened.As<fuse_open_out>().fh).Text(), "other");
  lease_.GiveUp();
  fs_.loop().AdvanceTime(std::chrono::seconds(1));
  const auto used = fs_.driver().PopUsed();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->id, head);
}

TEST_F(FsLeaseTest, TheWaitEndsAfterTheHostsLeaseBreakTime) {
  const uint16_t head = SendOpen();
  fs_.loop().AdvanceTime(LeaseBreakTime());
  EXPECT_FALSE(fs_.driver().PopUsed().has_value());
  fs_.loop().AdvanceTime(std::chrono::seconds(2));
  EXPECT_EQ(fs_.Take(head).error, EAGAIN);
}

TEST_F(FsLeaseTest, TruncationsAndCreationsWaitForTheLease) {
  fuse_setattr_in cut = {};
  cut.valid = FATTR_SIZE;
  cut.size = 3;
  uint16_t head = Send(FUSE_SETATTR, node_, BytesOf(cut));
  lease_.GiveUp();
  fs_.loop().AdvanceTime(std::chrono::seconds(1));
  EXPECT_EQ(fs_.Take(head).As<fuse_attr_out>().attr.size, 3U);
  Lease again(fs_.host().Path("root/leased"));
  const fuse_create_in in = {O_RDWR | O_TRUNC, S_IFREG | 0644, 0, 0};
  const Bytes request = fs_.Request(FUSE_CREATE, 1, Join(BytesOf(in), NameBytes({"leased"})));
  head = fs_.driver().Chain().Readable(request).Writable(16).Writable(4096).Offer();
  fs_.harness().Publish(FsHarness::kRequests);
  EXPECT_TRUE(again.wanted());
  EXPECT_FALSE(fs_.driver().PopUsed().has_value());
  again.GiveUp();
  fs_.loop().AdvanceTime(std::chrono::seconds(1));
  EXPECT_EQ(fs_.Take(head).error, 0);
  struct stat status;
  ASSERT_EQ(stat(fs_.host().Path("root/leased").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 0);
}

TEST_F(FsLeaseTest, AResetEndsTheWait) {
  SendOpen();
  EXPECT_TRUE(fs_.Stop());
  EXPECT_EQ(fs_.counter("open_files"), 0U);
  fs_.Start();
  lease_.GiveUp();
  EXPECT_EQ(fs_.Do(FUSE_OPEN, fs_.Find(1, "leased"), BytesOf(fuse_open_in{O_RDWR, 0})).error, 0);
}

TEST_F(FsLeaseTest, APauseDoesNotWaitForTheHolder) {
  const uint16_t head = SendOpen();
  EXPECT_TRUE(fs_.harness().Pause(fs_.device()));
  fs_.loop().AdvanceTime(std::chrono::minutes(10));
  // Nothing is tried or answered while the guest is paused, and nothing wakes the loop.
  EXPECT_FALSE(fs_.driver().PopUsed().has_value());
  EXPECT_EQ(fs_.loop().in_flight(Kind::kTimeout), 0U);
  lease_.GiveUp();
  fs_.device().Resume();
  fs_.loop().RunUntilIdle();
  EXPECT_EQ(fs_.Take(head).error, 0);
}

TEST_F(FsLeaseTest, AfterAnEarlyResumeTheRequestStillWaits) {
  const uint16_t head = SendOpen();
  EXPECT_TRUE(fs_.harness().Pause(fs_.device()));
  fs_.device().Resume();
  fs_.loop().RunUntilIdle();
  EXPECT_FALSE(fs_.driver().PopUsed().has_value());
  EXPECT_EQ(fs_.loop().in_flight(Kind::kTimeout), 1U);
  lease_.GiveUp();
  fs_.loop().AdvanceTime(std::chrono::seconds(1));
  EXPECT_EQ(fs_.Take(head).error, 0);
}

TEST_F(FsLeaseTest, AResetDuringAPauseEndsTheWait) {
  for (const bool timer_has_ended : {false, true}) {
    const Lease lease(fs_.host().Path("root/other"));
    fs_.driver().EnableInterrupts();
    const uint64_t other = fs_.Find(1, "other");
    fs_.driver()
        .Chain()
        .Readable(fs_.Request(FUSE_OPEN, other, BytesOf(fuse_open_in{O_RDWR, 0})))
        .Writable(16)
        .Writable(4096)
        .Offer();
    fs_.harness().Publish(FsHarness::kRequests);
    EXPECT_EQ(fs_.loop().in_flight(Kind::kTimeout), 1U);
    EXPECT_TRUE(fs_.harness().Pause(fs_.device()));
    if (timer_has_ended) fs_.loop().AdvanceTime(std::chrono::seconds(1));
    EXPECT_EQ(fs_.loop().in_flight(Kind::kTimeout), timer_has_ended ? 0U : 1U);
    EXPECT_TRUE(fs_.Stop());
    fs_.device().Resume();
    fs_.Start();
  }
}

TEST_F(FsLeaseTest, AFileForgottenDuringTheWaitIsStale) {
  const uint16_t head = SendOpen();
  // The FORGET gives back all lookups of the node.
  fs_.driver(FsHarness::kHighPriority).EnableInterrupts();
  const uint16_t forget = fs_.driver(FsHarness::kHighPriority)
                              .Chain()
                              .Readable(fs_.Request(FUSE_FORGET, node_, BytesOf(fuse_forget_in{1})))
                              .Offer();
  fs_.harness().Publish(FsHarness::kHighPriority);
  EXPECT_EQ(fs_.driver(FsHarness::kHighPriority).PopUsed()->id, forget);
  fs_.loop().AdvanceTime(std::chrono::seconds(1));
  const auto used = fs_.driver().PopUsed();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->id, head);
  const auto bytes = fs_.driver().WritableBytes(head);
  fuse_out_header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  EXPECT_EQ(header.error, -ESTALE);
}

TEST_F(FsLeaseTest, AtMostHalfOfTheRequestsWait) {
  // This device has room for eight requests at a time.
  for (int i = 0; i < 8; ++i) {
    fs_.driver().EnableInterrupts();
    fs_.driver()
        .Chain()
        .Readable(fs_.Request(FUSE_OPEN, node_, BytesOf(fuse_open_in{O_RDWR, 0})))
        .Writable(16)
        .Writable(4096)
        .Offer();
  }
  fs_.harness().Publish(FsHarness::kRequests);
  EXPECT_EQ(fs_.loop().in_flight(Kind::kTimeout), 4U);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(fs_.driver().PopUsed().has_value());
  EXPECT_FALSE(fs_.driver().PopUsed().has_value());
  lease_.GiveUp();
  fs_.loop().AdvanceTime(std::chrono::seconds(1));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(fs_.driver().PopUsed().has_value());
}

TEST_F(FsLeaseTest, AWaitTakesFewTriesAndNoDescriptor) {
  const uint16_t head = SendOpen();
  EXPECT_EQ(fs_.counter("open_files"), 0U);
  const size_t before = fs_.loop().events().size();
  fs_.loop().AdvanceTime(std::chrono::seconds(10));
  // Each timer is started and ends: after 1, 2, 4, ... 128 ms, then every 250.
  EXPECT_LT(fs_.loop().events().size() - before, 2U * 60);
  EXPECT_EQ(fs_.counter("open_files"), 0U);
  lease_.GiveUp();
  fs_.loop().AdvanceTime(std::chrono::seconds(1));
  EXPECT_EQ(fs_.Take(head).error, 0);
}

class FsLeaseReadOnlyTest : public FsLeaseTest {
 protected:
  FsLeaseReadOnlyTest() : FsLeaseTest(/*writable=*/false) {}
};

TEST_F(FsLeaseReadOnlyTest, AReadWaitsForTheLease) {
  const uint16_t head = Send(FUSE_READ, node_, FsHarness::ReadArguments(0, 100));
  lease_.GiveUp();
  fs_.loop().AdvanceTime(std::chrono::seconds(1));
  EXPECT_EQ(fs_.Take(head).Text(), "content");
}

// --- Delegations ---------------------------------------------------------------------------------

// A FUSE server imitates a delegated file: calls that change the file wait.
class FsDelegationTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!mounts_.can_mount() || !fuse_.is_there()) GTEST_SKIP() << "no FUSE, or no right to mount";
    fs_.emplace(
        FsHarness::Options{.cache = FsCache::kAuto, .writable = true}, [this](TemporaryTree& host) {
          ASSERT_EQ(mounts_.Add(host.Path("root"), "fuse", "none", 0, fuse_.options().c_str()), 0);
          fuse_.Start();
        });
    node_ = fs_->Find(FUSE_ROOT_ID, "f0");
    fuse_.Delegate();
  }
  void TearDown() override {
    mounts_.RemoveAll();
    fs_.reset();
  }
  // Sends a request that does not end at once.
  uint16_t Send(uint32_t opcode, uint64_t node, const Bytes& arguments) {
    const Bytes request = fs_->Request(opcode, node, arguments);
    fs_->driver().EnableInterrupts();
    const uint16_t head =
        fs_->driver().Chain().Readable(request).Writable(16).Writable(4096).Offer();
    fs_->harness().Publish(FsHarness::kRequests);
    EXPECT_FALSE(fs_->driver().PopUsed().has_value()) << opcode;
    EXPECT_EQ(fs_->loop().in_flight(Kind::kTimeout), 1U) << opcode;
    return head;
  }

  // Takes the answer to a request after which others were sent. Returns its errno.
  int TakeError(uint16_t head) {
    const auto used = fs_->driver().PopUsed();
    EXPECT_TRUE(used.has_value() && used->id == head);
    const auto bytes = fs_->driver().WritableBytes(head);
    fuse_out_header header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    return -header.error;
  }

  HostMounts mounts_;
  ForgetfulFuse fuse_{4};
  std::optional<FsHarness> fs_;
  uint64_t node_ = 0;
};

TEST_F(FsDelegationTest, ChangesWaitForTheClientWithoutBlockingTheThread) {
  fuse_setattr_in mode = {};
  mode.valid = FATTR_MODE;
  mode.mode = 0600;
  const std::vector<FsChange> changes = {
      {FUSE_SETATTR, node_, BytesOf(mode)},
      {FUSE_SETXATTR, node_, Join(Join(Bytes{1, 0, 0, 0, 0, 0, 0, 0}, NameBytes({"user.a"})), {7})},
      {FUSE_REMOVEXATTR, node_, NameBytes({"user.a"})},
      {FUSE_RENAME, FUSE_ROOT_ID,
       Join(BytesOf(fuse_rename_in{FUSE_ROOT_ID}), NameBytes({"f1", "new"}))},
      {FUSE_RENAME2, FUSE_ROOT_ID,
       Join(BytesOf(fuse_rename2_in{FUSE_ROOT_ID, 1, 0}), NameBytes({"f2", "new"}))},
      {FUSE_UNLINK, FUSE_ROOT_ID, NameBytes({"f3"})},
  };
  int made = 0;
  for (const FsChange& change : changes) {
    fuse_.Delegate();
    const uint16_t head = Send(change.opcode, change.node, change.arguments);
    // Meanwhile other requests are served, and a pause does not wait.
    EXPECT_EQ(fs_->Do(FUSE_GETATTR, node_, BytesOf(fuse_getattr_in{})).error, 0);
    EXPECT_TRUE(fs_->harness().Pause(fs_->device()));
    fs_->device().Resume();
    fs_->loop().AdvanceTime(std::chrono::milliseconds(500));
    EXPECT_FALSE(fs_->driver().PopUsed().has_value()) << change.opcode;
    EXPECT_EQ(fuse_.changes(), made) << change.opcode;
    fuse_.GiveBack();
    fs_->loop().AdvanceTime(std::chrono::milliseconds(250));
    EXPECT_EQ(TakeError(head), 0) << change.opcode;
    EXPECT_EQ(fuse_.changes(), ++made) << change.opcode;
  }
}

TEST_F(FsDelegationTest, AResetEndsTheWait) {
  Send(FUSE_UNLINK, FUSE_ROOT_ID, NameBytes({"f0"}));
  EXPECT_TRUE(fs_->Stop());
  EXPECT_EQ(fuse_.changes(), 0);
}

}  // namespace
}  // namespace virtio
