// A deterministic event loop for tests. It has one thread. Its clock stands still unless a test
// moves it. A seed decides the order of completions, and their lengths and errors. File I/O is
// real: it happens on the real descriptor at the moment when the operation completes.
#ifndef TESTS_FAKES_FAKE_EVENT_LOOP_H_
#define TESTS_FAKES_FAKE_EVENT_LOOP_H_

#include <errno.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "base/mutex.h"
#include "base/unique_fd.h"

namespace base {

class FakeEventLoop final : public EventLoop {
 public:
  enum class Kind : uint8_t {
    kPoll,
    kPollMultishot,
    kRead,
    kWrite,
    kFdatasync,
    kFallocate,
    kAccept,
    kRecvMsg,
    kSendMsg,
    kTimeout,
    kFsync,
  };
  struct Options {
    // 0: operations complete in the order in which they were started, and Cancel always wins.
    // Otherwise, in each turn a random part of the operations that can complete does so, in random
    // order, and a cancelled file operation may complete with its own result.
    uint64_t seed = 0;
    // The percentage of reads and writes that transfer less than requested: at least
    // short_transfer_unit_bytes, and a multiple of it.
    int short_transfer_percent = 0;
    size_t short_transfer_unit_bytes = 512;
    // The percentage of reads, writes, fdatasyncs and fallocates that fail without any effect.
    int error_percent = 0;
    std::vector<int> errors = {EAGAIN, EIO, EINTR, ENOSPC};
    // The percentage of ReadCached calls that find data in the cache. The others return -EAGAIN.
    int cached_percent = 0;
    size_t max_files = 256;
  };
  // Something that happened; events() lists them in order.
  struct Event {
    enum class What : uint8_t { kStarted, kCompleted, kFlushSubmitted, kFlushAcknowledged };
    What what;
    Kind kind = Kind::kPoll;
    int file = -1;  // LoopFile::index(), -1 for timeouts
    uint64_t offset = 0;
    uint64_t length_bytes = 0;
    int32_t result = 0;      // of kCompleted
    uint64_t operation = 0;  // counts from 1; the same in kStarted and kCompleted
    uint64_t flush = 0;      // the number that the test gave to the flush
  };

  explicit FakeEventLoop(Options options);
  FakeEventLoop();
  ~FakeEventLoop() override;

  // Runs one turn. Returns whether anything ran. If the code under test makes the loop spin, the
  // program ends after 1,000,000 turns of one RunUntilIdle.
  bool RunTurn();
  // Runs turns until nothing more can happen without time passing, input from outside, or
  // Release().
  void RunUntilIdle();
  // Moves only the clock, as if the code under test had taken this long.
  void Elapse(std::chrono::nanoseconds by) { now_ += by; }
  // Moves the clock, stops at each timeout that expires, and runs until idle.
  void AdvanceTime(std::chrono::nanoseconds by);

  // Holds back every operation on `file`, like a disk that hangs: even Cancel has no effect until
  // Release.
  void Hold(LoopFile file);
  void Release(LoopFile file);
  // Lets the next `count` operations of this kind fail with -`error`.
  void FailNext(Kind kind, int error, int count = 1);
  // Lets the next read or write transfer at most `bytes`.
  void ShortenNext(Kind kind, size_t bytes);

  // Returns how many operations were started and have not completed.
  size_t in_flight() const { return pending_.size(); }
  // Returns the same for one kind.
  size_t in_flight(Kind kind) const;
  const std::vector<Event>& events() const { return events_; }
  // Returns how often ReadCached has found data or the end of the file.
  size_t cached_reads() const { return cached_reads_; }
  // Returns how often Now was called.
  uint64_t clock_reads() const { return clock_reads_; }
  // Returns how often AddFile was called: a ring keeps these files in its table for ever.
  uint64_t files_added() const { return files_added_; }

  // The test's driver calls these when it has made flush number `flush` available to the device,
  // and when it has seen that flush acknowledged with success.
  void NoteFlushSubmitted(uint64_t flush);
  void NoteFlushAcknowledged(uint64_t flush);
  // Checks every acknowledged flush. Before the acknowledgement, an fdatasync must have succeeded
  // that started after the completion of every write and fallocate that had completed when the
  // flush was submitted. Returns "", or what is wrong.
  std::string CheckFlushes() const;

  // May be called at any time, unlike on a real loop. files_added() shows a caller that does so.
  absl::StatusOr<LoopFile> AddFile(int fd) override;
  absl::StatusOr<LoopFile> AddTemporaryFile(int fd) override;
  absl::StatusOr<LoopFile> LendFile(int fd) override;
  void RemoveFile(LoopFile file) override;
  void Poll(Operation& op, LoopFile file, uint32_t events) override;
  void PollMultishot(Operation& op, LoopFile file, uint32_t events) override;
  void ReadV(Operation& op, LoopFile file, std::span<const iovec> to, uint64_t offset) override;
  // Injected errors apply to ReadV, not to this.
  int32_t ReadCached(LoopFile file, std::span<const iovec> to, uint64_t offset) override;
  void WriteV(Operation& op, LoopFile file, std::span<const iovec> from, uint64_t offset) override;
  void AppendV(Operation& op, LoopFile file, std::span<const iovec> from) override;
  void Fdatasync(Operation& op, LoopFile file) override;
  void Fsync(Operation& op, LoopFile file) override;
  void Fallocate(Operation& op, LoopFile file, int mode, uint64_t offset, uint64_t length) override;
  void Accept(Operation& op, LoopFile file) override;
  void RecvMsg(Operation& op, LoopFile file, msghdr& message) override;
  void SendMsg(Operation& op, LoopFile file, const msghdr& message) override;
  void Timeout(Operation& op, std::chrono::nanoseconds delay) override;
  void Cancel(Operation& op) override;
  void AtTurnEnd(TurnHook& hook) override;
  void Post(Function function) override;
  bool OnLoopThread() const override;
  std::chrono::nanoseconds Now() const override {
    ++clock_reads_;
    return now_;
  }

 private:
  struct File {
    int fd = -1;
    UniqueFd own;  // the descriptor in use, unless it was lent
    bool seekable = false;
    bool held = false;
    bool temporary = false;
  };
  struct Pending {
    Operation* op;
    Kind kind;
    int file = -1;
    uint64_t number = 0;
    std::span<const iovec> iovecs = {};
    uint64_t offset = 0;
    uint64_t length_bytes = 0;
    int mode = 0;  // RWF_* of a write
    uint32_t poll_events = 0;
    uint64_t seen_signals = 0;  // of a multishot poll: the last reported state
    uint32_t seen_ready = 0;
    msghdr* receive = nullptr;
    const msghdr* send = nullptr;
    std::chrono::nanoseconds deadline{0};
    bool cancelled = false;
  };
  struct Completion {
    Pending what;
    int32_t result;
  };

  absl::StatusOr<LoopFile> Duplicate(int fd, bool temporary);
  absl::StatusOr<LoopFile> Keep(int fd, UniqueFd own, bool temporary);
  void Start(Operation& op, Pending pending);
  const File& FileOf(const Pending& pending) const;
  std::vector<size_t> Candidates();
  // Executes the operation if it can complete now.
  std::optional<int32_t> TryExecute(Pending& pending);
  std::optional<int32_t> Execute(Pending& pending);
  std::optional<int32_t> ExecutePoll(Pending& pending) const;
  std::optional<int32_t> Transfer(const Pending& pending);
  std::optional<int32_t> InjectedError(const Pending& pending);
  size_t TransferLimit(const Pending& pending);
  bool Chance(int percent);
  bool RunPosted();
  bool RunHooks();

  const Options options_;
  std::mt19937_64 random_;
  const std::thread::id thread_ = std::this_thread::get_id();
  std::chrono::nanoseconds now_{1'000'000'000};
  mutable uint64_t clock_reads_ = 0;
  std::vector<std::optional<File>> files_;
  std::vector<Pending> pending_;  // in the order in which they were started
  std::vector<std::pair<Kind, int>> failures_;
  std::vector<std::pair<Kind, size_t>> shortened_;
  std::vector<Event> events_;
  std::deque<TurnHook*> hooks_;
  uint64_t files_added_ = 0;
  uint64_t next_number_ = 1;
  size_t cached_reads_ = 0;
  Mutex mutex_;
  std::vector<Function> posted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace base

#endif  // TESTS_FAKES_FAKE_EVENT_LOOP_H_
