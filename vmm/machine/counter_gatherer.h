// Asks devices for their counters, each on its own loop, without waiting for one that hangs.
#ifndef VMM_MACHINE_COUNTER_GATHERER_H_
#define VMM_MACHINE_COUNTER_GATHERER_H_

#include <chrono>
#include <cstddef>
#include <list>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/event_loop.h"
#include "virtio/device.h"
#include "vmm/api/api_handler.h"

namespace vmm {

// Control loop. A device has one question at a time, however many wait for its answer: what waits
// in the loop of a device that hangs does not grow.
class CounterGatherer {
 public:
  using Done = absl::AnyInvocable<void(std::vector<DeviceCounters>)>;
  static constexpr std::chrono::seconds kPatience{1};
  // Stands for the devices that have not answered: each by its id, with the milliseconds since its
  // question.
  static constexpr char kSilent[] = "_silent";

  // Devices and loops outlive what is asked of them.
  CounterGatherer(std::vector<virtio::Device*> devices, base::EventLoop& control_loop);
  CounterGatherer(const CounterGatherer&) = delete;
  CounterGatherer& operator=(const CounterGatherer&) = delete;

  // Runs `done` once, when all devices have answered or after kPatience, with `more` followed by
  // the counters of each device that has answered, in the order of the devices, and kSilent if one
  // has not.
  void Gather(std::vector<DeviceCounters> more, Done done);

 private:
  struct Source {
    virtio::Device* device;
    bool asked = false;  // and has not answered
    std::chrono::nanoseconds asked_at{0};
  };
  class Gathering final : public base::Operation {
   public:
    Gathering(CounterGatherer& gatherer, std::vector<DeviceCounters> more, Done done);
    void Add(size_t source, const DeviceCounters& counters);
    bool WaitsFor(size_t source) const { return done_ != nullptr && missing_[source]; }

   private:
    void OnComplete(int32_t result) override;
    void Finish();

    CounterGatherer& gatherer_;
    std::vector<DeviceCounters> more_;
    std::vector<DeviceCounters> answers_;  // by source
    std::vector<bool> missing_;
    Done done_;  // null when it has run
  };

  void Ask(size_t source);
  void OnAnswer(size_t source, const DeviceCounters& counters);
  void Erase(const Gathering& gathering);

  base::EventLoop& control_loop_;
  std::vector<Source> sources_;
  std::list<Gathering> gatherings_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_COUNTER_GATHERER_H_
