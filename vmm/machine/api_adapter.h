// Answers requests of the control socket by asking the controller and the devices.
#ifndef VMM_MACHINE_API_ADAPTER_H_
#define VMM_MACHINE_API_ADAPTER_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "vmm/api/api_handler.h"
#include "vmm/machine/controller.h"
#include "vmm/machine/counter_gatherer.h"
#include "vmm/machine/host_resources.h"

namespace vmm {

// All functions run on the control loop.
class ApiAdapter final : public ApiHandler {
 public:
  ApiAdapter(Controller& controller, HostResources& host, base::EventLoop& control_loop);

  VmInfo Info() override;
  // Lists the counters of each virtio device under the id of the device, and the exits of the vCPUs
  // to user space, by reason and place, under "_vcpus". Also names the devices that do not answer
  // (CounterGatherer).
  void Counters(absl::AnyInvocable<void(std::vector<DeviceCounters>)> done) override;
  void ReloadClosures(
      absl::AnyInvocable<void(absl::StatusOr<std::vector<DeviceCounters>>)> done) override;
  void SetRateLimit(const RateLimitGroupConfig& change, Done done) override;
  void SetLink(const LinkChange& change, Done done) override {
    done(host_.SetLink(change.id, change.up));
  }
  void Pause(Done done) override { controller_.Pause(std::move(done)); }
  void Resume(Done done) override { controller_.Resume(std::move(done)); }
  void PressPowerButton(Done done) override;
  void Reboot(Done done) override { controller_.Reboot(std::move(done)); }
  void ShutdownVmm(Done done) override;

 private:
  Controller& controller_;
  HostResources& host_;
  base::EventLoop& control_loop_;
  CounterGatherer counters_;
  std::map<std::string, RateLimiterConfig> rate_limits_;  // that were set, by id
};

}  // namespace vmm

#endif  // VMM_MACHINE_API_ADAPTER_H_
