#include "virtio/host_tree/call_watch.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include "base/unique_fd.h"

namespace virtio {
namespace {

class CallWatchTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(watch_.Start().ok()); }
  // Makes a call that waits until a signal comes or somebody writes.
  HostError Wait() {
    return watch_.Run([this] {
      eventfd_t value;
      return eventfd_read(never_.get(), &value);
    });
  }

  CallWatch watch_;
  const base::UniqueFd never_{eventfd(0, EFD_CLOEXEC)};
};

TEST_F(CallWatchTest, ACallThatWaitsFailsWithEagain) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Wait(), EAGAIN);
}

TEST_F(CallWatchTest, QuickCallsReturnTheirResult) {
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(watch_.Run([] { return 0; }), 0);
    EXPECT_EQ(watch_.Run([] { return unlink("/nonexistent/file"); }), ENOENT);
  }
}

TEST_F(CallWatchTest, ACallThatEndsByItselfIsNotCutShort) {
  eventfd_write(never_.get(), 1);
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(Wait(), EAGAIN);
}

TEST_F(CallWatchTest, AfterAPauseCallsAreWatchedAgain) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(watch_.Run([] { return 0; }), 0);
    std::this_thread::sleep_for(3 * CallWatch::kPatience);  // the watching thread sleeps by then
    EXPECT_EQ(Wait(), EAGAIN);
    std::this_thread::sleep_for(3 * CallWatch::kPatience);
  }
}

TEST_F(CallWatchTest, AThreadWithSignalsBlockedIsWatchedToo) {
  std::thread thread([this] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    EXPECT_EQ(Wait(), EAGAIN);
  });
  thread.join();
  EXPECT_EQ(Wait(), EAGAIN);
}

TEST(CallWatch, CallsAreMadeWithoutTheWatchingThreadToo) {
  CallWatch watch;
  EXPECT_EQ(watch.Run([] { return 0; }), 0);
  EXPECT_EQ(watch.Run([] { return unlink("/nonexistent/file"); }), ENOENT);
}

}  // namespace
}  // namespace virtio
