#include "devices/character/output_pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limited_log.h"
#include "base/log.h"
#include "devices/character/retain_until_exit.h"

namespace devices {
namespace {

// The time between a write and the next small one. A serial port prints byte by byte, and a wake-up
// and a system call for each byte would cost more than the guest's exits. The first byte after a
// silence is written at once.
constexpr std::chrono::milliseconds kGatherTime{1};

// How much a pipe grows at the end: enough for the ring and the staged bytes, even if each write
// takes a page of its own.
constexpr int kLastPipeBytes = 2 * OutputRing::kCapacityBytes;

constexpr uint64_t kCurrentPosition = ~uint64_t{0};

}  // namespace

OutputPump::OutputPump(base::EventLoop& loop, std::string name)
    : loop_(loop), name_(std::move(name)) {}

OutputPump::~OutputPump() {
  // LIFETIME: the loop was stopped during a write, so the kernel may still read the bytes.
  if (write_.pending()) RetainUntilExit(std::move(staged_));
}

void OutputPump::Attach(const OutputSink& sink) {
  sink_ = sink;
  sink_bytes_ = 0;
  {
    base::MutexLock lock(mutex_);
    attached_ = true;
    pumping_ = true;
  }
  Pump();
}

void OutputPump::Detach() {
  sink_.reset();
  {
    base::MutexLock lock(mutex_);
    attached_ = false;
    pumping_ = true;  // true: nothing may be done before Attach
  }
  if (write_.pending()) loop_.Cancel(write_);
  if (poll_.pending()) loop_.Cancel(poll_);
  if (gather_.pending()) loop_.Cancel(gather_);
}

void OutputPump::FinishOutput(int fd) {
  if (!sink_.has_value() || idle()) return;
  // Both calls fail if `fd` is neither a pipe nor a socket, or if a limit of the host forbids it.
  // The reader then finds only what fitted before.
  const int pipe_bytes = fcntl(fd, F_GETPIPE_SZ);
  if (pipe_bytes > 0) fcntl(fd, F_SETPIPE_SZ, pipe_bytes + kLastPipeBytes);
  if (sink_->kind != OutputSink::Kind::kSocket) return;
  int bytes = 0;
  socklen_t size = sizeof(bytes);
  getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, size);  // LINUX: doubles the value that it is given
  // LINUX: a Unix socket does not count as writable before three quarters of its buffer are free,
  // so an operation that waits for that would not notice the new room. An operation that starts now
  // does.
  if (write_.pending()) loop_.Cancel(write_);
  if (poll_.pending()) loop_.Cancel(poll_);
}

void OutputPump::Write(std::span<const uint8_t> bytes) {
  {
    base::MutexLock lock(mutex_);
    written_bytes_ += bytes.size();
    ring_.Append(bytes);
    if (gone_) ring_.Clear();
    if (gone_ || std::exchange(pumping_, true)) return;
  }
  loop_.Post([this] { Pump(); });
}

bool OutputPump::drained() const {
  base::MutexLock lock(mutex_);
  return !attached_ || !pumping_;
}

uint64_t OutputPump::written_bytes() const {
  base::MutexLock lock(mutex_);
  return written_bytes_;
}

uint64_t OutputPump::dropped_bytes() const {
  base::MutexLock lock(mutex_);
  return ring_.dropped_bytes();
}

void OutputPump::Pump() {
  if (!sink_.has_value() || full_ || !idle() || !Stage()) return;
  if (sink_->blocking_limit_bytes != 0) {
    PollWritable();
  } else {
    StartWrite();
  }
}

// Stages bytes unless some are staged. Returns false if there is nothing to write, or no room.
bool OutputPump::Stage() {
  if (staged_begin_ < staged_end_) return true;
  bool full = false;
  {
    base::MutexLock lock(mutex_);
    staged_begin_ = 0;
    staged_end_ = 0;
    pumping_ = !ring_.empty();
    // Decides before taking bytes from the ring, because the mark for bytes that are lost now must
    // come first.
    full = pumping_ && sink_->limit_bytes != 0 && sink_->limit_bytes - sink_bytes_ < kStagedBytes;
    if (pumping_ && !full) staged_end_ = ring_.Take(*staged_);
  }
  if (full) SinkFull();
  return staged_end_ != 0;
}

void OutputPump::PollWritable() { loop_.Poll(poll_, sink_->file, POLLOUT); }

void OutputPump::StartWrite() {
  size_t bytes = staged_end_ - staged_begin_;
  if (sink_->blocking_limit_bytes != 0) bytes = std::min(bytes, sink_->blocking_limit_bytes);
  iov_ = {.iov_base = staged_->data() + staged_begin_, .iov_len = bytes};
  if (sink_->kind == OutputSink::Kind::kSocket) {
    message_ = {};
    message_.msg_iov = &iov_;
    message_.msg_iovlen = 1;
    loop_.SendMsg(write_, sink_->file, message_);
  } else {
    const bool regular = sink_->kind == OutputSink::Kind::kRegular;
    loop_.WriteV(write_, sink_->file, std::span(&iov_, 1), regular ? kCurrentPosition : 0);
  }
}

void OutputPump::OnWritable(int32_t result) {
  if (!sink_.has_value()) {
    if (idle() && on_idle_) on_idle_();
  } else if (result < 0 && result != -ECANCELED) {
    SinkGone(-result);
  } else {
    StartWrite();  // an error condition shows when writing
  }
}

void OutputPump::OnWritten(int32_t result) {
  if (result > 0) staged_begin_ += static_cast<size_t>(result);
  if (!sink_.has_value()) {
    if (idle() && on_idle_) on_idle_();
    return;
  }
  if (result == -EAGAIN) return PollWritable();
  if (result == -EINTR || result == -ECANCELED) return StartWrite();
  if (sink_->kind == OutputSink::Kind::kRegular) {
    if (result <= 0) {
      LOG_LIMITED(Error, 60, name_) << name_ << ": cannot write output, so it is dropped: "
                                    << std::strerror(result == 0 ? EIO : -result);
      DropStaged();
    } else {
      sink_bytes_ += static_cast<uint64_t>(result);
    }
  } else if (result <= 0) {
    return SinkGone(result == 0 ? EPIPE : -result);
  }
  if (staged_begin_ == staged_end_ && staged_end_ < kStagedBytes) {
    loop_.Timeout(gather_, kGatherTime);
  } else {
    Pump();
  }
}

void OutputPump::OnGathered() {
  if (sink_.has_value()) {
    Pump();
  } else if (idle() && on_idle_) {
    on_idle_();
  }
}

void OutputPump::DropStaged() {
  base::MutexLock lock(mutex_);
  ring_.CountDropped(staged_end_ - staged_begin_);
  staged_begin_ = staged_end_;
}

void OutputPump::SinkGone(int error) {
  if (on_gone_) return on_gone_();
  GiveUp(absl::StrCat("the reader of the output is gone: ", std::strerror(error)));
}

void OutputPump::SinkFull() {
  if (!on_full_) {
    return GiveUp(absl::StrCat("standard output is a file and has reached its max_size of ",
                               sink_->limit_bytes, " bytes"));
  }
  full_ = true;
  on_full_();
}

void OutputPump::Replace(const OutputSink& sink, uint64_t dropped_bytes) {
  full_ = false;
  {
    base::MutexLock lock(mutex_);
    ring_.CountDropped(dropped_bytes);
  }
  Attach(sink);
}

void OutputPump::GiveUp(const std::string& why) {
  // UNLIMITED: logged once, because there is no sink from now on.
  LOG(Warning) << name_ << ": all output is dropped from now on: " << why;
  full_ = false;
  sink_.reset();
  DropStaged();
  base::MutexLock lock(mutex_);
  ring_.Clear();
  gone_ = true;
  pumping_ = false;
}

}  // namespace devices
