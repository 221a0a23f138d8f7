#include "base/loop_thread.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/status.h"

namespace base {

absl::StatusOr<std::unique_ptr<LoopThread>> LoopThread::Create(
    std::string name, const UringEventLoop::Options& options) {
  ASSIGN_OR_RETURN(auto loop, UringEventLoop::Create(options));
  return std::unique_ptr<LoopThread>(new LoopThread(std::move(name), std::move(loop)));
}

LoopThread::LoopThread(std::string name, std::unique_ptr<UringEventLoop> loop)
    : name_(std::move(name)), loop_(std::move(loop)) {
  CHECK(name_.size() <= 15);
}

LoopThread::~LoopThread() { Stop(); }

absl::Status LoopThread::Start() {
  CHECK(!thread_.joinable());
  // Signals are the main thread's business; the new thread inherits this mask from its first
  // instruction on.
  sigset_t all;
  sigset_t previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  absl::Status status;
  try {
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), name_.c_str());
      loop_->Run();
    });
  } catch (const std::system_error& error) {
    status = ErrnoStatus(error.code().value(), "host: cannot start a thread");
  }
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  return status;
}

void LoopThread::Stop() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

}  // namespace base
