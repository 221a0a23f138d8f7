// Asks devices for their counters, each on its own loop, without waiting for one that hangs.
#ifndef VMM_MACHINE_COUNTER_GATHERER_H_
#define VMM_MACHINE_COUNTER_GATHERER_H_

#include <chrono>
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/event_loop.h"
#include "virtio/device.h"
#include "vmm/api/api_handler.h"
#include "vmm/machine/device_set.h"

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

  // Both outlive the gatherer; loops of devices outlive what is asked there.
  CounterGatherer(const DeviceSet& devices, base::EventLoop& control_loop);
  CounterGatherer(const CounterGatherer&) = delete;
  CounterGatherer& operator=(const CounterGatherer&) = delete;

  // Runs `done` once, when all devices have answered or after kPatience, with `more` followed by
  // the counters of each device that has answered, in the order of the devices, and kSilent if one
  // has not.
  void Gather(std::vector<DeviceCounters> more, Done done);

 private:
  class Gathering final : public base::Operation {
   public:
    Gathering(CounterGatherer& gatherer, std::vector<DeviceCounters> more, Done done);
    void Add(const DeviceCounters& answer);

   private:
    void OnComplete(int32_t result) override;
    void Finish();

    CounterGatherer& gatherer_;
    std::vector<DeviceCounters> more_;
    std::vector<DeviceCounters> answers_;  // in the order of the devices
    std::set<std::string> missing_;        // devices whose entry in `answers_` is empty
    Done done_;                            // null when it has run
  };

  void Ask(virtio::Device& device);
  void OnAnswer(const DeviceCounters& answer);
  void Erase(const Gathering& gathering);

  const DeviceSet& devices_;
  base::EventLoop& control_loop_;
  // Devices that were asked and have not answered, and when they were asked.
  std::map<std::string, std::chrono::nanoseconds> asked_at_;
  std::list<Gathering> gatherings_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_COUNTER_GATHERER_H_
