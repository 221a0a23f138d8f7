#include "virtio/queue/queued_device.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/gather.h"
#include "base/log.h"

namespace virtio {

QueuedDevice::QueuedDevice(Identity identity, base::EventLoop& loop)
    : identity_(std::move(identity)), loop_(loop) {}

void QueuedDevice::AddQueue(ServedQueue& queue, uint16_t max_size) {
  CHECK(std::has_single_bit(max_size) && max_size <= kMaxQueueSize);
  CHECK(queue.index() == queues_.size());
  queues_.push_back(&queue);
  queue_sizes_.push_back(max_size);
}

void QueuedDevice::ReplaceQueue(ServedQueue& queue) {
  CHECK(queue.index() < queues_.size());
  ServedQueue*& place = queues_[queue.index()];
  CHECK(&place->loop() == &queue.loop() && !place->started());
  place = &queue;
}

ServedQueue& QueuedDevice::queue(uint16_t index) const {
  CHECK(index < queues_.size());
  return *queues_[index];
}

bool QueuedDevice::IsServing() const {
  return std::ranges::any_of(queues_, [](const ServedQueue* queue) { return queue->started(); });
}

void QueuedDevice::RunOn(ServedQueue& queue, Done function) {
  if (&queue.loop() == &loop_) return function();
  queue.loop().Post(std::move(function));
}

Device::Done QueuedDevice::ToLoop(const ServedQueue& queue, Done done) {
  if (&queue.loop() == &loop_) return done;
  return [this, done = std::move(done)]() mutable { loop_.Post(std::move(done)); };
}

void QueuedDevice::ReadConfig(uint32_t offset, std::span<uint8_t> to) {
  const std::span<const uint8_t> bytes = config_bytes();
  for (size_t i = 0; i < to.size(); ++i) {
    const uint64_t at = uint64_t{offset} + i;
    to[i] = at < bytes.size() ? bytes[at] : uint8_t{0};
  }
}

void QueuedDevice::Activate(uint64_t features, DriverNotifier& notifier) {
  CHECK(notifier_ == nullptr);
  notifier_ = &notifier;
  OnActivated(features);
}

void QueuedDevice::StartQueue(EnabledQueue enabled) {
  CHECK(notifier_ != nullptr);
  ServedQueue& target = queue(enabled.index);
  RunOn(target, [&target, enabled = std::move(enabled), notifier = notifier_]() mutable {
    target.StartServing(std::move(enabled), *notifier);
  });
  OnQueueStarted();
}

void QueuedDevice::StopQueue(uint16_t index, Done done) {
  ServedQueue& target = queue(index);
  Done stopped = [this, done = std::move(done)]() mutable { OnQueueStopped(std::move(done)); };
  RunOn(target, [&target, stopped = ToLoop(target, std::move(stopped))]() mutable {
    target.Stop(std::move(stopped));
  });
}

void QueuedDevice::Deactivate() {
  OnDeactivated();
  notifier_ = nullptr;
}

void QueuedDevice::Pause(Done done) {
  // A queue on another loop may answer after Resume; then `done` must not run.
  base::Gather all([this, done = std::move(done), resumes = resumes_]() mutable {
    if (resumes == resumes_) done();
  });
  for (ServedQueue* target : queues_) {
    RunOn(*target, [target, quiet = ToLoop(*target, all.Add())]() mutable {
      target->Pause(std::move(quiet));
    });
  }
}

void QueuedDevice::Resume() {
  ++resumes_;
  for (ServedQueue* target : queues_) RunOn(*target, [target] { target->Resume(); });
}

Counters QueuedDevice::counters() const {
  Counters all;
  AddCounters(all);
  for (const ServedQueue* target : queues_) {
    all["kicks"] += target->queue_counters().kicks.value();
    all["chains"] += target->queue_counters().chains.value();
    all["interrupts"] += target->queue_counters().interrupts.value();
  }
  return all;
}

}  // namespace virtio
