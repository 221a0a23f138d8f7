// Files on which another process of the host holds a lease.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>
#include <utility>
#include <vector>

#include "virtio/host_tree/lease_wait.h"
#include "virtio/host_tree/testing/forgetful_fuse_fixtures.h"
#include "virtio/host_tree/testing/lease_fixtures.h"
#include "virtio/host_tree/testing/mount_fixtures.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

class P9LeaseTest : public testing::TestWithParam<bool> {
 protected:
  P9LeaseTest()
      : p9_({.writable = GetParam()},
            [](const TemporaryTree& host) { host.Write("root/leased", "content"); }),
        lease_(p9_.host().Path("root/leased")) {
    fid_ = p9_.Find({"leased"});
  }
  uint16_t SendOpen() {
    p9_.driver().EnableInterrupts();
    const uint16_t head =
        p9_.Offer(kP9Open, 7, P9Bytes().Number(fid_).Number(uint32_t{O_RDONLY}), 64);
    p9_.harness().Publish(0);
    EXPECT_TRUE(lease_.wanted());
    EXPECT_EQ(p9_.loop().in_flight(base::FakeEventLoop::Kind::kTimeout), 1U);
    return head;
  }

  P9Harness p9_;
  Lease lease_;
  uint32_t fid_ = 0;
};

TEST_P(P9LeaseTest, AnOpenWaitsUntilTheLeaseIsGivenUp) {
  const uint16_t head = SendOpen();
  EXPECT_EQ(p9_.Walk(P9Harness::kRoot, 900, {}).error, 0);  // other requests are served
  lease_.GiveUp();
  p9_.loop().AdvanceTime(std::chrono::seconds(1));
  EXPECT_EQ(p9_.Take(head, kP9Open, 7).error, 0);
  EXPECT_EQ(p9_.ReadText(fid_, 0, 100), "content");
}

TEST_P(P9LeaseTest, AFlushEndsTheWait) {
  const uint16_t head = SendOpen();
  p9_.Offer(kP9Flush, 8, P9Bytes().Number(uint16_t{7}), 64);
  p9_.harness().Publish(0);
  EXPECT_EQ(p9_.Take(head, kP9Open, 7).error, EINTR);
  EXPECT_TRUE(p9_.driver().PopUsed().has_value());
  EXPECT_EQ(p9_.loop().in_flight(base::FakeEventLoop::Kind::kTimeout), 0U);
}

TEST_P(P9LeaseTest, AResetEndsTheWait) {
  SendOpen();
  EXPECT_TRUE(p9_.Stop());
}

TEST_P(P9LeaseTest, APauseDoesNotWaitForTheHolder) {
  const uint16_t head = SendOpen();
  EXPECT_TRUE(p9_.harness().Pause(p9_.device()));
  p9_.loop().AdvanceTime(std::chrono::minutes(10));
  EXPECT_FALSE(p9_.driver().PopUsed().has_value());
  EXPECT_EQ(p9_.loop().in_flight(base::FakeEventLoop::Kind::kTimeout), 0U);
  lease_.GiveUp();
  p9_.device().Resume();
  p9_.loop().RunUntilIdle();
  EXPECT_EQ(p9_.Take(head, kP9Open, 7).error, 0);
}

TEST_P(P9LeaseTest, TheWaitEndsAfterTheHostsLeaseBreakTime) {
  const uint16_t head = SendOpen();
  p9_.loop().AdvanceTime(LeaseBreakTime());
  EXPECT_FALSE(p9_.driver().PopUsed().has_value());
  p9_.loop().AdvanceTime(std::chrono::seconds(2));
  EXPECT_EQ(p9_.Take(head, kP9Open, 7).error, EAGAIN);
}

INSTANTIATE_TEST_SUITE_P(Shares, P9LeaseTest, testing::Bool());

// --- Delegations ---------------------------------------------------------------------------------

// A FUSE server imitates delegated files: calls that change a file wait.
TEST(P9DelegationTest, ChangesWaitForTheClientWithoutBlockingTheThread) {
  HostMounts mounts;
  ForgetfulFuse fuse(4);
  if (!mounts.can_mount() || !fuse.is_there()) GTEST_SKIP() << "no FUSE, or no right to mount";
  P9Harness p9({.writable = true}, [&](const TemporaryTree& host) {
    ASSERT_EQ(mounts.Add(host.Path("root"), "fuse", "none", 0, fuse.options().c_str()), 0);
    fuse.Start();
  });
  constexpr uint32_t kRoot = P9Harness::kRoot;
  const std::vector<std::pair<uint8_t, P9Bytes>> changes = {
      {kP9RenameAt, P9Bytes().Number(kRoot).String("f0").Number(kRoot).String("new")},
      {kP9UnlinkAt, P9Bytes().Number(kRoot).String("f1").Number(uint32_t{0})},
  };
  int made = 0;
  for (const auto& [type, message] : changes) {
    fuse.Delegate();
    p9.driver().EnableInterrupts();
    const uint16_t head = p9.Offer(type, 7, message, 64);
    p9.harness().Publish(0);
    EXPECT_EQ(p9.loop().in_flight(base::FakeEventLoop::Kind::kTimeout), 1U) << int{type};
    EXPECT_EQ(p9.Walk(kRoot, 900, {}).error, 0);  // other requests are served
    EXPECT_EQ(p9.Clunk(900).error, 0);
    EXPECT_EQ(fuse.changes(), made);
    fuse.GiveBack();
    p9.loop().AdvanceTime(std::chrono::seconds(1));
    EXPECT_EQ(p9.Take(head, type, 7).error, 0) << int{type};
    EXPECT_EQ(fuse.changes(), ++made);
  }
  mounts.RemoveAll();
}

}  // namespace
}  // namespace virtio
