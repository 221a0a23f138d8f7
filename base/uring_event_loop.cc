#include "base/uring_event_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace base {
namespace {

// Operations are aligned, so the lowest bit of their address says whether they are multishot.
constexpr uint64_t kMultishotBit = 1;
static_assert(alignof(Operation) > kMultishotBit);
// What running one OnComplete counts for: about as much as a short request.
constexpr uint32_t kStepsPerCompletion = 8;
// The user data of cancel requests. Nothing waits for their completions.
constexpr uint64_t kNobody = 0;

// All operations that EventLoop offers, and no others.
constexpr std::array kAllowedOps = {
    IORING_OP_POLL_ADD, IORING_OP_READ,      IORING_OP_WRITE,   IORING_OP_READV,
    IORING_OP_WRITEV,   IORING_OP_FSYNC,     IORING_OP_RECVMSG, IORING_OP_SENDMSG,
    IORING_OP_ACCEPT,   IORING_OP_FALLOCATE, IORING_OP_TIMEOUT, IORING_OP_ASYNC_CANCEL,
};

const void* ThisThread() {
  static thread_local char identity;
  return &identity;
}

uint64_t UserData(Operation& op, bool multishot) {
  return reinterpret_cast<uint64_t>(&op) | (multishot ? kMultishotBit : 0);
}

absl::Status RingError(int error) {
  absl::string_view advice;
  if (error == ENOSYS)
    advice = "; this kernel has no io_uring, which vmm needs (Linux 6.1 or later)";
  if (error == EINVAL) advice = "; Linux 6.1 or later is needed";
  if (error == EPERM) {
    advice =
        "; set sysctl kernel.io_uring_disabled=0, or let the seccomp policy allow io_uring_setup";
  }
  if (error == ENOMEM) advice = "; raise the limit on locked memory (RLIMIT_MEMLOCK)";
  return Annotate(ErrnoStatus(error, absl::StrCat("io_uring: cannot create a ring", advice)),
                  "host");
}

// The kernel limits a transfer to less than this anyway (MAX_RW_COUNT).
unsigned ClampLength(size_t bytes) {
  return static_cast<unsigned>(std::min<size_t>(bytes, INT_MAX));
}

}  // namespace

struct UringEventLoop::Entry {
  io_uring_sqe sqe = {};
  __kernel_timespec timeout = {};  // for IORING_OP_TIMEOUT
};

struct UringEventLoop::Ring {
  explicit Ring(uint32_t entries) : timeouts(entries) {}
  ~Ring() {
    if (created) io_uring_queue_exit(&uring);
  }
  io_uring uring = {};
  bool created = false;
  std::vector<__kernel_timespec> timeouts;  // one per entry; the kernel reads them at submission
  std::vector<Entry> delayed;  // were queued before Run(), or while the kernel had no memory
};

UringEventLoop::UringEventLoop(const Options& options)
    : options_(options), ring_(std::make_unique<Ring>(options.submission_entries)) {}

UringEventLoop::~UringEventLoop() {
  for (const int fd : temporary_files_) ::close(fd);
}

absl::StatusOr<std::unique_ptr<UringEventLoop>> UringEventLoop::Create(const Options& options) {
  auto loop = std::unique_ptr<UringEventLoop>(new UringEventLoop(options));
  RETURN_IF_ERROR(loop->Initialize());
  return loop;
}

absl::Status UringEventLoop::Initialize() {
  io_uring_params params = {};
  params.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
  params.cq_entries = options_.completion_entries;
  io_uring* uring = &ring_->uring;
  if (int ret = io_uring_queue_init_params(options_.submission_entries, uring, &params); ret < 0) {
    return RingError(-ret);
  }
  ring_->created = true;
  CHECK(params.sq_entries == options_.submission_entries);
  if (options_.fixed_files) {
    if (int ret = io_uring_register_files_sparse(uring, options_.max_files); ret < 0) {
      return ErrnoStatus(-ret,
                         absl::StrCat("host: io_uring: cannot make the table of files",
                                      ret == -EMFILE ? " (raise ulimit -n or LimitNOFILE=)" : ""));
    }
  }
  unsigned workers[2] = {options_.max_file_workers, options_.max_other_workers};
  if (int ret = io_uring_register_iowq_max_workers(uring, workers); ret < 0) {
    return ErrnoStatus(-ret, "host: io_uring: cannot limit the number of workers");
  }
  RETURN_IF_ERROR(Restrict());

  wake_fd_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_fd_.valid()) return ErrnoStatus(errno, "host: cannot create an eventfd");
  ASSIGN_OR_RETURN(wake_file_, AddFile(wake_fd_.get()));
  PollMultishot(wake_up_, wake_file_, POLLIN);
  return absl::OkStatus();
}

absl::Status UringEventLoop::Restrict() {
  std::vector<io_uring_restriction> restrictions;
  const auto add = [&restrictions](unsigned kind, unsigned value) {
    io_uring_restriction restriction = {};
    restriction.opcode = static_cast<uint16_t>(kind);
    restriction.sqe_op = static_cast<uint8_t>(value);  // a union with register_op and sqe_flags
    restrictions.push_back(restriction);
  };
  for (const auto op : kAllowedOps) add(IORING_RESTRICTION_SQE_OP, op);
  if (options_.fixed_files) {
    add(IORING_RESTRICTION_SQE_FLAGS_REQUIRED, IOSQE_FIXED_FILE);
    add(IORING_RESTRICTION_REGISTER_OP, IORING_REGISTER_FILES_UPDATE);
  }
  add(IORING_RESTRICTION_REGISTER_OP, IORING_UNREGISTER_RING_FDS);
  const int ret = io_uring_register_restrictions(&ring_->uring, restrictions.data(),
                                                 static_cast<unsigned>(restrictions.size()));
  if (ret < 0) return ErrnoStatus(-ret, "host: io_uring: cannot restrict the ring");
  return absl::OkStatus();
}

// --- Files ---------------------------------------------------------------------------------------

absl::StatusOr<LoopFile> UringEventLoop::AddFile(int fd) {
  DCHECK(OnLoopThread());
  if (running_) return absl::FailedPreconditionError("event loop: it runs; its files are fixed");
  if (files_ == options_.max_files) {
    return absl::ResourceExhaustedError(
        absl::StrCat("event loop: more than ", options_.max_files, " files"));
  }
  if (!options_.fixed_files) {
    UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copy.valid()) return ErrnoStatus(errno, "event loop: cannot duplicate a descriptor");
    ++files_;
    kept_files_.push_back(std::move(copy));
    return LoopFile(kept_files_.back().get());
  }
  const int ret = io_uring_register_files_update(&ring_->uring, files_, &fd, 1);
  if (ret < 0) return ErrnoStatus(-ret, "event loop: cannot register a file");
  return LoopFile(static_cast<int>(files_++));
}

absl::StatusOr<LoopFile> UringEventLoop::AddTemporaryFile(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return ErrnoStatus(errno, "event loop: cannot duplicate a descriptor");
  return TakeFile(std::move(copy));
}

absl::StatusOr<LoopFile> UringEventLoop::LendFile(int fd) {
  DCHECK(OnLoopThread());
  if (options_.fixed_files) {
    return absl::FailedPreconditionError("event loop: it takes no temporary files");
  }
  CHECK(lent_files_.insert(fd).second);
  return LoopFile(fd);
}

absl::StatusOr<LoopFile> UringEventLoop::TakeFile(UniqueFd fd) {
  DCHECK(OnLoopThread());
  if (options_.fixed_files) {
    return absl::FailedPreconditionError("event loop: it takes no temporary files");
  }
  const int own = fd.release();
  temporary_files_.insert(own);
  return LoopFile(own);
}

void UringEventLoop::RemoveFile(LoopFile file) {
  DCHECK(OnLoopThread());
  if (lent_files_.erase(file.index()) == 1) return;
  CHECK(temporary_files_.erase(file.index()) == 1);
  ::close(file.index());
}

// --- Starting operations -------------------------------------------------------------------------

void UringEventLoop::Start(Operation& op, Entry& entry, bool multishot) {
  DCHECK(OnLoopThread());
  CHECK(!op.pending());
  SetPending(op, true);
  Cancelled(op) = false;
  entry.sqe.user_data = UserData(op, multishot);
  Queue(entry);
}

void UringEventLoop::Queue(const Entry& entry) {
  // No entry may overtake a delayed one: a cancel must follow its operation.
  if (running_ && ring_->delayed.empty() && PutInRing(entry)) return;
  ring_->delayed.push_back(entry);
}

bool UringEventLoop::PutInRing(const Entry& entry) {
  io_uring* uring = &ring_->uring;
  io_uring_sqe* slot = io_uring_get_sqe(uring);
  if (slot == nullptr) {
    io_uring_submit(uring);  // runs no completion because of DEFER_TASKRUN
    slot = io_uring_get_sqe(uring);
    if (slot == nullptr) return false;
  }
  *slot = entry.sqe;
  if (options_.fixed_files) slot->flags |= IOSQE_FIXED_FILE;
  if (slot->opcode == IORING_OP_TIMEOUT) {
    __kernel_timespec& timeout = ring_->timeouts[static_cast<size_t>(slot - uring->sq.sqes)];
    timeout = entry.timeout;
    slot->addr = reinterpret_cast<uint64_t>(&timeout);
  }
  return true;
}

void UringEventLoop::Poll(Operation& op, LoopFile file, uint32_t events) {
  Entry entry;
  io_uring_prep_poll_add(&entry.sqe, file.index(), events);
  Start(op, entry);
}

void UringEventLoop::PollMultishot(Operation& op, LoopFile file, uint32_t events) {
  multishot_polls_.insert_or_assign(&op, MultishotPoll{file, events});
  Entry entry;
  io_uring_prep_poll_multishot(&entry.sqe, file.index(), events);
  Start(op, entry, true);
}

void UringEventLoop::ReadV(Operation& op, LoopFile file, std::span<const iovec> to,
                           uint64_t offset) {
  Entry entry;
  if (to.size() == 1) {  // saves the kernel the copy of the array
    io_uring_prep_read(&entry.sqe, file.index(), to[0].iov_base, ClampLength(to[0].iov_len),
                       offset);
  } else {
    io_uring_prep_readv(&entry.sqe, file.index(), to.data(), ClampLength(to.size()), offset);
  }
  Start(op, entry);
}

int32_t UringEventLoop::ReadCached(LoopFile file, std::span<const iovec> to, uint64_t offset) {
  if (options_.fixed_files) return -EAGAIN;
  ssize_t bytes;
  do {
    bytes = preadv2(file.index(), to.data(), static_cast<int>(ClampLength(to.size())),
                    static_cast<off_t>(offset), RWF_NOWAIT);
  } while (bytes < 0 && errno == EINTR);
  if (bytes >= 0) return static_cast<int32_t>(bytes);
  return errno == EOPNOTSUPP ? -EAGAIN : -errno;
}

void UringEventLoop::WriteV(Operation& op, LoopFile file, std::span<const iovec> from,
                            uint64_t offset) {
  Entry entry;
  if (from.size() == 1) {
    io_uring_prep_write(&entry.sqe, file.index(), from[0].iov_base, ClampLength(from[0].iov_len),
                        offset);
  } else {
    io_uring_prep_writev(&entry.sqe, file.index(), from.data(), ClampLength(from.size()), offset);
  }
  Start(op, entry);
}

void UringEventLoop::AppendV(Operation& op, LoopFile file, std::span<const iovec> from) {
  Entry entry;
  io_uring_prep_writev2(&entry.sqe, file.index(), from.data(), ClampLength(from.size()), 0,
                        RWF_APPEND);
  Start(op, entry);
}

void UringEventLoop::Fdatasync(Operation& op, LoopFile file) {
  Entry entry;
  io_uring_prep_fsync(&entry.sqe, file.index(), IORING_FSYNC_DATASYNC);
  Start(op, entry);
}

void UringEventLoop::Fsync(Operation& op, LoopFile file) {
  Entry entry;
  io_uring_prep_fsync(&entry.sqe, file.index(), 0);
  Start(op, entry);
}

void UringEventLoop::Fallocate(Operation& op, LoopFile file, int mode, uint64_t offset,
                               uint64_t length) {
  Entry entry;
  io_uring_prep_fallocate(&entry.sqe, file.index(), mode, static_cast<off_t>(offset),
                          static_cast<off_t>(length));
  Start(op, entry);
}

void UringEventLoop::Accept(Operation& op, LoopFile file) {
  Entry entry;
  io_uring_prep_accept(&entry.sqe, file.index(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  Start(op, entry);
}

void UringEventLoop::RecvMsg(Operation& op, LoopFile file, msghdr& message) {
  Entry entry;
  io_uring_prep_recvmsg(&entry.sqe, file.index(), &message, MSG_CMSG_CLOEXEC);
  Start(op, entry);
}

void UringEventLoop::SendMsg(Operation& op, LoopFile file, const msghdr& message) {
  Entry entry;
  io_uring_prep_sendmsg(&entry.sqe, file.index(), &message, MSG_NOSIGNAL);
  Start(op, entry);
}

void UringEventLoop::Timeout(Operation& op, std::chrono::nanoseconds delay) {
  const int64_t ns = std::max<int64_t>(delay.count(), 0);
  Entry entry;
  entry.timeout = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
  io_uring_prep_timeout(&entry.sqe, nullptr, 0, 0);
  Start(op, entry);
}

void UringEventLoop::Cancel(Operation& op) {
  DCHECK(OnLoopThread());
  if (!op.pending() || Cancelled(op)) return;
  Cancelled(op) = true;
  Entry entry;
  const uint64_t target = UserData(op, multishot_polls_.contains(&op));
  io_uring_prep_cancel64(&entry.sqe, target, 0);
  entry.sqe.user_data = kNobody;
  Queue(entry);
}

// --- Turns ---------------------------------------------------------------------------------------

void UringEventLoop::AtTurnEnd(TurnHook& hook) {
  DCHECK(OnLoopThread());
  if (Scheduled(hook)) return;
  Scheduled(hook) = true;
  Next(hook) = nullptr;
  if (hooks_tail_ != nullptr) {
    Next(*hooks_tail_) = &hook;
  } else {
    hooks_head_ = &hook;
  }
  hooks_tail_ = &hook;
}

void UringEventLoop::Post(Function function) {
  {
    MutexLock lock(mutex_);
    posted_.push_back(std::move(function));
  }
  // ORDERING: pairs with the exchange and the compare_exchange in Turn. Either the loop sees
  // kPosted before it sleeps, or this thread sees kAsleep and wakes the loop.
  if (state_.exchange(State::kPosted) == State::kAsleep) {
    const uint64_t one = 1;
    // The write cannot fail: the counter would have to overflow 2^64.
    [[maybe_unused]] const ssize_t written = write(wake_fd_.get(), &one, sizeof(one));
  }
}

void UringEventLoop::Run() {
  CHECK(loop_thread_.load() == nullptr);
  loop_thread_.store(ThisThread());
  Enable();
  while (!stopped_) Turn();
  io_uring_unregister_ring_fd(&ring_->uring);
}

void UringEventLoop::Stop() {
  Post([this] { stopped_ = true; });
}

void UringEventLoop::Enable() {
  // Best effort: saves each io_uring_enter the look-up of the ring's descriptor.
  io_uring_register_ring_fd(&ring_->uring);
  CHECK(io_uring_enable_rings(&ring_->uring) == 0);
  running_ = true;
}

void UringEventLoop::Turn() {
  std::vector<Entry>& delayed = ring_->delayed;
  size_t moved = 0;
  while (moved < delayed.size() && PutInRing(delayed[moved])) ++moved;
  delayed.erase(delayed.begin(), delayed.begin() + static_cast<ptrdiff_t>(moved));

  State expected = State::kAwake;
  const bool wait = hooks_head_ == nullptr && completed_head_ == nullptr && delayed.empty() &&
                    state_.compare_exchange_strong(expected, State::kAsleep);
  Enter(wait);
  State asleep = State::kAsleep;
  // otherwise the state is, or becomes, kPosted
  state_.compare_exchange_strong(asleep, State::kAwake);
  turn_budget().Renew();
  Drain();
  Dispatch();
  if (state_.load(std::memory_order_relaxed) == State::kPosted) {
    state_.store(State::kAwake);  // before the functions are taken: a later Post sets it again
    RunPosted();
  }
  RunHooks();
}

void UringEventLoop::Enter(bool wait) {
  io_uring* uring = &ring_->uring;
  const int ret = wait ? io_uring_submit_and_wait(uring, 1) : io_uring_submit_and_get_events(uring);
  if (ret >= 0 || ret == -EINTR) return;
  if (ret == -EAGAIN || ret == -EBUSY || ret == -ENOMEM) {
    // The kernel has no memory for requests, or too many completions wait. Both conditions end
    // while the loop keeps running. Without the pause, the loop would spin until then.
    LOG_EVERY_N_SEC(Warning, 10) << "event loop: the kernel is out of memory for requests: errno "
                                 << -ret;
    const timespec pause = {.tv_sec = 0, .tv_nsec = 1'000'000};
    nanosleep(&pause, nullptr);
    return;
  }
  // UNLIMITED: the process ends here, so the line is printed once.
  LOG(Error) << "event loop: io_uring_enter failed: errno " << -ret;
  CHECK(false);
}

void UringEventLoop::Drain() {
  unsigned head;
  unsigned count = 0;
  io_uring_cqe* cqe;
  io_uring_for_each_cqe(&ring_->uring, head, cqe) {
    DrainOne(*cqe);
    ++count;
  }
  io_uring_cq_advance(&ring_->uring, count);
}

void UringEventLoop::DrainOne(const io_uring_cqe& cqe) {
  if (cqe.user_data == kNobody) return;
  Operation& op = *reinterpret_cast<Operation*>(cqe.user_data & ~kMultishotBit);
  int32_t result = cqe.res;
  bool ended = true;
  if ((cqe.user_data & kMultishotBit) != 0) {
    ended = (cqe.flags & IORING_CQE_F_MORE) == 0;
    if (ended && result >= 0 && !Cancelled(op)) {
      // The kernel stopped repeating the poll (a full completion ring). Arm the poll again, unseen
      // by its owner.
      const MultishotPoll poll = multishot_polls_.at(&op);
      Entry entry;
      io_uring_prep_poll_multishot(&entry.sqe, poll.file.index(), poll.events);
      entry.sqe.user_data = cqe.user_data;
      Queue(entry);
      ended = false;
    } else if (ended) {
      multishot_polls_.erase(&op);
      if (result >= 0) result = -ECANCELED;
    }
  }
  // LINUX: a worker that executes a cancelled operation is interrupted by a signal.
  if (result == -EINTR && Cancelled(op)) result = -ECANCELED;

  if (Queued(op)) {  // a multishot poll that completed twice in one turn
    SetResult(op, ended ? result : Result(op) | result);
    Ended(op) = ended;
    return;
  }
  SetResult(op, result);
  Ended(op) = ended;
  Queued(op) = true;
  Next(op) = nullptr;
  if (completed_tail_ != nullptr) {
    Next(*completed_tail_) = &op;
  } else {
    completed_head_ = &op;
  }
  completed_tail_ = &op;
}

void UringEventLoop::Dispatch() {
  // Only Drain appends to the list, so no operation joins it meanwhile.
  while (completed_head_ != nullptr && !turn_budget().Spent()) {
    turn_budget().Spend(kStepsPerCompletion);
    Operation& op = *completed_head_;
    completed_head_ = Next(op);
    if (completed_head_ == nullptr) completed_tail_ = nullptr;
    Queued(op) = false;
    if (Ended(op)) {
      SetPending(op, false);
    } else if (Cancelled(op)) {
      continue;  // its last completion will follow, and must be the only one
    }
    op.OnComplete(Result(op));
  }
}

void UringEventLoop::RunPosted() {
  std::vector<Function> functions;
  {
    MutexLock lock(mutex_);
    functions.swap(posted_);
  }
  for (Function& function : functions) std::move(function)();
}

void UringEventLoop::RunHooks() {
  // Hooks that these hooks schedule run at the end of the next turn, which then does not sleep,
  // after the hooks that the budget leaves over. At least one hook runs, however much the
  // completions have cost.
  TurnHook* const last = hooks_tail_;
  bool more = last != nullptr;
  while (more) {
    TurnHook& current = *hooks_head_;
    more = &current != last;
    hooks_head_ = Next(current);
    if (hooks_head_ == nullptr) hooks_tail_ = nullptr;
    Scheduled(current) = false;
    current.OnTurnEnd();
    more = more && !turn_budget().Spent();
  }
}

bool UringEventLoop::OnLoopThread() const {
  const void* thread = loop_thread_.load(std::memory_order_relaxed);
  return thread == nullptr || thread == ThisThread();
}

std::chrono::nanoseconds UringEventLoop::Now() const {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace base
