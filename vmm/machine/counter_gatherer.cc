#include "vmm/machine/counter_gatherer.h"

#include <algorithm>
#include <utility>

namespace vmm {

CounterGatherer::CounterGatherer(const DeviceSet& devices, base::EventLoop& control_loop)
    : devices_(devices), control_loop_(control_loop) {}

void CounterGatherer::Gather(std::vector<DeviceCounters> more, Done done) {
  if (devices_.all().empty()) return done(std::move(more));
  gatherings_.emplace_back(*this, std::move(more), std::move(done));
  for (const PlacedDevice& placed : devices_.all()) Ask(*placed.device);
}

void CounterGatherer::Ask(virtio::Device& device) {
  // If the device still has a question, the answer to that question is new enough for this request,
  // since the device has yet to make it.
  if (!asked_at_.emplace(device.id(), control_loop_.Now()).second) return;
  device.loop().Post([this, &device] {
    const virtio::Counters counters = device.counters();
    control_loop_.Post(
        [this, answer = DeviceCounters{std::string(device.id()),
                                       {counters.begin(), counters.end()}}] { OnAnswer(answer); });
  });
}

void CounterGatherer::OnAnswer(const DeviceCounters& answer) {
  asked_at_.erase(answer.device);
  for (Gathering& gathering : gatherings_) gathering.Add(answer);
}

void CounterGatherer::Erase(const Gathering& gathering) {
  gatherings_.remove_if([&gathering](const Gathering& g) { return &g == &gathering; });
}

CounterGatherer::Gathering::Gathering(CounterGatherer& gatherer, std::vector<DeviceCounters> more,
                                      Done done)
    : gatherer_(gatherer),
      more_(std::move(more)),
      missing_(gatherer.devices_.ids()),
      done_(std::move(done)) {
  for (const PlacedDevice& placed : gatherer.devices_.all()) {
    answers_.push_back({std::string(placed.device->id()), {}});
  }
  gatherer_.control_loop_.Timeout(*this, kPatience);
}

void CounterGatherer::Gathering::Add(const DeviceCounters& answer) {
  if (done_ == nullptr || missing_.erase(answer.device) == 0) return;
  std::ranges::find(answers_, answer.device, &DeviceCounters::device)->counters = answer.counters;
  if (!missing_.empty()) return;
  gatherer_.control_loop_.Cancel(*this);
  Finish();
}

void CounterGatherer::Gathering::OnComplete(int32_t /*result*/) {
  if (done_ != nullptr) Finish();
  gatherer_.Erase(*this);  // last, since it destroys *this
}

void CounterGatherer::Gathering::Finish() {
  DeviceCounters silent{kSilent, {}};
  const std::chrono::nanoseconds now = gatherer_.control_loop_.Now();
  for (DeviceCounters& answer : answers_) {
    if (!missing_.contains(answer.device)) {
      more_.push_back(std::move(answer));
      continue;
    }
    const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(
        now - gatherer_.asked_at_.at(answer.device));
    silent.counters.emplace_back(answer.device, static_cast<uint64_t>(waited.count()));
  }
  if (!silent.counters.empty()) more_.push_back(std::move(silent));
  std::exchange(done_, nullptr)(std::move(more_));
}

}  // namespace vmm
