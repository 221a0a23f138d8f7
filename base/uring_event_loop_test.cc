#include "base/uring_event_loop.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/fakes/operation_recorder.h"

namespace base {

// Reaches below the interface, to try what the interface does not offer.
class UringEventLoopPeer {
 public:
  // Submits `sqe` with an owner of its own and runs a turn for its completion.
  static int32_t SubmitRaw(UringEventLoop& loop, Operation& op, const io_uring_sqe& sqe);
  static void Begin(UringEventLoop& loop) {
    loop.loop_thread_.store(nullptr);
    loop.Enable();
  }
  static void Turn(UringEventLoop& loop) { loop.Turn(); }
  static void Drain(UringEventLoop& loop, const io_uring_cqe& cqe) { loop.DrainOne(cqe); }
  static void Dispatch(UringEventLoop& loop) { loop.Dispatch(); }
  static unsigned queued_entries(const UringEventLoop& loop);
  static size_t multishot_polls(const UringEventLoop& loop) { return loop.multishot_polls_.size(); }
  static int ring_fd(const UringEventLoop& loop);
};

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

// Every operation with files in the ring's table and with plain descriptors.
class UringEventLoopTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    UringEventLoop::Options options;
    options.fixed_files = GetParam();
    auto loop = UringEventLoop::Create(options);
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = std::move(*loop);
  }
  LoopFile Add(const UniqueFd& fd) { return loop_->AddFile(fd.get()).value(); }
  // Runs the loop until `op` has completed `count` times, or 5 s.
  void RunUntil(Recorder& op, size_t count = 1) {
    op.then = [this, &op, count] {
      if (op.results.size() >= count) loop_->Stop();
    };
    Run();
  }
  // Runs the loop until each of `ops` has completed.
  void RunUntilAll(std::initializer_list<Recorder*> ops) {
    size_t left = ops.size();
    for (Recorder* op : ops) {
      op->then = [this, &left] {
        if (--left == 0) loop_->Stop();
      };
    }
    Run();
  }
  void Run() {
    loop_->Timeout(deadline_, std::chrono::seconds(5));
    deadline_.then = [this] {
      ADD_FAILURE() << "nothing happened for 5 s";
      loop_->Stop();
    };
    loop_->Run();
  }

  std::unique_ptr<UringEventLoop> loop_;
  Recorder deadline_;
};

INSTANTIATE_TEST_SUITE_P(Files, UringEventLoopTest, testing::Bool(),
                         [](const auto& value) { return value.param ? "Fixed" : "Plain"; });

TEST_P(UringEventLoopTest, ReadsAndWritesOneAndSeveralVectors) {
  UniqueFd fd = TemporaryFile("0123456789");
  const LoopFile file = Add(fd);
  char a[4] = {}, b[3] = {}, c[2] = {};
  const iovec several[] = {{a, 3}, {b, 2}};
  const iovec one[] = {{c, 2}};
  char text[] = "AB";
  const iovec from[] = {{text, 1}, {text + 1, 1}};
  const iovec from_one[] = {{text, 1}};
  Recorder reads[2], writes[2];
  loop_->ReadV(reads[0], file, several, 1);
  loop_->ReadV(reads[1], file, one, 8);
  loop_->WriteV(writes[0], file, from, 20);
  EXPECT_TRUE(reads[0].pending());
  loop_->WriteV(writes[1], file, from_one, 30);
  RunUntilAll({&reads[0], &reads[1], &writes[0], &writes[1]});
  EXPECT_EQ(reads[0].results, std::vector<int32_t>{5});
  EXPECT_EQ(reads[1].results, std::vector<int32_t>{2});
  EXPECT_EQ(writes[0].results, std::vector<int32_t>{2});
  EXPECT_EQ(writes[1].results, std::vector<int32_t>{1});
  EXPECT_FALSE(reads[0].pending_in_callback);
  EXPECT_STREQ(a, "123");
  EXPECT_STREQ(b, "45");
  EXPECT_EQ(std::string(c, 2), "89");
  char back[2];
  EXPECT_EQ(pread(fd.get(), back, 2, 20), 2);
  EXPECT_EQ(std::string(back, 2), "AB");
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), 31);
}

TEST_P(UringEventLoopTest, ReportsShortReadsAndErrors) {
  UniqueFd fd = TemporaryFile("abc");
  char buffer[10];
  const iovec to[] = {{buffer, 10}};
  Recorder at_end, beyond, bad;
  loop_->ReadV(at_end, Add(fd), to, 1);
  loop_->ReadV(beyond, Add(fd), to, 100);
  UniqueFd write_only(open("/dev/null", O_WRONLY | O_CLOEXEC));
  loop_->ReadV(bad, Add(write_only), to, 0);
  RunUntilAll({&at_end, &beyond, &bad});
  EXPECT_EQ(at_end.results, std::vector<int32_t>{2});
  EXPECT_EQ(beyond.results, std::vector<int32_t>{0});
  EXPECT_EQ(bad.results, std::vector<int32_t>{-EBADF});
}

TEST_P(UringEventLoopTest, FdatasyncAndFallocate) {
  UniqueFd fd = TemporaryFile(std::string(8192, 'x'));
  const LoopFile file = Add(fd);
  Recorder sync, punch, grow;
  loop_->Fallocate(punch, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
  punch.then = [&] { loop_->Fallocate(grow, file, 0, 0, 16384); };
  grow.then = [&] {
    sync.then = [&] { loop_->Stop(); };
    loop_->Fdatasync(sync, file);
  };
  Run();
  EXPECT_EQ(punch.results, std::vector<int32_t>{0});
  EXPECT_EQ(grow.results, std::vector<int32_t>{0});
  EXPECT_EQ(sync.results, std::vector<int32_t>{0});
  char byte = 1;
  EXPECT_EQ(pread(fd.get(), &byte, 1, 100), 1);
  EXPECT_EQ(byte, 0);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), 16384);
}

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
    for (Recorder& op : ops) loop_->Cancel(op);  // twice is once
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
    SignalEventFd(fd);  // its completion races with the cancel
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
    ops[static_cast<size_t>(i)].then = [&, i] {
      order.push_back(i);
      EXPECT_GE(loop_->Now() - start, (30ms - 10ms * i));
      if (order.size() == 3) loop_->Stop();
    };
    loop_->Timeout(ops[static_cast<size_t>(i)], 30ms - 10ms * i);
  }
  Run();
  EXPECT_EQ(order, (std::vector<int>{2, 1, 0}));
}

TEST_P(UringEventLoopTest, AcceptsAndPassesDescriptors) {
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;  // autobind: an abstract name chosen by the kernel
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  socklen_t length = sizeof(address);
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length);
  UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

  Recorder accept, receive, send;
  loop_->Accept(accept, Add(listener));
  loop_->Post(
      [&] { ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), length), 0); });
  UniqueFd server;
  char buffer[10] = {};
  iovec to = {buffer, sizeof(buffer)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr received = {};
  received.msg_iov = &to;
  received.msg_iovlen = 1;
  received.msg_control = control;
  received.msg_controllen = sizeof(control);

  char text[] = "hi";
  iovec from = {text, 2};
  alignas(cmsghdr) char sent_control[CMSG_SPACE(sizeof(int))] = {};
  msghdr sent = {};
  sent.msg_iov = &from;
  sent.msg_iovlen = 1;
  sent.msg_control = sent_control;
  sent.msg_controllen = sizeof(sent_control);
  cmsghdr* rights = CMSG_FIRSTHDR(&sent);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  const int passed = client.get();
  memcpy(CMSG_DATA(rights), &passed, sizeof(int));

  accept.then = [&] {
    server.reset(accept.results.at(0));
    loop_->RecvMsg(receive, Add(server), received);
    loop_->SendMsg(send, Add(client), sent);
  };
  size_t left = 2;
  send.then = receive.then = [&] {
    if (--left == 0) loop_->Stop();
  };
  Run();
  ASSERT_TRUE(server.valid());
  EXPECT_EQ(fcntl(server.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_NE(fcntl(server.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(send.results, std::vector<int32_t>{2});
  EXPECT_EQ(receive.results, std::vector<int32_t>{2});
  EXPECT_STREQ(buffer, "hi");
  ASSERT_NE(CMSG_FIRSTHDR(&received), nullptr);
  int fd = -1;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&received)), sizeof(int));
  UniqueFd owned(fd);
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

TEST_P(UringEventLoopTest, SendingToAClosedPeerIsAnErrorAndNoSignal) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd a(pair[0]);
  close(pair[1]);
  char text[] = "x";
  iovec from = {text, 1};
  msghdr message = {};
  message.msg_iov = &from;
  message.msg_iovlen = 1;
  Recorder op;
  loop_->SendMsg(op, Add(a), message);
  RunUntil(op);
  EXPECT_EQ(op.results, std::vector<int32_t>{-EPIPE});
}

TEST_P(UringEventLoopTest, AThousandOperationsBeforeAndAfterRunFitAnyRing) {
  UniqueFd fd = TemporaryFile(std::string(1000, 'x'));
  const LoopFile file = Add(fd);
  struct Slot {
    Recorder op;
    char byte = 0;
    iovec to = {&byte, 1};
  };
  std::deque<Slot> before(1000), after(1000);
  size_t done = 0;
  const auto start = [&](std::deque<Slot>& slots) {
    const size_t done_before = done;
    uint64_t offset = 0;
    for (Slot& slot : slots) {
      slot.op.then = [&] {
        if (++done == 2000) loop_->Stop();
      };
      loop_->ReadV(slot.op, file, std::span(&slot.to, 1), offset++);
    }
    EXPECT_EQ(done, done_before) << "no completion from inside the starting call";
  };
  start(before);
  loop_->Post([&] { start(after); });
  Run();
  EXPECT_EQ(done, 2000u);
  for (const Slot& slot : before) EXPECT_EQ(slot.byte, 'x');
  for (const Slot& slot : after) EXPECT_EQ(slot.op.results, std::vector<int32_t>{1});
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
  const auto start = loop_->Now();
  Hook* self = nullptr;
  Hook hook([&] {
    if (++runs == 1000) return loop_->Stop();
    loop_->AtTurnEnd(*self);
  });
  self = &hook;
  loop_->AtTurnEnd(hook);
  Run();
  EXPECT_EQ(runs, 1000);
  EXPECT_LT(loop_->Now() - start, std::chrono::seconds(3));
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
        if (i % 1000 == 0) std::this_thread::sleep_for(1ms);  // let the loop fall asleep at times
      }
    });
  }
  Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, kThreads * kPosts);
  for (const auto& numbers : seen) EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
}

TEST_P(UringEventLoopTest, StopBeforeRunAndFromAnotherThread) {
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

TEST_P(UringEventLoopTest, FilesCanBeAddedAndRemovedWhileItRuns) {
  UniqueFd fd = TemporaryFile("abc");
  int rounds = 0;
  char byte;
  iovec to = {&byte, 1};
  Recorder op;
  LoopFile file;
  const auto next = [&] {
    file = Add(fd);
    loop_->ReadV(op, file, std::span(&to, 1), 0);
  };
  op.then = [&] {
    EXPECT_EQ(op.results.back(), 1);
    loop_->RemoveFile(file);
    if (++rounds == 1000) return loop_->Stop();
    next();
  };
  loop_->Post(next);
  Run();
  EXPECT_EQ(rounds, 1000);
}

TEST_P(UringEventLoopTest, TheLoopKeepsItsOwnReferenceToAFile) {
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  UniqueFd reader(pipe_fds[0]);
  LoopFile file;
  {
    UniqueFd writer(pipe_fds[1]);
    file = Add(writer);
  }
  char text[] = "x";
  iovec from = {text, 1};
  Recorder op;
  loop_->WriteV(op, file, std::span(&from, 1), 0);
  RunUntil(op);
  EXPECT_EQ(op.results, std::vector<int32_t>{1});
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 1);
}

TEST(UringEventLoop, SaysWhenTheTableOfFilesIsFull) {
  UringEventLoop::Options options;
  options.max_files = 2;  // one is the loop's own
  auto loop = UringEventLoop::Create(options).value();
  UniqueFd fd = TemporaryFile();
  const LoopFile first = loop->AddFile(fd.get()).value();
  EXPECT_EQ(loop->AddFile(fd.get()).status(),
            absl::ResourceExhaustedError("event loop: more than 2 files"));
  loop->RemoveFile(first);
  EXPECT_TRUE(loop->AddFile(fd.get()).ok());
  EXPECT_FALSE(loop->AddFile(-1).ok());
}

// --- Restrictions: tried with raw system calls on the enabled ring -------------------------------

TEST(UringEventLoop, RefusesOperationsOutsideTheList) {
  auto loop = UringEventLoop::Create({}).value();
  UniqueFd fd = TemporaryFile("abc");
  const LoopFile file = loop->AddFile(fd.get()).value();
  UringEventLoopPeer::Begin(*loop);
  io_uring_sqe sqe = {};
  for (const int opcode : {IORING_OP_NOP, IORING_OP_OPENAT, IORING_OP_SOCKET, IORING_OP_CONNECT,
                           IORING_OP_URING_CMD, IORING_OP_UNLINKAT, IORING_OP_SPLICE}) {
    Recorder op;
    io_uring_prep_rw(opcode, &sqe, file.index(), nullptr, 0, 0);
    EXPECT_EQ(UringEventLoopPeer::SubmitRaw(*loop, op, sqe), -EACCES) << "opcode " << opcode;
  }
  char byte;
  Recorder allowed;
  io_uring_prep_read(&sqe, file.index(), &byte, 1, 0);
  sqe.flags |= IOSQE_FIXED_FILE;
  EXPECT_EQ(UringEventLoopPeer::SubmitRaw(*loop, allowed, sqe), 1);
  Recorder plain_descriptor;
  io_uring_prep_read(&sqe, fd.get(), &byte, 1, 0);
  EXPECT_EQ(UringEventLoopPeer::SubmitRaw(*loop, plain_descriptor, sqe), -EACCES);
  Recorder linked;
  io_uring_prep_read(&sqe, file.index(), &byte, 1, 0);
  sqe.flags |= IOSQE_FIXED_FILE | IOSQE_IO_LINK;
  EXPECT_EQ(UringEventLoopPeer::SubmitRaw(*loop, linked, sqe), -EACCES);
}

TEST(UringEventLoop, RefusesRegistrationsOutsideTheList) {
  auto loop = UringEventLoop::Create({}).value();
  UringEventLoopPeer::Begin(*loop);
  iovec buffer = {&buffer, sizeof(buffer)};
  EXPECT_EQ(syscall(SYS_io_uring_register, UringEventLoopPeer::ring_fd(*loop),
                    IORING_REGISTER_BUFFERS, &buffer, 1),
            -1);
  EXPECT_EQ(errno, EACCES);
}

TEST(UringEventLoop, AMultishotPollEndedByTheKernelGoesOn) {
  auto loop = UringEventLoop::Create({}).value();
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Recorder poll;
  const LoopFile file = loop->AddFile(event.get()).value();
  UringEventLoopPeer::Begin(*loop);
  loop->PollMultishot(poll, file, POLLIN);
  SignalEventFd(event);
  UringEventLoopPeer::Turn(*loop);
  EXPECT_EQ(poll.results, std::vector<int32_t>{POLLIN});

  // A completion without IORING_CQE_F_MORE: the kernel gave up. It cannot be made to on purpose.
  io_uring_cqe cqe = {};
  cqe.user_data = reinterpret_cast<uint64_t>(static_cast<Operation*>(&poll)) | 1;
  cqe.res = POLLIN;
  UringEventLoopPeer::Drain(*loop, cqe);
  EXPECT_EQ(UringEventLoopPeer::queued_entries(*loop), 1u) << "armed again";
  UringEventLoopPeer::Turn(*loop);  // what is readable completes at once when armed
  EXPECT_EQ(poll.results, (std::vector<int32_t>{POLLIN, POLLIN}));
  EXPECT_TRUE(poll.pending());

  // The same after Cancel: it stays ended.
  loop->Cancel(poll);
  UringEventLoopPeer::Drain(*loop, cqe);
  EXPECT_EQ(UringEventLoopPeer::queued_entries(*loop), 1u) << "the cancel alone";
  UringEventLoopPeer::Dispatch(*loop);
  EXPECT_EQ(poll.results, (std::vector<int32_t>{POLLIN, POLLIN, -ECANCELED}));
  EXPECT_FALSE(poll.pending());
}

TEST(UringEventLoop, AFullCompletionRingLosesNoSignal) {
  // Bursts of reads overflow the completion ring, while an eventfd is signalled.
  UringEventLoop::Options options;
  options.submission_entries = 2;
  options.completion_entries = 4;
  auto loop = UringEventLoop::Create(options).value();
  UniqueFd file_fd = TemporaryFile("abc");
  const LoopFile file = loop->AddFile(file_fd.get()).value();
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Recorder poll;
  loop->PollMultishot(poll, loop->AddFile(event.get()).value(), POLLIN);
  std::deque<Recorder> reads(64);
  char byte;
  iovec to = {&byte, 1};
  size_t done = 0;
  int rounds = 0;
  std::function<void()> burst = [&] {
    SignalEventFd(event);
    for (Recorder& op : reads) {
      op.then = [&] {
        if (++done % reads.size() != 0) return;
        if (++rounds == 100) return loop->Stop();
        loop->Post(burst);
      };
      loop->ReadV(op, file, std::span(&to, 1), 0);
    }
  };
  loop->Post(burst);
  loop->Run();
  EXPECT_TRUE(poll.pending());
  EXPECT_GE(poll.results.size(), 50u);
  for (const int32_t result : poll.results) EXPECT_EQ(result, POLLIN);
  EXPECT_EQ(UringEventLoopPeer::multishot_polls(*loop), 2u);
}

}  // namespace

int32_t UringEventLoopPeer::SubmitRaw(UringEventLoop& loop, Operation& op,
                                      const io_uring_sqe& sqe) {
  // The ring is the first member of what is behind the pointer.
  auto* uring = reinterpret_cast<io_uring*>(loop.ring_.get());
  io_uring_sqe* slot = io_uring_get_sqe(uring);
  *slot = sqe;
  slot->user_data = reinterpret_cast<uint64_t>(&op);
  auto& recorder = static_cast<Recorder&>(op);
  for (int turns = 0; recorder.results.empty() && turns < 1000; ++turns) Turn(loop);
  return recorder.results.empty() ? INT32_MIN : recorder.results[0];
}

unsigned UringEventLoopPeer::queued_entries(const UringEventLoop& loop) {
  return io_uring_sq_ready(reinterpret_cast<io_uring*>(loop.ring_.get()));
}

int UringEventLoopPeer::ring_fd(const UringEventLoop& loop) {
  return reinterpret_cast<io_uring*>(loop.ring_.get())->ring_fd;
}

}  // namespace base
