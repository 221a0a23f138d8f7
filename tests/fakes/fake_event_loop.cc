#include "tests/fakes/fake_event_loop.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <span>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace base {
namespace {

using Kind = FakeEventLoop::Kind;

bool IsFileIo(Kind kind) {
  return kind == Kind::kRead || kind == Kind::kWrite || kind == Kind::kFdatasync ||
         kind == Kind::kFallocate || kind == Kind::kFsync;
}

uint64_t TotalBytes(std::span<const iovec> iovecs) {
  uint64_t total = 0;
  for (const iovec& iov : iovecs) total += iov.iov_len;
  return total;
}

// Returns the state whose change wakes a waiting poll, without consuming it: the counter of an
// eventfd, or the number of bytes to read of another file.
uint64_t Signals(int fd) {
  std::ifstream info(absl::StrCat("/proc/self/fdinfo/", fd));
  std::string line;
  while (std::getline(info, line)) {
    if (absl::StartsWith(line, "eventfd-count:")) return std::stoull(line.substr(14), nullptr, 16);
  }
  int bytes = 0;
  return ioctl(fd, FIONREAD, &bytes) == 0 ? static_cast<uint64_t>(bytes) : 0;
}

uint32_t Ready(int fd, uint32_t events) {
  pollfd poll_fd = {.fd = fd, .events = static_cast<short>(events), .revents = 0};
  return poll(&poll_fd, 1, 0) > 0 ? static_cast<uint16_t>(poll_fd.revents) : 0;
}

std::vector<iovec> Truncate(std::span<const iovec> iovecs, size_t limit) {
  std::vector<iovec> result;
  for (const iovec& iov : iovecs) {
    if (limit == 0) break;
    result.push_back({iov.iov_base, std::min(iov.iov_len, limit)});
    limit -= result.back().iov_len;
  }
  return result;
}

std::optional<int32_t> ResultOf(ssize_t ret) {
  if (ret >= 0) return static_cast<int32_t>(ret);
  if (errno == EAGAIN) return std::nullopt;
  return -errno;
}

}  // namespace

FakeEventLoop::FakeEventLoop(Options options)
    : options_(std::move(options)), random_(options_.seed) {}
FakeEventLoop::FakeEventLoop() : FakeEventLoop(Options()) {}
FakeEventLoop::~FakeEventLoop() = default;

// --- Files ---------------------------------------------------------------------------------------

absl::StatusOr<LoopFile> FakeEventLoop::AddFile(int fd) {
  absl::StatusOr<LoopFile> file = Duplicate(fd, /*temporary=*/false);
  if (file.ok()) ++files_added_;
  return file;
}

absl::StatusOr<LoopFile> FakeEventLoop::AddTemporaryFile(int fd) {
  return Duplicate(fd, /*temporary=*/true);
}

absl::StatusOr<LoopFile> FakeEventLoop::LendFile(int fd) {
  return Keep(fd, UniqueFd(), /*temporary=*/true);
}

absl::StatusOr<LoopFile> FakeEventLoop::Duplicate(int fd, bool temporary) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return ErrnoStatus(errno, "event loop: cannot register a file");
  const int number = copy.get();
  return Keep(number, std::move(copy), temporary);
}

absl::StatusOr<LoopFile> FakeEventLoop::Keep(int fd, UniqueFd own, bool temporary) {
  size_t index = 0;
  while (index < files_.size() && files_[index]) ++index;
  if (index >= options_.max_files) {
    return absl::ResourceExhaustedError(
        absl::StrCat("event loop: more than ", options_.max_files, " files"));
  }
  const bool seekable = lseek(fd, 0, SEEK_CUR) >= 0;
  if (index == files_.size()) files_.emplace_back();
  files_[index] = {.fd = fd, .own = std::move(own), .seekable = seekable, .temporary = temporary};
  return LoopFile(static_cast<int>(index));
}

void FakeEventLoop::RemoveFile(LoopFile file) {
  for (const Pending& pending : pending_) CHECK(pending.file != file.index());
  CHECK(files_.at(static_cast<size_t>(file.index())).value().temporary);
  files_[static_cast<size_t>(file.index())].reset();
}

void FakeEventLoop::Hold(LoopFile file) {
  files_.at(static_cast<size_t>(file.index())).value().held = true;
}

void FakeEventLoop::Release(LoopFile file) {
  files_.at(static_cast<size_t>(file.index())).value().held = false;
}

const FakeEventLoop::File& FakeEventLoop::FileOf(const Pending& pending) const {
  return files_.at(static_cast<size_t>(pending.file)).value();
}

// --- Starting operations -------------------------------------------------------------------------

void FakeEventLoop::Start(Operation& op, Pending pending) {
  CHECK(OnLoopThread());
  CHECK(!op.pending());
  if (pending.kind != Kind::kTimeout) {
    const auto index = static_cast<size_t>(pending.file);
    CHECK(pending.file >= 0 && index < files_.size() && files_[index].has_value());
  }
  SetPending(op, true);
  pending.op = &op;
  pending.number = next_number_++;
  events_.push_back({.what = Event::What::kStarted,
                     .kind = pending.kind,
                     .file = pending.file,
                     .offset = pending.offset,
                     .length_bytes = pending.length_bytes,
                     .operation = pending.number});
  pending_.push_back(pending);
}

void FakeEventLoop::Poll(Operation& op, LoopFile file, uint32_t events) {
  Start(op, {.op = &op, .kind = Kind::kPoll, .file = file.index(), .poll_events = events});
}

void FakeEventLoop::PollMultishot(Operation& op, LoopFile file, uint32_t events) {
  Start(op, {.op = &op, .kind = Kind::kPollMultishot, .file = file.index(), .poll_events = events});
}

void FakeEventLoop::ReadV(Operation& op, LoopFile file, std::span<const iovec> to,
                          uint64_t offset) {
  Start(op, {.op = &op,
             .kind = Kind::kRead,
             .file = file.index(),
             .iovecs = to,
             .offset = offset,
             .length_bytes = TotalBytes(to)});
}

int32_t FakeEventLoop::ReadCached(LoopFile file, std::span<const iovec> to, uint64_t offset) {
  CHECK(OnLoopThread());
  const Pending read = {.op = nullptr,
                        .kind = Kind::kRead,
                        .file = file.index(),
                        .iovecs = to,
                        .offset = offset,
                        .length_bytes = TotalBytes(to)};
  if (FileOf(read).held || !FileOf(read).seekable || !Chance(options_.cached_percent)) {
    return -EAGAIN;
  }
  ++cached_reads_;
  return *Transfer(read);
}

void FakeEventLoop::WriteV(Operation& op, LoopFile file, std::span<const iovec> from,
                           uint64_t offset) {
  Start(op, {.op = &op,
             .kind = Kind::kWrite,
             .file = file.index(),
             .iovecs = from,
             .offset = offset,
             .length_bytes = TotalBytes(from)});
}

void FakeEventLoop::AppendV(Operation& op, LoopFile file, std::span<const iovec> from) {
  Start(op, {.op = &op,
             .kind = Kind::kWrite,
             .file = file.index(),
             .iovecs = from,
             .length_bytes = TotalBytes(from),
             .mode = RWF_APPEND});
}

void FakeEventLoop::Fdatasync(Operation& op, LoopFile file) {
  Start(op, {.op = &op, .kind = Kind::kFdatasync, .file = file.index()});
}

void FakeEventLoop::Fsync(Operation& op, LoopFile file) {
  Start(op, {.op = &op, .kind = Kind::kFsync, .file = file.index()});
}

void FakeEventLoop::Fallocate(Operation& op, LoopFile file, int mode, uint64_t offset,
                              uint64_t length) {
  Start(op, {.op = &op,
             .kind = Kind::kFallocate,
             .file = file.index(),
             .offset = offset,
             .length_bytes = length,
             .mode = mode});
}

void FakeEventLoop::Accept(Operation& op, LoopFile file) {
  Start(op, {.op = &op, .kind = Kind::kAccept, .file = file.index()});
}

void FakeEventLoop::RecvMsg(Operation& op, LoopFile file, msghdr& message) {
  Start(op, {.op = &op, .kind = Kind::kRecvMsg, .file = file.index(), .receive = &message});
}

void FakeEventLoop::SendMsg(Operation& op, LoopFile file, const msghdr& message) {
  Start(op, {.op = &op, .kind = Kind::kSendMsg, .file = file.index(), .send = &message});
}

void FakeEventLoop::Timeout(Operation& op, std::chrono::nanoseconds delay) {
  Start(op, {.op = &op, .kind = Kind::kTimeout, .deadline = now_ + delay});
}

void FakeEventLoop::Cancel(Operation& op) {
  CHECK(OnLoopThread());
  for (Pending& pending : pending_) {
    if (pending.op == &op) pending.cancelled = true;
  }
}

void FakeEventLoop::AtTurnEnd(TurnHook& hook) {
  CHECK(OnLoopThread());
  if (std::exchange(Scheduled(hook), true)) return;
  hooks_.push_back(&hook);
}

void FakeEventLoop::Post(Function function) {
  MutexLock lock(mutex_);
  posted_.push_back(std::move(function));
}

bool FakeEventLoop::OnLoopThread() const { return std::this_thread::get_id() == thread_; }

// --- Turns ---------------------------------------------------------------------------------------

bool FakeEventLoop::RunTurn() {
  CHECK(OnLoopThread());
  turn_budget().Renew();
  std::vector<Completion> completions;
  std::vector<uint64_t> chosen;
  for (const size_t index : Candidates()) chosen.push_back(pending_[index].number);
  if (options_.seed != 0 && !chosen.empty()) {
    std::shuffle(chosen.begin(), chosen.end(), random_);
  }
  // With a seed, only a random part of the operations that can complete does so. The others wait
  // for later turns.
  const size_t most =
      options_.seed == 0 ? chosen.size() : 1 + random_() % std::max<size_t>(chosen.size(), 1);
  for (const uint64_t number : chosen) {
    if (completions.size() >= most) break;
    const auto it = std::find_if(pending_.begin(), pending_.end(),
                                 [&](const Pending& p) { return p.number == number; });
    const std::optional<int32_t> result = TryExecute(*it);
    if (!result) continue;
    completions.push_back({*it, *result});
    const bool goes_on = it->kind == Kind::kPollMultishot && *result >= 0;
    if (!goes_on) pending_.erase(it);
  }
  for (const Completion& completion : completions) {
    const Pending& what = completion.what;
    events_.push_back({.what = Event::What::kCompleted,
                       .kind = what.kind,
                       .file = what.file,
                       .offset = what.offset,
                       .length_bytes = what.length_bytes,
                       .result = completion.result,
                       .operation = what.number});
    if (what.kind == Kind::kPollMultishot && completion.result >= 0) {
      const auto it = std::find_if(pending_.begin(), pending_.end(),
                                   [&](const Pending& p) { return p.number == what.number; });
      if (it == pending_.end() || it->cancelled) continue;
    } else {
      SetPending(*what.op, false);
    }
    what.op->OnComplete(completion.result);
  }
  const bool ran_posted = RunPosted();
  const bool ran_hooks = RunHooks();
  return !completions.empty() || ran_posted || ran_hooks;
}

void FakeEventLoop::RunUntilIdle() {
  int turns = 0;
  while (RunTurn()) CHECK(++turns < 1'000'000);
}

void FakeEventLoop::AdvanceTime(std::chrono::nanoseconds by) {
  const std::chrono::nanoseconds end = now_ + by;
  RunUntilIdle();
  while (true) {
    std::chrono::nanoseconds next = end;
    for (const Pending& pending : pending_) {
      if (pending.kind == Kind::kTimeout) next = std::min(next, pending.deadline);
    }
    now_ = std::max(now_, next);
    RunUntilIdle();
    if (next == end) return;
  }
}

bool FakeEventLoop::RunPosted() {
  std::vector<Function> functions;
  {
    MutexLock lock(mutex_);
    functions.swap(posted_);
  }
  for (Function& function : functions) std::move(function)();
  return !functions.empty();
}

bool FakeEventLoop::RunHooks() {
  const size_t count = hooks_.size();
  for (size_t i = 0; i < count && (i == 0 || !turn_budget().Spent()); ++i) {
    TurnHook& hook = *hooks_.front();
    hooks_.pop_front();
    Scheduled(hook) = false;
    hook.OnTurnEnd();
  }
  return count > 0;
}

// --- Executing -----------------------------------------------------------------------------------

std::vector<size_t> FakeEventLoop::Candidates() {
  std::vector<size_t> result;
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (pending_[i].kind == Kind::kTimeout || !FileOf(pending_[i]).held) result.push_back(i);
  }
  return result;
}

std::optional<int32_t> FakeEventLoop::TryExecute(Pending& pending) {
  if (pending.cancelled) {
    const bool own_result = options_.seed != 0 && IsFileIo(pending.kind) && Chance(50);
    if (!own_result) return -ECANCELED;
  }
  if (const auto error = InjectedError(pending)) return error;
  return Execute(pending);
}

std::optional<int32_t> FakeEventLoop::InjectedError(const Pending& pending) {
  const auto it = std::find_if(failures_.begin(), failures_.end(),
                               [&](const auto& failure) { return failure.first == pending.kind; });
  if (it != failures_.end()) {
    const int error = it->second;
    failures_.erase(it);
    return -error;
  }
  if (IsFileIo(pending.kind) && !options_.errors.empty() && Chance(options_.error_percent)) {
    return -options_.errors[random_() % options_.errors.size()];
  }
  return std::nullopt;
}

std::optional<int32_t> FakeEventLoop::Execute(Pending& pending) {
  if (pending.kind == Kind::kTimeout) {
    return now_ >= pending.deadline ? std::optional<int32_t>(-ETIME) : std::nullopt;
  }
  const int fd = FileOf(pending).fd;
  switch (pending.kind) {
    case Kind::kPoll:
    case Kind::kPollMultishot:
      return ExecutePoll(pending);
    case Kind::kRead:
    case Kind::kWrite:
      return Transfer(pending);
    case Kind::kFdatasync:
      return ResultOf(fdatasync(fd));
    case Kind::kFsync:
      return ResultOf(fsync(fd));
    case Kind::kFallocate:
      return ResultOf(fallocate(fd, pending.mode, static_cast<off_t>(pending.offset),
                                static_cast<off_t>(pending.length_bytes)));
    case Kind::kAccept:
      if (Ready(fd, POLLIN) == 0) return std::nullopt;
      return ResultOf(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    case Kind::kRecvMsg:
      return ResultOf(recvmsg(fd, pending.receive, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
    case Kind::kSendMsg:
      return ResultOf(sendmsg(fd, pending.send, MSG_DONTWAIT | MSG_NOSIGNAL));
    case Kind::kTimeout:
      break;
  }
  return std::nullopt;
}

std::optional<int32_t> FakeEventLoop::ExecutePoll(Pending& pending) const {
  const int fd = FileOf(pending).fd;
  const uint32_t ready = Ready(fd, pending.poll_events);
  if (pending.kind == Kind::kPollMultishot) {
    const uint64_t signals = Signals(fd);
    const bool signalled = signals != std::exchange(pending.seen_signals, signals);
    const bool newly_ready = (ready & ~std::exchange(pending.seen_ready, ready)) != 0;
    if (!signalled && !newly_ready) return std::nullopt;
  }
  return ready != 0 ? std::optional<int32_t>(static_cast<int32_t>(ready)) : std::nullopt;
}

size_t FakeEventLoop::TransferLimit(const Pending& pending) {
  const auto it = std::find_if(shortened_.begin(), shortened_.end(), [&](const auto& shortened) {
    return shortened.first == pending.kind;
  });
  if (it != shortened_.end()) {
    const size_t limit = it->second;
    shortened_.erase(it);
    return limit;
  }
  const size_t units = pending.length_bytes / options_.short_transfer_unit_bytes;
  if (units < 2 || !Chance(options_.short_transfer_percent)) return pending.length_bytes;
  return (1 + random_() % (units - 1)) * options_.short_transfer_unit_bytes;
}

std::optional<int32_t> FakeEventLoop::Transfer(const Pending& pending) {
  const File& file = FileOf(pending);
  const int fd = file.fd;
  const bool read = pending.kind == Kind::kRead;
  size_t limit = pending.length_bytes;
  if (!file.seekable) {
    // A blocking descriptor waits as in io_uring. A write transfers only what POLLOUT says will
    // fit.
    const bool non_blocking = (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
    if (Ready(fd, read ? POLLIN : POLLOUT) == 0) {
      return non_blocking ? std::optional<int32_t>(-EAGAIN) : std::nullopt;
    }
    if (!read && !non_blocking) limit = std::min<size_t>(limit, 4096);
  }
  limit = std::min(limit, TransferLimit(pending));
  const std::vector<iovec> iovecs = Truncate(pending.iovecs, limit);
  const auto count = static_cast<int>(iovecs.size());
  const auto offset = static_cast<off_t>(pending.offset);
  ssize_t ret;
  if (file.seekable) {
    ret = read ? preadv(fd, iovecs.data(), count, offset)
               : pwritev2(fd, iovecs.data(), count, offset, pending.mode);
  } else {
    ret = read ? readv(fd, iovecs.data(), count) : writev(fd, iovecs.data(), count);
  }
  return ret >= 0 ? static_cast<int32_t>(ret) : -errno;
}

bool FakeEventLoop::Chance(int percent) {
  return percent > 0 && static_cast<int>(random_() % 100) < percent;
}

void FakeEventLoop::FailNext(Kind kind, int error, int count) {
  for (int i = 0; i < count; ++i) failures_.emplace_back(kind, error);
}

void FakeEventLoop::ShortenNext(Kind kind, size_t bytes) { shortened_.emplace_back(kind, bytes); }

size_t FakeEventLoop::in_flight(Kind kind) const {
  return static_cast<size_t>(std::count_if(pending_.begin(), pending_.end(),
                                           [kind](const Pending& p) { return p.kind == kind; }));
}

// --- Flushes -------------------------------------------------------------------------------------

void FakeEventLoop::NoteFlushSubmitted(uint64_t flush) {
  events_.push_back({.what = Event::What::kFlushSubmitted, .flush = flush});
}

void FakeEventLoop::NoteFlushAcknowledged(uint64_t flush) {
  events_.push_back({.what = Event::What::kFlushAcknowledged, .flush = flush});
}

std::string FakeEventLoop::CheckFlushes() const {
  // The maps hold positions in events_. A write counts from its completion. An fdatasync covers the
  // writes that had completed before it was started, because the kernel promises no more.
  std::map<uint64_t, size_t> started;  // the key is an operation
  // the key is a file, the value the completion of its last write
  std::map<int, size_t> last_write;
  // the key is a file, the value the start of its last good fdatasync
  std::map<int, size_t> covered;
  // the key is a flush, the value last_write when it was submitted
  std::map<uint64_t, std::map<int, size_t>> needed;
  for (size_t i = 0; i < events_.size(); ++i) {
    const Event& event = events_[i];
    switch (event.what) {
      case Event::What::kStarted:
        started[event.operation] = i;
        break;
      case Event::What::kCompleted:
        if ((event.kind == Kind::kWrite && event.result > 0) ||
            (event.kind == Kind::kFallocate && event.result == 0)) {
          last_write[event.file] = i;
        }
        if (event.kind == Kind::kFdatasync && event.result == 0) {
          size_t& start = covered[event.file];
          start = std::max(start, started[event.operation]);
        }
        break;
      case Event::What::kFlushSubmitted:
        needed[event.flush] = last_write;
        break;
      case Event::What::kFlushAcknowledged:
        for (const auto& [file, write] : needed[event.flush]) {
          if (covered[file] < write) {
            return absl::StrCat("flush ", event.flush, " was acknowledged at event ", i,
                                ", but no fdatasync of file ", file, " covers the write of event ",
                                write);
          }
        }
        break;
    }
  }
  return "";
}

}  // namespace base
