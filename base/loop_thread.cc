#include "base/loop_thread.h"

#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"

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
  ASSIGN_OR_RETURN(thread_, StartThread(name_, [this] {
                     loop_->Run();
                     end_.set_value();
                   }));
  return absl::OkStatus();
}

void LoopThread::Stop() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

void LoopThread::RequestStop() {
  if (thread_.joinable()) loop_->Stop();
}

bool LoopThread::Join(std::chrono::nanoseconds patience) {
  if (!thread_.joinable()) return true;
  if (ended_.wait_for(patience) != std::future_status::ready) return false;
  thread_.join();
  return true;
}

}  // namespace base
