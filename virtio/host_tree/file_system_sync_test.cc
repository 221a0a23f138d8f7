#include "virtio/host_tree/file_system_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/fake_event_loop.h"

namespace virtio {
namespace {

struct Waiter final : FileSystemSync::Waiter {
  void OnSynced(HostError error) override { told.push_back(error.number()); }
  std::vector<int> told;
};

// The jobs of helper threads run when the test calls EndCall.
class FileSystemSyncTest : public testing::Test {
 protected:
  FileSystemSyncTest()
      : sync_(std::make_unique<FileSystemSync>(
            loop_, base::UniqueFd(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
            FileSystemSync::Options{
                .sync = [this](int) { return HostError::FromErrno(std::exchange(result_, 0)); },
                .run =
                    [this](FileSystemSync::Job job) {
                      if (!can_run_) return absl::ResourceExhaustedError("");
                      jobs_.push_back(std::move(job));
                      return absl::OkStatus();
                    }})) {}

  // Runs the oldest job, so that its call ends with `result`.
  void EndCall(int result = 0) {
    ASSERT_FALSE(jobs_.empty());
    result_ = result;
    FileSystemSync::Job job = std::move(jobs_.front());
    jobs_.pop_front();
    job();
    job = nullptr;
    loop_.RunUntilIdle();
  }

  base::FakeEventLoop loop_;
  int result_ = 0;
  bool can_run_ = true;
  std::deque<FileSystemSync::Job> jobs_;  // calls that have not ended
  std::unique_ptr<FileSystemSync> sync_;
};

TEST_F(FileSystemSyncTest, AWaiterGetsItsResultWhenTheCallHasEnded) {
  Waiter waiter;
  sync_->Wait(waiter);
  loop_.RunUntilIdle();
  EXPECT_TRUE(waiter.told.empty());
  EndCall();
  EXPECT_EQ(waiter.told, std::vector<int>{0});
  EXPECT_EQ(sync_->calls(), 1U);
}

TEST_F(FileSystemSyncTest, RequestsDuringACallShareTheNextCall) {
  std::vector<Waiter> waiters(5);
  sync_->Wait(waiters[0]);
  for (int i = 1; i < 5; ++i) sync_->Wait(waiters[i]);
  EXPECT_EQ(jobs_.size(), 1U);
  EndCall();
  EXPECT_EQ(waiters[0].told.size(), 1U);
  for (int i = 1; i < 5; ++i) EXPECT_TRUE(waiters[i].told.empty()) << i;
  EXPECT_EQ(jobs_.size(), 1U);
  EndCall(EIO);
  for (int i = 1; i < 5; ++i) EXPECT_EQ(waiters[i].told, std::vector<int>{EIO}) << i;
  EXPECT_EQ(sync_->calls(), 2U);
  EXPECT_TRUE(jobs_.empty());
}

TEST_F(FileSystemSyncTest, OnlyOneCallRunsWhateverIsAskedAndCancelled) {
  for (int i = 0; i < 100; ++i) {
    Waiter waiter;
    sync_->Wait(waiter);
    sync_->Cancel(waiter);
  }
  EXPECT_EQ(jobs_.size(), 1U);
  Waiter waiter;
  sync_->Wait(waiter);
  EndCall();  // began before the waiter asked
  EXPECT_TRUE(waiter.told.empty());
  EndCall();
  EXPECT_EQ(waiter.told, std::vector<int>{0});
}

TEST_F(FileSystemSyncTest, AnErrorWithoutAWaiterGoesToTheNextWaiter) {
  Waiter gone, next, last;
  sync_->Wait(gone);
  sync_->Cancel(gone);
  EndCall(ENOSPC);
  sync_->Wait(next);
  EndCall();
  EXPECT_EQ(next.told, std::vector<int>{ENOSPC});
  sync_->Wait(last);
  EndCall();
  EXPECT_EQ(last.told, std::vector<int>{0});
  EXPECT_TRUE(gone.told.empty());
}

TEST_F(FileSystemSyncTest, WithoutAThreadTheResultIsAnError) {
  can_run_ = false;
  Waiter one, two;
  sync_->Wait(one);
  EXPECT_EQ(one.told, std::vector<int>{EAGAIN});
  can_run_ = true;
  sync_->Wait(two);
  EndCall();
  EXPECT_EQ(two.told, std::vector<int>{0});
}

TEST_F(FileSystemSyncTest, ACallMayEndAfterItsWaiterAndTheObject) {
  Waiter one, two;
  sync_->Wait(one);
  sync_->Cancel(one);
  sync_ = nullptr;
  EndCall();  // nobody gets the result
  EXPECT_TRUE(one.told.empty());
}

TEST_F(FileSystemSyncTest, AResultThatIsPostedButNotRunIsDroppedWithTheObject) {
  Waiter waiter;
  sync_->Wait(waiter);
  FileSystemSync::Job job = std::move(jobs_.front());
  job();  // posts the result to the loop
  sync_ = nullptr;
  loop_.RunUntilIdle();
  EXPECT_TRUE(waiter.told.empty());
}

TEST(FileSystemSync, TreesOfSeveralFileSystemsAreSyncedAsAWhole) {
  for (const bool all : {false, true}) {
    base::FakeEventLoop loop;
    std::string calls;
    FileSystemSync sync(loop, base::UniqueFd(),
                        {.all = all,
                         .sync = [&calls](int) -> HostError {
                           calls += " one";
                           return EIO;
                         },
                         .sync_all = [&calls] { calls += " all"; },
                         .run =
                             [](FileSystemSync::Job job) {
                               job();
                               return absl::OkStatus();
                             }});
    Waiter waiter;
    sync.Wait(waiter);
    loop.RunUntilIdle();
    EXPECT_EQ(calls, all ? " all one" : " one");
    EXPECT_EQ(waiter.told, std::vector<int>{EIO});
  }
}

TEST(FileSystemSync, SyncsOnAThreadOfItsOwn) {
  base::UniqueFd ended(eventfd(0, EFD_CLOEXEC));
  const auto thread = gettid();
  pid_t other = thread;
  ASSERT_TRUE(FileSystemSync::RunOnThread([&] {
                other = gettid();
                eventfd_write(ended.get(), 1);
              }).ok());
  eventfd_t value;
  ASSERT_EQ(eventfd_read(ended.get(), &value), 0);
  EXPECT_NE(other, thread);
  base::UniqueFd file(open(testing::TempDir().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(FileSystemSync::SyncFileSystem(file.get()), 0);
  EXPECT_EQ(FileSystemSync::SyncFileSystem(-1), EBADF);
}

}  // namespace
}  // namespace virtio
