// The event loop's interface: one thread, one io_uring, operations embedded in their owners'
// objects.
//
//   struct Request : base::Operation { void OnComplete(int32_t result) override; };
//   loop.ReadV(request, file, iovecs, offset);      // later, from the loop:
//   request.OnComplete(bytes or -errno)
//
// Implementations: UringEventLoop (base/uring_event_loop.h) and, for tests, FakeEventLoop
// (tests/fakes/fake_event_loop.h: seeded reordering, short transfers, errors, cancel races).
//
// A turn of the loop: submit everything that was queued and wait (one system call), drain all
// completions, run their OnComplete, run posted functions, run turn hooks. OnComplete is never
// called from inside the call that started the operation. Once the turn's budget is spent, the
// OnCompletes and hooks that are left wait for the next turn, which then does not sleep; posted
// functions, which guests cannot multiply, do not wait.
#ifndef BASE_EVENT_LOOP_H_
#define BASE_EVENT_LOOP_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <chrono>
#include <cstdint>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/turn_budget.h"
#include "base/unique_fd.h"

namespace base {

// One asynchronous operation, embedded in the object that waits for it. While `pending()`, the
// object and every buffer, iovec array and msghdr given with it must stay alive and in place.
// LIFETIME: the kernel holds pointers into them until OnComplete.
class Operation {
 public:
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // Loop thread. `result` is what the system call would return, or -errno (-ECANCELED after
  // Cancel). pending() is false again when it is called (except for a multishot operation that goes
  // on).
  virtual void OnComplete(int32_t result) = 0;
  bool pending() const { return pending_; }

 protected:
  virtual ~Operation() = default;

 private:
  friend class EventLoop;
  Operation* next_completed_ = nullptr;
  int32_t result_ = 0;
  bool pending_ = false;
  bool queued_ = false;     // in the list of drained completions
  bool cancelled_ = false;  // Cancel was called since it was started
  bool ended_ = false;      // the completion in the list is its last
};

// Something to run once at the end of the current turn: interrupts and used-ring updates are
// batched so.
class TurnHook {
 public:
  virtual void OnTurnEnd() = 0;

 protected:
  virtual ~TurnHook() = default;

 private:
  friend class EventLoop;
  TurnHook* next_hook_ = nullptr;
  bool scheduled_ = false;
};

// A file known to one loop: an index in its table of registered files.
class LoopFile {
 public:
  LoopFile() = default;
  explicit LoopFile(int index) : index_(index) {}
  bool valid() const { return index_ >= 0; }
  int index() const { return index_; }

 private:
  int index_ = -1;
};

class EventLoop {
 public:
  using Function = absl::AnyInvocable<void()>;

  virtual ~EventLoop() = default;

  // Registers `fd` for as long as the loop lives; it stays the caller's, the loop holds a reference
  // of its own. Before the loop runs; one thread. Never given back: what a guest or client can
  // repeat must not come here. Errors: ResourceExhausted when the table (Options::max_files) is
  // full; FailedPrecondition when the loop runs.
  virtual absl::StatusOr<LoopFile> AddFile(int fd) = 0;
  // Registers `fd`, which stays the caller's, until RemoveFile. Loop thread (or before the loop
  // runs). Errors: those of fcntl(F_DUPFD); FailedPrecondition when the loop accepts none
  // (UringEventLoop::Options::fixed_files).
  virtual absl::StatusOr<LoopFile> AddTemporaryFile(int fd) = 0;
  // The same, but the caller keeps `fd` open until RemoveFile, so that the loop needs no descriptor
  // of its own. Errors: FailedPrecondition as above.
  virtual absl::StatusOr<LoopFile> LendFile(int fd) { return AddTemporaryFile(fd); }
  // The same, but takes the descriptor over.
  virtual absl::StatusOr<LoopFile> TakeFile(UniqueFd fd) { return AddTemporaryFile(fd.get()); }
  // Forgets a temporary file. No operation on it may be pending. Loop thread (or before the loop
  // runs).
  virtual void RemoveFile(LoopFile file) = 0;

  // Starting operations: loop thread only (or before the loop runs). They cannot fail to start:
  // every error arrives by OnComplete. Result: the ready events (POLLIN...), once.
  virtual void Poll(Operation& op, LoopFile file, uint32_t events) = 0;
  // The same again and again until cancelled or failed (then pending() is false). On an eventfd it
  // completes once per signal, coalesced, without the eventfd ever being read.
  virtual void PollMultishot(Operation& op, LoopFile file, uint32_t events) = 0;
  // `offset` is ignored for files that cannot seek (pass 0). At most IOV_MAX (1024) iovecs.
  virtual void ReadV(Operation& op, LoopFile file, std::span<const iovec> to, uint64_t offset) = 0;
  // Reads at once what that needs no waiting for, of a file that can seek: what is in the host's
  // page cache. Returns the number of bytes, 0 at the end of the file, or -errno; -EAGAIN if the
  // first of them must be waited for, or if this file or loop cannot tell: then ReadV is the way.
  // Less than asked for is not yet the end. At most IOV_MAX (1024) iovecs. Loop thread only.
  virtual int32_t ReadCached(LoopFile file, std::span<const iovec> to, uint64_t offset) = 0;
  virtual void WriteV(Operation& op, LoopFile file, std::span<const iovec> from,
                      uint64_t offset) = 0;
  // The same at the end of the file, wherever that is by then.
  virtual void AppendV(Operation& op, LoopFile file, std::span<const iovec> from) = 0;
  virtual void Fdatasync(Operation& op, LoopFile file) = 0;
  virtual void Fsync(Operation& op, LoopFile file) = 0;
  // mode: FALLOC_FL_*.
  virtual void Fallocate(Operation& op, LoopFile file, int mode, uint64_t offset,
                         uint64_t length) = 0;
  // Result: a new descriptor (CLOEXEC, NONBLOCK), owned by the callee.
  virtual void Accept(Operation& op, LoopFile file) = 0;
  virtual void RecvMsg(Operation& op, LoopFile file, msghdr& message) = 0;
  virtual void SendMsg(Operation& op, LoopFile file, const msghdr& message) = 0;
  // Result: -ETIME when `delay` has passed.
  virtual void Timeout(Operation& op, std::chrono::nanoseconds delay) = 0;
  // Asks for `op` to end early; it still completes exactly once, with -ECANCELED or its own result.
  // No effect if it is not pending.
  virtual void Cancel(Operation& op) = 0;

  // Runs `hook` once at the end of this turn (or of the next if none is running, or if the budget
  // is spent). Hooks take turns: one that schedules itself again comes after all that wait already.
  // Idempotent until it has run. Loop thread.
  virtual void AtTurnEnd(TurnHook& hook) = 0;

  // Runs `function` on the loop's thread, in the order posted. Any thread; wakes the loop.
  virtual void Post(Function function) = 0;

  // True on the loop's own thread (or before the loop runs).
  virtual bool OnLoopThread() const = 0;

  // CLOCK_MONOTONIC, or the fake's clock.
  virtual std::chrono::nanoseconds Now() const = 0;

  // What is left of this turn. Loop thread.
  TurnBudget& turn_budget() { return turn_budget_; }

 protected:
  // Bookkeeping that implementations share; Operation's and TurnHook's private fields are reached
  // by these.
  static void SetPending(Operation& op, bool pending) { op.pending_ = pending; }
  static void SetResult(Operation& op, int32_t result) { op.result_ = result; }
  static int32_t Result(const Operation& op) { return op.result_; }
  static Operation*& Next(Operation& op) { return op.next_completed_; }
  static bool& Queued(Operation& op) { return op.queued_; }
  static bool& Cancelled(Operation& op) { return op.cancelled_; }
  static bool& Ended(Operation& op) { return op.ended_; }
  static TurnHook*& Next(TurnHook& hook) { return hook.next_hook_; }
  static bool& Scheduled(TurnHook& hook) { return hook.scheduled_; }

 private:
  TurnBudget turn_budget_{*this};
};

}  // namespace base

#endif  // BASE_EVENT_LOOP_H_
