#include "vmm/machine/counter_gatherer.h"

#include <algorithm>
#include <utility>

namespace vmm {

CounterGatherer::CounterGatherer(std::vector<virtio::Device*> devices,
                                 base::EventLoop& control_loop)
    : control_loop_(control_loop) {
  for (virtio::Device* device : devices) sources_.push_back({.device = device});
}

void CounterGatherer::Gather(std::vector<DeviceCounters> more, Done done) {
  if (sources_.empty()) return done(std::move(more));
  gatherings_.emplace_back(*this, std::move(more), std::move(done));
  for (size_t i = 0; i < sources_.size(); ++i) Ask(i);
}

void CounterGatherer::Ask(size_t source) {
  Source& asked = sources_[source];
  if (asked.asked) return;  // the answer that is awaited is new enough: it is made later than now
  asked.asked = true;
  asked.asked_at = control_loop_.Now();
  virtio::Device& device = *asked.device;
  device.loop().Post([this, source, &device] {
    const virtio::Counters counters = device.counters();
    control_loop_.Post(
        [this, source,
         answer = DeviceCounters{std::string(device.id()), {counters.begin(), counters.end()}}] {
          OnAnswer(source, answer);
        });
  });
}

void CounterGatherer::OnAnswer(size_t source, const DeviceCounters& counters) {
  sources_[source].asked = false;
  for (Gathering& gathering : gatherings_) {
    if (gathering.WaitsFor(source)) gathering.Add(source, counters);
  }
}

void CounterGatherer::Erase(const Gathering& gathering) {
  gatherings_.remove_if([&gathering](const Gathering& g) { return &g == &gathering; });
}

CounterGatherer::Gathering::Gathering(CounterGatherer& gatherer, std::vector<DeviceCounters> more,
                                      Done done)
    : gatherer_(gatherer),
      more_(std::move(more)),
      answers_(gatherer.sources_.size()),
      missing_(gatherer.sources_.size(), true),
      done_(std::move(done)) {
  gatherer_.control_loop_.Timeout(*this, kPatience);
}

void CounterGatherer::Gathering::Add(size_t source, const DeviceCounters& counters) {
  answers_[source] = counters;
  missing_[source] = false;
  if (std::ranges::find(missing_, true) != missing_.end()) return;
  gatherer_.control_loop_.Cancel(*this);
  Finish();
}

void CounterGatherer::Gathering::OnComplete(int32_t /*result*/) {
  if (done_ != nullptr) Finish();
  gatherer_.Erase(*this);  // last: *this is gone
}

void CounterGatherer::Gathering::Finish() {
  DeviceCounters silent{kSilent, {}};
  const std::chrono::nanoseconds now = gatherer_.control_loop_.Now();
  for (size_t i = 0; i < answers_.size(); ++i) {
    if (!missing_[i]) {
      more_.push_back(std::move(answers_[i]));
      continue;
    }
    const Source& source = gatherer_.sources_[i];
    const auto waited =
        std::chrono::duration_cast<std::chrono::milliseconds>(now - source.asked_at);
    silent.counters.emplace_back(source.device->id(), static_cast<uint64_t>(waited.count()));
  }
  if (!silent.counters.empty()) more_.push_back(std::move(silent));
  std::exchange(done_, nullptr)(std::move(more_));
}

}  // namespace vmm
