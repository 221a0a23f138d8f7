#include "base/loop_thread.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/fakes/operation_recorder.h"

namespace base {
namespace {

using std::chrono_literals::operator""ms;

uint64_t ContextSwitches(pid_t thread) {
  std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/status");
  std::string line;
  while (std::getline(status, line)) {
    if (absl::StartsWith(line, "voluntary_ctxt_switches:")) return std::stoull(line.substr(24));
  }
  return ~0ull;
}

TEST(LoopThread, AnIdleLoopNeverWakesUp) {
  auto thread = LoopThread::Create("vmm-io", {}).value();
  UniqueFd fd(eventfd(0, EFD_CLOEXEC));
  OperationRecorder poll;
  thread->loop().PollMultishot(poll, thread->loop().AddFile(fd.get()).value(), POLLIN);
  std::atomic<pid_t> id{0};
  thread->loop().Post([&] { id = gettid(); });
  ASSERT_TRUE(thread->Start().ok());
  while (id == 0) std::this_thread::sleep_for(1ms);
  // The loop first has to fall asleep. That takes as long as other programs keep it from running.
  uint64_t before = 0, after = ContextSwitches(id);
  for (int i = 0; i < 60 && (after == 0 || after != before); ++i) {
    before = after;
    std::this_thread::sleep_for(500ms);
    after = ContextSwitches(id);
  }
  EXPECT_EQ(after, before);
  EXPECT_GT(before, 0u);
}

TEST(LoopThread, HasItsNameAndNoSignals) {
  auto thread = LoopThread::Create("vmm-io1", {}).value();
  std::string name(16, '\0');
  sigset_t mask;
  sigemptyset(&mask);
  thread->loop().Post([&] {
    pthread_getname_np(pthread_self(), name.data(), name.size());
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  });
  ASSERT_TRUE(thread->Start().ok());
  thread->Stop();
  EXPECT_FALSE(thread->loop().OnLoopThread());
  thread->Stop();
  EXPECT_STREQ(name.c_str(), "vmm-io1");
  EXPECT_EQ(sigismember(&mask, SIGTERM), 1);
  EXPECT_EQ(sigismember(&mask, SIGCHLD), 1);
  sigset_t own;
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  EXPECT_EQ(sigismember(&own, SIGTERM), 0);
}

TEST(LoopThread, JoinGivesUpOnAHungThreadWhenThePatienceEnds) {
  auto thread = LoopThread::Create("hangs", {}).value();
  ASSERT_TRUE(thread->Start().ok());
  std::promise<void> host_answers;  // the hung call waits for this
  thread->loop().Post([&] { host_answers.get_future().wait(); });
  thread->RequestStop();
  EXPECT_FALSE(thread->Join(10ms));
  EXPECT_FALSE(thread->Join(0ms)) << "Join can be called again";
  host_answers.set_value();
  EXPECT_TRUE(thread->Join(std::chrono::hours(1)));
  EXPECT_TRUE(thread->Join(0ms));
}

TEST(LoopThread, CanBeDestroyedWithoutHavingBeenStarted) {
  EXPECT_TRUE(LoopThread::Create("never", {}).ok());
}

TEST(LoopThread, ManyLoopsStartAndStopWithoutLeakingDescriptors) {
  const auto count_fds = [] {
    int count = 0;
    for (int fd = 0; fd < 200; ++fd) count += fcntl(fd, F_GETFD) >= 0;
    return count;
  };
  const int before = count_fds();
  for (int i = 0; i < 20; ++i) {
    auto a = LoopThread::Create("a", {}).value();
    auto b = LoopThread::Create("b", {.fixed_files = false}).value();
    ASSERT_TRUE(a->loop().AddFile(STDIN_FILENO).ok());
    ASSERT_TRUE(b->loop().AddFile(STDIN_FILENO).ok());
    ASSERT_TRUE(a->Start().ok());
    ASSERT_TRUE(b->Start().ok());
    std::atomic<bool> passed{false};
    a->loop().Post([&] { b->loop().Post([&] { passed = true; }); });
    a->Stop();
    b->Stop();
    EXPECT_TRUE(passed);
  }
  EXPECT_EQ(count_fds(), before);
}

}  // namespace
}  // namespace base
