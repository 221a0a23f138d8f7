// Tests of waiting, cancelling, the order of a turn, and functions that other threads post.
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/testing/uring_event_loop_fixtures.h"

namespace base {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""ns;

using Recorder = OperationRecorder;

class Hook final : public TurnHook {
 public:
  explicit Hook(std::function<void()> function) : function_(std::move(function)) {}
  void OnTurnEnd() override { function_(); }

 private:
  std::function<void()> function_;
};

class UringEventLoopTest : public UringEventLoopFixture {};

INSTANTIATE_TEST_SUITE_P(Files, UringEventLoopTest, testing::Bool(), FixtureName);

TEST_P(UringEventLoopTest, PollsOnce) {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC));
  Recorder op;
  loop_->Poll(op, Add(fd), POLLIN);
  loop_->Post([&] { SignalEventFd(fd); });
  RunUntil(op);
  EXPECT_EQ(op.results, std::vector<int32_t>{POLLIN});
  EXPECT_FALSE(op.pending());
}

TEST_P(UringEventLoopTest, MultishotPollCompletesOncePerSignalWithoutReading) {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Recorder op;
  loop_->PollMultishot(op, Add(fd), POLLIN);
  op.then = [&] {
    EXPECT_TRUE(op.pending());
    if (op.results.size() < 1000) SignalEventFd(fd);
    if (op.results.size() == 1000) loop_->Stop();
  };
  loop_->Post([&] { SignalEventFd(fd); });
  Run();
  EXPECT_EQ(op.results.size(), 1000u);
  uint64_t count = 0;
  EXPECT_EQ(read(fd.get(), &count, 8), 8);
  EXPECT_EQ(count, 1000u) << "the loop must not read the eventfd";
}

TEST_P(UringEventLoopTest, MultishotPollCoalescesSignalsOfOneTurn) {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Recorder op, timeout;
  loop_->PollMultishot(op, Add(fd), POLLIN);
  loop_->Post([&] {
    for (int i = 0; i < 10; ++i) SignalEventFd(fd);
    loop_->Timeout(timeout, 20ms);
  });
  RunUntil(timeout);
  EXPECT_EQ(op.results, std::vector<int32_t>{POLLIN});
}

TEST_P(UringEventLoopTest, CancelEndsEveryKindOfWaiting) {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC));
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd a(pair[0]), b(pair[1]);
  char buffer[10];
  iovec to = {buffer, 10};
  msghdr message = {};
  message.msg_iov = &to;
  message.msg_iovlen = 1;
  std::deque<Recorder> ops(4);
  loop_->Poll(ops[0], Add(fd), POLLIN);
  loop_->PollMultishot(ops[1], Add(fd), POLLIN);
  loop_->RecvMsg(ops[2], Add(a), message);
  loop_->Timeout(ops[3], std::chrono::hours(1));
  loop_->Post([&] {
    for (Recorder& op : ops) loop_->Cancel(op);
    for (Recorder& op : ops) loop_->Cancel(op);  // a second Cancel has no effect
    EXPECT_TRUE(ops[0].pending());
  });
  size_t done = 0;
  for (Recorder& op : ops) {
    op.then = [&] {
      if (++done == ops.size()) loop_->Stop();
    };
  }
  Run();
  for (Recorder& op : ops) {
    EXPECT_EQ(op.results, std::vector<int32_t>{-ECANCELED});
    EXPECT_FALSE(op.pending());
    loop_->Cancel(op);  // no effect
  }
}

TEST_P(UringEventLoopTest, CancelBeforeRunFollowsItsOperation) {
  Recorder op;
  loop_->Timeout(op, std::chrono::hours(1));
  loop_->Cancel(op);
  RunUntil(op);
  EXPECT_EQ(op.results, std::vector<int32_t>{-ECANCELED});
}

TEST_P(UringEventLoopTest, CancelledMultishotPollCompletesExactlyOnce) {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC));
  Recorder op;
  loop_->PollMultishot(op, Add(fd), POLLIN);
  loop_->Post([&] {
    SignalEventFd(fd);  // the completion of the poll races with the cancel
    loop_->Cancel(op);
  });
  RunUntil(op);
  EXPECT_EQ(op.results, std::vector<int32_t>{-ECANCELED});
  EXPECT_FALSE(op.pending());
}

TEST_P(UringEventLoopTest, AnOperationCanBeStartedAgainFromItsCallback) {
  Recorder op;
  op.then = [&] {
    if (op.results.size() == 3) return loop_->Stop();
    loop_->Timeout(op, 1ms);
    EXPECT_TRUE(op.pending());
  };
  loop_->Timeout(op, 1ms);
  Run();
  EXPECT_EQ(op.results, (std::vector<int32_t>{-ETIME, -ETIME, -ETIME}));
}

TEST_P(UringEventLoopTest, TimeoutsFireInOrderAndNotEarly) {
  std::deque<Recorder> ops(3);
  std::vector<int> order;
  const auto start = loop_->Now();
  for (int i = 0; i < 3; ++i) {
    // The delays are far apart because each timeout starts a moment after the one before.
    const auto delay = 300ms - 100ms * i;
    ops[static_cast<size_t>(i)].then = [&, i, delay] {
      order.push_back(i);
      EXPECT_GE(loop_->Now() - start, delay);
      if (order.size() == 3) loop_->Stop();
    };
    loop_->Timeout(ops[static_cast<size_t>(i)], delay);
  }
  Run();
  EXPECT_EQ(order, (std::vector<int>{2, 1, 0}));
}

TEST_P(UringEventLoopTest, ATurnCompletesThenRunsPostedFunctionsThenHooks) {
  std::vector<std::string> order;
  Recorder op;
  Hook second([&] {
    order.push_back("second hook");
    loop_->Stop();
  });
  Hook first([&] {
    order.push_back("first hook");
    loop_->AtTurnEnd(second);
    loop_->AtTurnEnd(second);
  });
  op.then = [&] {
    order.push_back("completion");
    loop_->AtTurnEnd(first);
    loop_->Post([&] { order.push_back("posted by the completion"); });
  };
  loop_->Post([&] {
    order.push_back("posted");
    loop_->Timeout(op, 0ns);
  });
  Run();
  EXPECT_EQ(order, (std::vector<std::string>{"posted", "completion", "posted by the completion",
                                             "first hook", "second hook"}));
}

TEST_P(UringEventLoopTest, AHookScheduledByAHookRunsNextTurnWithoutSleeping) {
  int runs = 0;
  Recorder alarm;  // nothing else would wake the loop
  Hook* self = nullptr;
  Hook hook([&] {
    if (++runs == 1000) return loop_->Cancel(alarm);
    loop_->AtTurnEnd(*self);
  });
  self = &hook;
  loop_->AtTurnEnd(hook);
  loop_->Timeout(alarm, std::chrono::seconds(60));
  RunUntil(alarm);
  EXPECT_EQ(runs, 1000);
}

TEST_P(UringEventLoopTest, PostFromManyThreadsLosesNothingAndKeepsEachThreadsOrder) {
  constexpr int kThreads = 4, kPosts = 5000;
  std::vector<std::vector<int>> seen(kThreads);
  int total = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        loop_->Post([&, t, i] {
          EXPECT_TRUE(loop_->OnLoopThread());
          seen[static_cast<size_t>(t)].push_back(i);
          if (++total == kThreads * kPosts) loop_->Stop();
        });
        if (i % 1000 == 0) std::this_thread::sleep_for(1ms);  // let the loop fall asleep sometimes
      }
    });
  }
  Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, kThreads * kPosts);
  for (const auto& numbers : seen) EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
}

TEST_P(UringEventLoopTest, StopWorksBeforeRunAndFromAnotherThread) {
  std::thread stopper([&] {
    std::this_thread::sleep_for(20ms);
    loop_->Stop();
  });
  Run();
  stopper.join();
  auto other = UringEventLoop::Create({}).value();
  other->Stop();
  other->Run();
}

}  // namespace
}  // namespace base
