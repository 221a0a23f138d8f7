#include "virtio/transport/queue_runner.h"

#include <algorithm>
#include <utility>

namespace virtio {

void QueueRunner::Activate(uint64_t features, DriverNotifier& notifier,
                           std::vector<EnabledQueue> queues) {
  active_ = true;
  device_.Activate(features, notifier);
  for (EnabledQueue& queue : queues) StartQueue(std::move(queue));
}

void QueueRunner::StartQueue(EnabledQueue queue) {
  Phase& phase = phases_[queue.index];
  if (!active_ || phase != Phase::kStopped) return;
  phase = Phase::kStarted;
  device_.StartQueue(std::move(queue));
}

void QueueRunner::StopQueue(uint16_t index, Done done) {
  switch (phases_[index]) {
    case Phase::kStopped:
      done();
      return;
    case Phase::kStarted:
      phases_[index] = Phase::kStopping;
      stop_waiters_.emplace_back(index, std::move(done));
      device_.StopQueue(index, [this, index] { OnStopped(index); });
      return;
    case Phase::kStopping:
      stop_waiters_.emplace_back(index, std::move(done));
      return;
  }
}

void QueueRunner::OnStopped(uint16_t index) {
  phases_[index] = Phase::kStopped;
  // Remove the waiters first: they may give new orders.
  std::vector<Done> ready;
  for (auto& [waiting_for, done] : stop_waiters_) {
    if (waiting_for == index) ready.push_back(std::move(done));
  }
  std::erase_if(stop_waiters_, [index](const auto& waiter) { return waiter.first == index; });
  for (Done& done : ready) done();
  FinishShutdown();
}

void QueueRunner::Shutdown(Done done) {
  // Set shutdown_done_ last: queues that stop at once must not finish the shutdown early.
  for (uint16_t i = 0; i < phases_.size(); ++i) {
    if (phases_[i] == Phase::kStarted) StopQueue(i, [] {});
  }
  shutdown_done_ = std::move(done);
  FinishShutdown();
}

void QueueRunner::FinishShutdown() {
  const bool quiet = std::all_of(phases_.begin(), phases_.end(),
                                 [](Phase phase) { return phase == Phase::kStopped; });
  if (!shutdown_done_ || !quiet) return;
  if (std::exchange(active_, false)) device_.Deactivate();
  std::exchange(shutdown_done_, nullptr)();
}

}  // namespace virtio
