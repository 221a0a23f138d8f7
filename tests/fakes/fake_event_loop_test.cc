#include "tests/fakes/fake_event_loop.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <deque>
#include <numeric>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/operation_recorder.h"

namespace base {
namespace {

using std::chrono_literals::operator""ms;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = FakeEventLoop::Kind;

using Recorder = OperationRecorder;

TEST(FakeEventLoop, DoesRealFileIoWhenTheOperationCompletes) {
  FakeEventLoop loop;
  UniqueFd fd = TemporaryFile("abcdef");
  const LoopFile file = loop.AddFile(fd.get()).value();
  char a[2], b[2];
  const iovec to[] = {{a, 2}, {b, 2}};
  char text[] = "XY";
  const iovec from[] = {{text, 2}};
  Recorder read, write, sync, punch;
  loop.ReadV(read, file, to, 1);
  loop.WriteV(write, file, from, 4);
  loop.Fdatasync(sync, file);
  loop.Fallocate(punch, file, FALLOC_FL_KEEP_SIZE, 0, 4096);
  EXPECT_THAT(read.results, IsEmpty());
  EXPECT_EQ(loop.in_flight(), 4u);
  char back[2];
  EXPECT_EQ(pread(fd.get(), back, 2, 4), 2);
  EXPECT_EQ(std::string(back, 2), "ef");
  loop.RunUntilIdle();
  EXPECT_THAT(read.results, ElementsAre(4));
  EXPECT_THAT(write.results, ElementsAre(2));
  EXPECT_THAT(sync.results, ElementsAre(0));
  EXPECT_THAT(punch.results, ElementsAre(0));
  EXPECT_EQ(std::string(a, 2) + std::string(b, 2), "bcde");
  EXPECT_EQ(pread(fd.get(), back, 2, 4), 2);
  EXPECT_EQ(std::string(back, 2), "XY");
  EXPECT_EQ(loop.in_flight(), 0u);
}

std::vector<int> OrderOf(uint64_t seed) {
  FakeEventLoop loop({.seed = seed});
  UniqueFd fd = TemporaryFile("x");
  const LoopFile file = loop.AddFile(fd.get()).value();
  std::deque<Recorder> ops(20);
  std::vector<int> order;
  int next = 0;
  for (Recorder& op : ops) {
    const int number = next++;
    op.then = [&order, number] { order.push_back(number); };
    loop.Fdatasync(op, file);
  }
  loop.RunUntilIdle();
  EXPECT_EQ(order.size(), 20u);
  return order;
}

TEST(FakeEventLoop, ReordersByTheSeedAlone) {
  std::vector<int> sorted(20);
  std::iota(sorted.begin(), sorted.end(), 0);
  EXPECT_EQ(OrderOf(0), sorted);
  EXPECT_NE(OrderOf(1), sorted);
  EXPECT_EQ(OrderOf(1), OrderOf(1));
  EXPECT_NE(OrderOf(1), OrderOf(2));
}

TEST(FakeEventLoop, InjectsErrorsAndShortTransfers) {
  FakeEventLoop loop;
  UniqueFd fd = TemporaryFile(std::string(4096, 'x'));
  const LoopFile file = loop.AddFile(fd.get()).value();
  std::vector<char> buffer(4096);
  const iovec to[] = {{buffer.data(), 1000}, {buffer.data() + 1000, 3096}};
  Recorder op;
  loop.FailNext(Kind::kRead, EIO, 2);
  loop.ShortenNext(Kind::kRead, 1500);
  op.then = [&] {
    if (op.results.size() < 4) loop.ReadV(op, file, to, 0);
  };
  loop.ReadV(op, file, to, 0);
  loop.RunUntilIdle();
  EXPECT_THAT(op.results, ElementsAre(-EIO, -EIO, 1500, 4096));
}

TEST(FakeEventLoop, RandomFaultsComeAtTheRateAskedForAndInWholeUnits) {
  FakeEventLoop loop({.seed = 3, .short_transfer_percent = 30, .error_percent = 20});
  UniqueFd fd = TemporaryFile(std::string(4096, 'x'));
  const LoopFile file = loop.AddFile(fd.get()).value();
  std::vector<char> buffer(4096);
  const iovec to[] = {{buffer.data(), 4096}};
  Recorder op;
  op.then = [&] {
    if (op.results.size() < 1000) loop.ReadV(op, file, to, 0);
  };
  loop.ReadV(op, file, to, 0);
  loop.RunUntilIdle();
  int errors = 0, shorts = 0;
  for (const int32_t result : op.results) {
    errors += result < 0;
    shorts += result > 0 && result < 4096;
    EXPECT_TRUE(result < 0 || result % 512 == 0) << result;
  }
  EXPECT_NEAR(errors, 200, 60);
  EXPECT_NEAR(shorts, 240, 60);
}

TEST(FakeEventLoop, CancelRacesWithCompletionWhenSeeded) {
  int cancelled = 0, completed = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    FakeEventLoop loop({.seed = seed});
    UniqueFd fd = TemporaryFile("x");
    Recorder op;
    loop.Fdatasync(op, loop.AddFile(fd.get()).value());
    loop.Cancel(op);
    EXPECT_TRUE(op.pending());
    loop.RunUntilIdle();
    ASSERT_EQ(op.results.size(), 1u);
    EXPECT_FALSE(op.pending());
    (op.results[0] == -ECANCELED ? cancelled : completed) += 1;
  }
  EXPECT_GT(cancelled, 5);
  EXPECT_GT(completed, 5);
}

TEST(FakeEventLoop, AHungFileCompletesNothingUntilReleased) {
  FakeEventLoop loop;
  UniqueFd hung_fd = TemporaryFile("x"), other_fd = TemporaryFile("x");
  const LoopFile hung = loop.AddFile(hung_fd.get()).value();
  Recorder a, b;
  loop.Hold(hung);
  loop.Fdatasync(a, hung);
  loop.Fdatasync(b, loop.AddFile(other_fd.get()).value());
  loop.Cancel(a);
  loop.RunUntilIdle();
  EXPECT_TRUE(a.pending());
  EXPECT_THAT(b.results, ElementsAre(0));
  loop.Release(hung);
  loop.RunUntilIdle();
  EXPECT_THAT(a.results, ElementsAre(-ECANCELED));
}

TEST(FakeEventLoop, MultishotPollCompletesOncePerSignalWithoutReading) {
  FakeEventLoop loop;
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Recorder op;
  loop.PollMultishot(op, loop.AddFile(fd.get()).value(), POLLIN);
  loop.RunUntilIdle();
  EXPECT_THAT(op.results, IsEmpty());
  for (int i = 0; i < 3; ++i) {
    SignalEventFd(fd);
    SignalEventFd(fd);
    loop.RunUntilIdle();
  }
  EXPECT_THAT(op.results, ElementsAre(POLLIN, POLLIN, POLLIN));
  EXPECT_TRUE(op.pending());
  SignalEventFd(fd);
  loop.Cancel(op);
  loop.RunUntilIdle();
  EXPECT_EQ(op.results.size(), 4u);
  EXPECT_EQ(op.results.back(), -ECANCELED);
  EXPECT_FALSE(op.pending());
}

TEST(FakeEventLoop, PollAcceptAndSocketsWaitUntilReady) {
  FakeEventLoop loop;
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd a(pair[0]), b(pair[1]);
  char buffer[10];
  iovec iov = {buffer, 10};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  const LoopFile file = loop.AddFile(a.get()).value();
  Recorder receive, poll;
  loop.RecvMsg(receive, file, message);
  loop.RunUntilIdle();
  EXPECT_TRUE(receive.pending());
  EXPECT_EQ(write(b.get(), "hey", 3), 3);
  loop.RunUntilIdle();
  EXPECT_THAT(receive.results, ElementsAre(3));
  loop.Poll(poll, file, POLLIN);
  loop.RunUntilIdle();
  EXPECT_TRUE(poll.pending());
  b.reset();
  loop.RunUntilIdle();
  ASSERT_EQ(poll.results.size(), 1u);
  EXPECT_NE(poll.results[0] & POLLHUP, 0);
}

TEST(FakeEventLoop, TheClockMovesOnlyByHandAndStopsAtEachTimeout) {
  FakeEventLoop loop;
  const auto start = loop.Now();
  Recorder op;
  std::vector<int64_t> at;
  op.then = [&] {
    at.push_back((loop.Now() - start) / 1ms);
    if (at.size() < 3) loop.Timeout(op, 10ms);
  };
  loop.Timeout(op, 10ms);
  loop.RunUntilIdle();
  EXPECT_THAT(at, IsEmpty());
  loop.AdvanceTime(9ms);
  EXPECT_THAT(at, IsEmpty());
  loop.AdvanceTime(100ms);
  EXPECT_THAT(at, ElementsAre(10, 20, 30));
  EXPECT_THAT(op.results, ElementsAre(-ETIME, -ETIME, -ETIME));
  EXPECT_EQ((loop.Now() - start) / 1ms, 109);
}

TEST(FakeEventLoop, PostsFromOtherThreadsAndHooksRunInTheirPlace) {
  FakeEventLoop loop;
  struct Hook final : TurnHook {
    void OnTurnEnd() override { order->push_back("hook"); }
    std::vector<std::string>* order;
  } hook;
  std::vector<std::string> order;
  hook.order = &order;
  loop.AtTurnEnd(hook);
  loop.AtTurnEnd(hook);
  std::thread([&] { loop.Post([&] { order.push_back("posted"); }); }).join();
  loop.RunUntilIdle();
  EXPECT_THAT(order, ElementsAre("posted", "hook"));
  EXPECT_TRUE(loop.OnLoopThread());
}

class CheckFlushes : public testing::Test {
 protected:
  void Write() {
    loop_.WriteV(write_, file_, from_, 0);
    loop_.RunUntilIdle();
  }
  void Sync() {
    loop_.Fdatasync(sync_, file_);
    loop_.RunUntilIdle();
  }
  FakeEventLoop loop_;
  UniqueFd fd_ = TemporaryFile("x");
  LoopFile file_ = loop_.AddFile(fd_.get()).value();
  char byte_ = 'y';
  iovec iov_ = {&byte_, 1};
  std::span<const iovec> from_ = std::span(&iov_, 1);
  Recorder write_, sync_;
};

TEST_F(CheckFlushes, AcceptsAFlushThatSyncedEverything) {
  Write();
  loop_.NoteFlushSubmitted(1);
  Sync();
  Write();  // completes after the flush was submitted, so the flush need not cover it
  loop_.NoteFlushAcknowledged(1);
  EXPECT_EQ(loop_.CheckFlushes(), "");
}

TEST_F(CheckFlushes, RejectsAFlushWithoutSync) {
  Write();
  loop_.NoteFlushSubmitted(1);
  loop_.NoteFlushAcknowledged(1);
  EXPECT_THAT(loop_.CheckFlushes(), HasSubstr("flush 1 was acknowledged"));
}

TEST_F(CheckFlushes, RejectsASyncThatFailed) {
  Write();
  loop_.NoteFlushSubmitted(1);
  loop_.FailNext(Kind::kFdatasync, EIO);
  Sync();
  loop_.NoteFlushAcknowledged(1);
  EXPECT_NE(loop_.CheckFlushes(), "");
}

TEST_F(CheckFlushes, RejectsASyncStartedBeforeTheWriteCompleted) {
  loop_.Hold(file_);
  loop_.Fdatasync(sync_, file_);
  loop_.WriteV(write_, file_, from_, 0);
  sync_.then = [&] { EXPECT_TRUE(write_.pending()); };
  write_.then = [&] { loop_.NoteFlushSubmitted(7); };
  loop_.Release(file_);
  loop_.RunUntilIdle();
  loop_.NoteFlushAcknowledged(7);
  EXPECT_NE(loop_.CheckFlushes(), "");
}

}  // namespace
}  // namespace base
