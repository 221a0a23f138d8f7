// The event loop's interface: one thread, one io_uring. Each operation is a member of the object
// that waits for it.
//
//   struct Request : base::Operation { void OnComplete(int32_t result) override; };
//   loop.ReadV(request, file, iovecs, offset);      // later, from the loop:
//   request.OnComplete(bytes or -errno)
//
// UringEventLoop (base/uring_event_loop.h) implements the interface. FakeEventLoop
// (tests/fakes/fake_event_loop.h) implements it for tests, with seeded reordering, short transfers,
// errors and cancel races.
//
// A turn of the loop submits everything that was queued and waits (one system call), drains all
// completions, runs their OnComplete, runs posted functions and runs turn hooks. OnComplete is
// never called from inside the call that started the operation. When the turn's budget is spent,
// the remaining OnCompletes and hooks wait for the next turn, which then does not sleep. Posted
// functions do not wait, because guests cannot multiply them.
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

// One asynchronous operation, embedded in the object that waits for it. While `pending()`, that
// object and every buffer, iovec array and msghdr passed with the operation must stay alive and in
// place.
// LIFETIME: the kernel holds pointers into them until OnComplete.
class Operation {
 public:
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // Runs on the loop thread. `result` is what the system call would return, or -errno (-ECANCELED
  // after Cancel). pending() is already false when OnComplete is called, except while a multishot
  // operation continues.
  virtual void OnComplete(int32_t result) = 0;
  bool pending() const { return pending_; }

 protected:
  virtual ~Operation() = default;

 private:
  friend class EventLoop;
  Operation* next_completed_ = nullptr;
  int32_t result_ = 0;
  bool pending_ = false;
  bool queued_ = false;     // is in the list of drained completions
  bool cancelled_ = false;  // Cancel was called after the operation was started
  bool ended_ = false;      // the completion in the list is the operation's last
};

// A function that runs once at the end of the current turn. Interrupts and used-ring updates use it
// to batch their work.
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

  // Registers `fd` for as long as the loop lives. The caller still owns `fd`; the loop holds its
  // own reference. Call it before the loop runs, from one thread. The entry is never given back, so
  // nothing that a guest or client can repeat may call this. Errors: ResourceExhausted when the
  // table (Options::max_files) is full; FailedPrecondition when the loop runs.
  virtual absl::StatusOr<LoopFile> AddFile(int fd) = 0;
  // Registers `fd`, which the caller still owns, until RemoveFile. Loop thread (or before the loop
  // runs). Errors: those of fcntl(F_DUPFD); FailedPrecondition when the loop takes no temporary
  // files (UringEventLoop::Options::fixed_files).
  virtual absl::StatusOr<LoopFile> AddTemporaryFile(int fd) = 0;
  // Like AddTemporaryFile, but the caller keeps `fd` open until RemoveFile, so the loop needs no
  // descriptor of its own. Errors: FailedPrecondition as above.
  virtual absl::StatusOr<LoopFile> LendFile(int fd) { return AddTemporaryFile(fd); }
  // Like AddTemporaryFile, but takes the descriptor over.
  virtual absl::StatusOr<LoopFile> TakeFile(UniqueFd fd) { return AddTemporaryFile(fd.get()); }
  // Forgets a temporary file. No operation on it may be pending. Loop thread (or before the loop
  // runs).
  virtual void RemoveFile(LoopFile file) = 0;

  // The functions that start an operation: loop thread only (or before the loop runs). They cannot
  // fail: every error arrives through OnComplete.
  //
  // Polls once. Result: the ready events (POLLIN...).
  virtual void Poll(Operation& op, LoopFile file, uint32_t events) = 0;
  // Polls repeatedly until the operation is cancelled or fails; pending() is false after that. On
  // an eventfd, the operation completes once per signal (signals may be coalesced), and the eventfd
  // is never read.
  virtual void PollMultishot(Operation& op, LoopFile file, uint32_t events) = 0;
  // `offset` is ignored for files that cannot seek (pass 0). At most IOV_MAX (1024) iovecs.
  virtual void ReadV(Operation& op, LoopFile file, std::span<const iovec> to, uint64_t offset) = 0;
  // Reads without waiting what the host's page cache holds of a seekable file. Returns the number
  // of bytes, 0 at the end of the file, or -errno. Returns -EAGAIN if the first byte is not cached,
  // or if this file or loop cannot say what is cached: use ReadV then. A short read does not mean
  // the end of the file. At most IOV_MAX (1024) iovecs. Loop thread only.
  virtual int32_t ReadCached(LoopFile file, std::span<const iovec> to, uint64_t offset) = 0;
  virtual void WriteV(Operation& op, LoopFile file, std::span<const iovec> from,
                      uint64_t offset) = 0;
  // Like WriteV, but at the end of the file, wherever the end is when the kernel writes.
  virtual void AppendV(Operation& op, LoopFile file, std::span<const iovec> from) = 0;
  virtual void Fdatasync(Operation& op, LoopFile file) = 0;
  virtual void Fsync(Operation& op, LoopFile file) = 0;
  // mode: FALLOC_FL_*.
  virtual void Fallocate(Operation& op, LoopFile file, int mode, uint64_t offset,
                         uint64_t length) = 0;
  // Result: a new descriptor (CLOEXEC, NONBLOCK), which OnComplete must take or close.
  virtual void Accept(Operation& op, LoopFile file) = 0;
  virtual void RecvMsg(Operation& op, LoopFile file, msghdr& message) = 0;
  virtual void SendMsg(Operation& op, LoopFile file, const msghdr& message) = 0;
  // Result: -ETIME when `delay` has passed.
  virtual void Timeout(Operation& op, std::chrono::nanoseconds delay) = 0;
  // Asks for `op` to end early. `op` still completes exactly once, with -ECANCELED or with its own
  // result. Has no effect if `op` is not pending.
  virtual void Cancel(Operation& op) = 0;

  // Runs `hook` once at the end of this turn, or of the next turn if none is running or the budget
  // is spent. Hooks take turns: a hook that schedules itself again runs after all hooks that
  // already wait. Further calls have no effect until the hook has run. Loop thread.
  virtual void AtTurnEnd(TurnHook& hook) = 0;

  // Runs `function` on the loop's thread. Functions run in the order in which they were posted. Any
  // thread; wakes the loop.
  virtual void Post(Function function) = 0;

  // Returns true on the loop's own thread (or before the loop runs).
  virtual bool OnLoopThread() const = 0;

  // Returns the time of CLOCK_MONOTONIC, or of the fake's clock.
  virtual std::chrono::nanoseconds Now() const = 0;

  // Returns what is left of this turn's budget. Loop thread.
  TurnBudget& turn_budget() { return turn_budget_; }

 protected:
  // Bookkeeping that implementations share: access to the private fields of Operation and TurnHook.
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
