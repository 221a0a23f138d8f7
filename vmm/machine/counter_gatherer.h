// Asks each device for its counters on the loop of the device, without waiting for devices that
// hang.
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

// Runs on the control loop. Asks a device only one question at a time, however many gatherings wait
// for the answer. So the loop of a device that hangs never holds more than one question.
class CounterGatherer {
 public:
  using Done = absl::AnyInvocable<void(std::vector<DeviceCounters>)>;
  static constexpr std::chrono::seconds kPatience{1};
  // The name of an entry that lists each device that has not answered: the id of the device, and
  // the milliseconds since it was asked.
  static constexpr char kSilent[] = "_silent";

  // `devices` and `control_loop` outlive the gatherer. The loops of the devices outlive the
  // questions that wait in them.
  CounterGatherer(const DeviceSet& devices, base::EventLoop& control_loop);
  CounterGatherer(const CounterGatherer&) = delete;
  CounterGatherer& operator=(const CounterGatherer&) = delete;

  // Calls `done` once, when all devices have answered or after kPatience. The result is `more`,
  // then the counters of each device that has answered, in the order of the devices, then the entry
  // kSilent if a device has not answered.
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
    std::set<std::string> missing_;        // devices that have not answered yet
    Done done_;                            // null after the call
  };

  void Ask(virtio::Device& device);
  void OnAnswer(const DeviceCounters& answer);
  void Erase(const Gathering& gathering);

  const DeviceSet& devices_;
  base::EventLoop& control_loop_;
  // The devices that were asked and have not answered, with the time of the question.
  std::map<std::string, std::chrono::nanoseconds> asked_at_;
  std::list<Gathering> gatherings_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_COUNTER_GATHERER_H_
