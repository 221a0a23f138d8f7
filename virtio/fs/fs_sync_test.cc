// SYNCFS is answered only when the host has synced what the guest has written.

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "virtio/fs/testing/fs_fixtures.h"

namespace virtio {
namespace {

constexpr uint16_t kQueue = FsHarness::kRequests;

// A share whose syncs on the host end when the test says so.
class FsSync : public testing::Test {
 protected:
  FsHarness::Options Options() {
    FsHarness::Options options{.cache = FsCache::kAuto, .writable = true};
    options.sync.sync = [this](int /*fd*/) {
      return HostError::FromErrno(std::exchange(result_, 0));
    };
    options.sync.run = [this](FileSystemSync::Job job) {
      jobs_.push_back(std::move(job));
      return absl::OkStatus();
    };
    return options;
  }
  // Sends a SYNCFS and returns the head of its chain.
  uint16_t Ask() {
    const uint16_t head = fs_.driver()
                              .Chain()
                              .Readable(fs_.Request(FUSE_SYNCFS, 1, BytesOf(uint64_t{0})))
                              .Writable(sizeof(fuse_out_header))
                              .Offer();
    fs_.driver().EnableInterrupts();
    fs_.harness().Publish(kQueue);
    return head;
  }
  // Lets the host's call end with `error`.
  void EndSync(int error = 0) {
    ASSERT_FALSE(jobs_.empty());
    result_ = error;
    std::exchange(jobs_.front(), nullptr)();
    jobs_.pop_front();
    fs_.loop().RunUntilIdle();
  }
  // Returns the errno of the answer to the request at `head`, or nullopt if there is no answer yet.
  std::optional<int> Answer(uint16_t head) {
    const auto used = fs_.driver().PopUsed();
    if (!used.has_value()) return std::nullopt;
    EXPECT_EQ(used->id, head);
    fuse_out_header header = {};
    const Bytes bytes = fs_.driver().WritableBytes(head);
    std::memcpy(&header, bytes.data(), sizeof(header));
    return -header.error;
  }

  int result_ = 0;
  std::deque<FileSystemSync::Job> jobs_;
  FsHarness fs_{Options(), [](const TemporaryTree&) {}};
};

TEST_F(FsSync, SyncfsIsAnsweredOnceTheHostHasSynced) {
  const uint16_t head = Ask();
  EXPECT_EQ(jobs_.size(), 1U);
  EXPECT_EQ(Answer(head), std::nullopt);
  EXPECT_EQ(fs_.Lookup(1, "none").As<fuse_entry_out>().nodeid, 0U);  // others are served
  EndSync();
  EXPECT_EQ(Answer(head), 0);
  EXPECT_EQ(fs_.counter("host_syncs"), 1U);
}

TEST_F(FsSync, SyncfsReturnsTheHostsError) {
  const uint16_t head = Ask();
  EndSync(EIO);
  EXPECT_EQ(Answer(head), EIO);
  EXPECT_EQ(fs_.counter("host_errors"), 1U);
}

TEST_F(FsSync, RequestsShareOneCallThatBeginsAfterThem) {
  const uint16_t first = Ask();
  const uint16_t second = Ask();
  const uint16_t third = Ask();
  EXPECT_EQ(jobs_.size(), 1U);
  EndSync();
  EXPECT_EQ(Answer(first), 0);
  EXPECT_EQ(Answer(second), std::nullopt);
  EndSync();
  EXPECT_EQ(Answer(second), 0);
  EXPECT_EQ(Answer(third), 0);
  EXPECT_EQ(fs_.counter("host_syncs"), 2U);
}

TEST_F(FsSync, AResetDoesNotWaitForAHostThatHangs) {
  for (int reset = 0; reset < 20; ++reset) {
    Ask();
    EXPECT_EQ(jobs_.size(), 1U);  // no reset adds another call
    ASSERT_TRUE(fs_.Stop());
    fs_.Start();
  }
  const uint16_t head = Ask();
  EndSync();  // this call began before the request
  EXPECT_EQ(Answer(head), std::nullopt);
  EndSync();
  EXPECT_EQ(Answer(head), 0);
}

TEST_F(FsSync, APauseWaitsForTheAnswer) {
  const uint16_t head = Ask();
  bool paused = false;
  fs_.device().Pause([&paused] { paused = true; });
  fs_.loop().RunUntilIdle();
  EXPECT_FALSE(paused);
  EndSync();
  EXPECT_TRUE(paused);
  EXPECT_EQ(Answer(head), 0);
  fs_.device().Resume();
}

TEST_F(FsSync, SyncfsFailsBeforeInit) {
  EXPECT_EQ(fs_.Do(FUSE_DESTROY, 0).error, 0);
  EXPECT_EQ(fs_.Do(FUSE_SYNCFS, 1, BytesOf(uint64_t{0})).error, EIO);
  EXPECT_TRUE(jobs_.empty());
}

TEST(FsSyncReadOnly, ReadOnlySharesSyncNothing) {
  FsHarness fs({.cache = FsCache::kAuto}, [](const TemporaryTree&) {});
  EXPECT_EQ(fs.Do(FUSE_SYNCFS, 1, BytesOf(uint64_t{0})).error, ENOSYS);
  EXPECT_EQ(fs.counter("host_syncs"), 0U);
}

}  // namespace
}  // namespace virtio
