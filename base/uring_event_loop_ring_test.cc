// Tests below the interface: what the ring refuses, and what happens when it is full.
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "base/uring_event_loop.h"
#include "gtest/gtest.h"
#include "tests/fakes/operation_recorder.h"

namespace base {

// Gives the tests access to what the interface hides.
class UringEventLoopPeer {
 public:
  // Submits `sqe` with `op` as its owner and runs turns until it completes.
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

using Recorder = OperationRecorder;

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

TEST(UringEventLoop, AMultishotPollEndedByTheKernelIsArmedAgain) {
  auto loop = UringEventLoop::Create({}).value();
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Recorder poll;
  const LoopFile file = loop->AddFile(event.get()).value();
  UringEventLoopPeer::Begin(*loop);
  loop->PollMultishot(poll, file, POLLIN);
  SignalEventFd(event);
  UringEventLoopPeer::Turn(*loop);
  EXPECT_EQ(poll.results, std::vector<int32_t>{POLLIN});

  // Feeds a completion without IORING_CQE_F_MORE, by which the kernel ends a multishot poll. The
  // kernel cannot be made to do so on purpose.
  io_uring_cqe cqe = {};
  cqe.user_data = reinterpret_cast<uint64_t>(static_cast<Operation*>(&poll)) | 1;
  cqe.res = POLLIN;
  UringEventLoopPeer::Drain(*loop, cqe);
  EXPECT_EQ(UringEventLoopPeer::queued_entries(*loop), 1u) << "armed again";
  // an eventfd that is readable completes at once when it is armed
  UringEventLoopPeer::Turn(*loop);
  EXPECT_EQ(poll.results, (std::vector<int32_t>{POLLIN, POLLIN}));
  EXPECT_TRUE(poll.pending());

  // After Cancel, the same completion ends the poll for good.
  loop->Cancel(poll);
  UringEventLoopPeer::Drain(*loop, cqe);
  EXPECT_EQ(UringEventLoopPeer::queued_entries(*loop), 1u) << "only the cancel is queued";
  UringEventLoopPeer::Dispatch(*loop);
  EXPECT_EQ(poll.results, (std::vector<int32_t>{POLLIN, POLLIN, -ECANCELED}));
  EXPECT_FALSE(poll.pending());
}

TEST(UringEventLoop, AFullCompletionRingLosesNoSignal) {
  // Bursts of reads overflow the completion ring while an eventfd is signalled.
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
  size_t results_of_bursts = 0;
  std::function<void()> burst = [&] {
    SignalEventFd(event);
    for (Recorder& op : reads) {
      op.then = [&] {
        if (++done % reads.size() != 0) return;
        if (++rounds < 100) return loop->Post(burst);
        // The poll is still armed, so one more completion comes.
        results_of_bursts = poll.results.size();
        poll.then = [&] { loop->Stop(); };
        loop->Post([&] { SignalEventFd(event); });
      };
      loop->ReadV(op, file, std::span(&to, 1), 0);
    }
  };
  loop->Post(burst);
  loop->Run();
  EXPECT_TRUE(poll.pending());
  EXPECT_GE(results_of_bursts, 1u) << "signals may have been coalesced";
  for (const int32_t result : poll.results) EXPECT_EQ(result, POLLIN);
  EXPECT_EQ(UringEventLoopPeer::multishot_polls(*loop), 2u);
}

}  // namespace

int32_t UringEventLoopPeer::SubmitRaw(UringEventLoop& loop, Operation& op,
                                      const io_uring_sqe& sqe) {
  // `uring` is the first member of the Ring behind the pointer.
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
