// The event loop on io_uring. [Linux 6.1: io_uring(7)]
//
// The ring is created disabled: files and first operations are added by the thread that builds the
// machine, then Run() binds the ring to its own thread (SINGLE_ISSUER), which makes the
// restrictions effective. From then on the ring accepts nothing but the operations of EventLoop, so
// a program that lost control of this process gains no system call by way of the ring.
#ifndef BASE_URING_EVENT_LOOP_H_
#define BASE_URING_EVENT_LOOP_H_

#include <atomic>
#include <cstdint>
#include <memory>
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
        128;  // power of two; a full ring is submitted early, not an error
    uint32_t completion_entries = 512;  // power of two; more than that overflows into the kernel
    uint32_t max_files = 256;           // 1 to 32768
    // True: files live in the ring's table and nothing else is accepted. For the data path, whose
    // files stay for the process's life. False: the loop keeps duplicate descriptors, and takes
    // temporary files. A file is never removed from the table: up to Linux 6.12 the kernel frees
    // what it kept of the file, and before 6.4 closes it, once all requests have ended that were
    // in flight at the time, which for a long poll is never.
    bool fixed_files = true;
    // Kernel threads for what cannot be done without blocking (fdatasync, buffered misses).
    uint32_t max_file_workers = 16;  // for regular files and block devices
    uint32_t max_other_workers = 4;  // for everything else
  };

  // Errors: one line that says what to change if the kernel is too old or forbids io_uring.
  static absl::StatusOr<std::unique_ptr<UringEventLoop>> Create(const Options& options);
  // Run() must not be running. Buffers of operations that are still pending must stay in place
  // until the process ends: stop the devices first.
  ~UringEventLoop() override;
  UringEventLoop(const UringEventLoop&) = delete;
  UringEventLoop& operator=(const UringEventLoop&) = delete;

  // Runs turns on the calling thread, which becomes the loop's thread, until Stop(). Once only.
  void Run();
  // Ends Run() after what was posted before. Any thread, also before Run().
  void Stop();

  absl::StatusOr<LoopFile> AddFile(int fd) override;
  absl::StatusOr<LoopFile> AddTemporaryFile(int fd) override;
  absl::StatusOr<LoopFile> LendFile(int fd) override;
  absl::StatusOr<LoopFile> TakeFile(UniqueFd fd) override;
  void RemoveFile(LoopFile file) override;
  void Poll(Operation& op, LoopFile file, uint32_t events) override;
  // On files other than eventfds too it completes once per wake-up (edge-triggered): read until
  // -EAGAIN. It may complete once without a new signal, when the kernel ended it and it was armed
  // again.
  void PollMultishot(Operation& op, LoopFile file, uint32_t events) override;
  void ReadV(Operation& op, LoopFile file, std::span<const iovec> to, uint64_t offset) override;
  // Always -EAGAIN if files are fixed: they have no descriptor.
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
  struct Ring;                      // what needs liburing.h
  struct Entry;
  struct MultishotPoll {
    LoopFile file;
    uint32_t events;
  };
  class WakeUp final : public Operation {
    void OnComplete(int32_t /*result*/) override {}  // having woken up was all
  };
  // Tells Post() whether the loop must be woken.
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
  uint32_t files_ = 0;                // that were added: the indices in the table below it are used
  std::vector<UniqueFd> kept_files_;  // the same, without a table
  std::unordered_set<int> temporary_files_;  // descriptors
  std::unordered_set<int> lent_files_;       // the same, open for as long as they are here
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
