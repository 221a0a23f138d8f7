// The event loop on io_uring. [Linux 6.1: io_uring(7)]
//
// The ring is created disabled. The thread that builds the machine adds files and first operations;
// then Run() binds the ring to its own thread (SINGLE_ISSUER) and makes the restrictions effective.
// From then on the ring accepts only the operations of EventLoop, so an attacker who controls this
// process gains no further system call through the ring.
#ifndef BASE_URING_EVENT_LOOP_H_
#define BASE_URING_EVENT_LOOP_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/mutex.h"
#include "base/unique_fd.h"

struct io_uring_cqe;

namespace base {

class UringEventLoop final : public EventLoop {
 public:
  struct Options {
    uint32_t submission_entries =
        128;  // power of two; a full ring is submitted early, which is no error
    // power of two; further completions overflow into the kernel
    uint32_t completion_entries = 512;
    uint32_t max_files = 256;  // 1 to 32768
    // True: files live in the ring's table, and the loop accepts no other files. For the data path,
    // whose files stay for the life of the process. False: the loop keeps duplicate descriptors and
    // takes temporary files. A file is never removed from the table. LINUX: up to 6.12 the kernel
    // frees what it kept of a removed file only when all requests that were in flight at the
    // removal have ended, and before 6.4 it closes the file only then. With a long poll in flight
    // that is never.
    bool fixed_files = true;
    // The limits on kernel threads for operations that block (fdatasync, buffered misses).
    uint32_t max_file_workers = 16;  // for regular files and block devices
    uint32_t max_other_workers = 4;  // for everything else
  };

  // Errors: one line that says what to change if the kernel is too old or forbids io_uring.
  static absl::StatusOr<std::unique_ptr<UringEventLoop>> Create(const Options& options);
  // Run() must not be running. Buffers of operations that are still pending must stay in place
  // until the process ends, so stop the devices first.
  ~UringEventLoop() override;
  UringEventLoop(const UringEventLoop&) = delete;
  UringEventLoop& operator=(const UringEventLoop&) = delete;

  // Runs turns on the calling thread, which becomes the loop's thread, until Stop(). Call it once
  // only.
  void Run();
  // Ends Run() after everything that was posted before. Any thread, also before Run().
  void Stop();

  absl::StatusOr<LoopFile> AddFile(int fd) override;
  absl::StatusOr<LoopFile> AddTemporaryFile(int fd) override;
  absl::StatusOr<LoopFile> LendFile(int fd) override;
  absl::StatusOr<LoopFile> TakeFile(UniqueFd fd) override;
  void RemoveFile(LoopFile file) override;
  void Poll(Operation& op, LoopFile file, uint32_t events) override;
  // On files other than eventfds the operation also completes once per wake-up (edge-triggered):
  // read until -EAGAIN. The operation may complete without a new signal after the kernel ended the
  // poll and the loop armed it again.
  void PollMultishot(Operation& op, LoopFile file, uint32_t events) override;
  void ReadV(Operation& op, LoopFile file, std::span<const iovec> to, uint64_t offset) override;
  // Always returns -EAGAIN if files are fixed, because they have no descriptor.
  int32_t ReadCached(LoopFile file, std::span<const iovec> to, uint64_t offset) override;
  void WriteV(Operation& op, LoopFile file, std::span<const iovec> from, uint64_t offset) override;
  void AppendV(Operation& op, LoopFile file, std::span<const iovec> from) override;
  void Fdatasync(Operation& op, LoopFile file) override;
  void Fsync(Operation& op, LoopFile file) override;
  void Fallocate(Operation& op, LoopFile file, int mode, uint64_t offset, uint64_t length) override;
  void Accept(Operation& op, LoopFile file) override;
  // Descriptors arrive with CLOEXEC.
  void RecvMsg(Operation& op, LoopFile file, msghdr& message) override;
  // Never raises SIGPIPE.
  void SendMsg(Operation& op, LoopFile file, const msghdr& message) override;
  void Timeout(Operation& op, std::chrono::nanoseconds delay) override;
  void Cancel(Operation& op) override;
  void AtTurnEnd(TurnHook& hook) override;
  void Post(Function function) override;
  bool OnLoopThread() const override;
  std::chrono::nanoseconds Now() const override;

 private:
  friend class UringEventLoopPeer;  // base/uring_event_loop_ring_test.cc
  struct Ring;                      // the members that need liburing.h
  struct Entry;
  struct MultishotPoll {
    LoopFile file;
    uint32_t events;
  };
  class WakeUp final : public Operation {
    void OnComplete(int32_t /*result*/) override {}  // the completion only has to end the sleep
  };
  // Says whether Post() must wake the loop.
  enum class State : uint32_t { kAwake, kAsleep, kPosted };

  explicit UringEventLoop(const Options& options);
  absl::Status Initialize();
  absl::Status Restrict();
  void Enable();

  void Start(Operation& op, Entry& entry, bool multishot = false);
  void Queue(const Entry& entry);
  bool PutInRing(const Entry& entry);

  void Turn();
  void Enter(bool wait);
  void Drain();
  void DrainOne(const io_uring_cqe& cqe);
  void Dispatch();
  void RunPosted();
  void RunHooks();

  const Options options_;
  std::unique_ptr<Ring> ring_;
  bool running_ = false;
  bool stopped_ = false;
  // number of files added: the used indices in the table are below it
  uint32_t files_ = 0;
  std::vector<UniqueFd> kept_files_;         // the files added, in a loop without a table
  std::unordered_set<int> temporary_files_;  // descriptors
  std::unordered_set<int> lent_files_;       // the same, but the caller keeps them open
  std::unordered_map<Operation*, MultishotPoll> multishot_polls_;

  Operation* completed_head_ = nullptr;
  Operation* completed_tail_ = nullptr;
  TurnHook* hooks_head_ = nullptr;
  TurnHook* hooks_tail_ = nullptr;

  UniqueFd wake_fd_;
  LoopFile wake_file_;
  WakeUp wake_up_;

  std::atomic<const void*> loop_thread_{nullptr};
  std::atomic<State> state_{State::kAwake};
  Mutex mutex_;
  std::vector<Function> posted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace base

#endif  // BASE_URING_EVENT_LOOP_H_
