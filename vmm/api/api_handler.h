// The commands of the control socket to the VM. vmm/machine implements them.
#ifndef VMM_API_API_HANDLER_H_
#define VMM_API_API_HANDLER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/config/vm_config.h"

namespace vmm {

struct VmInfo {
  std::string config_json;  // the VmConfig as one JSON object
  std::string state;        // Created, Running, Shutdown or Paused
  uint64_t memory_actual_size_bytes = 0;
};

struct DeviceCounters {
  std::string device;  // its id
  std::vector<std::pair<std::string, uint64_t>> counters;
};

// All functions are called on the control loop. Each calls its `done` there exactly once, at once
// or later, but not when the ApiServer is gone. Until then the client waits while other clients are
// served. A status that is not OK becomes the code of the answer: InvalidArgument 400, NotFound
// 404, AlreadyExists 409, ResourceExhausted 429, Unimplemented 501, everything else 500.
class ApiHandler {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  virtual ~ApiHandler() = default;
  virtual VmInfo Info() = 0;
  virtual void Counters(absl::AnyInvocable<void(std::vector<DeviceCounters>)> done) = 0;
  // Reads the closures of shares again and passes on how many paths each share has gained. If a
  // closure fails, passes the error on; the shares without an error have gained their paths
  // nevertheless.
  virtual void ReloadClosures(
      absl::AnyInvocable<void(absl::StatusOr<std::vector<DeviceCounters>>)> done) = 0;
  // Sets the rate limits of the device or the group of disks `change.id`.
  virtual void SetRateLimit(const RateLimitGroupConfig& change, Done done) = 0;
  virtual void SetLink(const LinkChange& change, Done done) = 0;
  virtual void Pause(Done done) = 0;
  virtual void Resume(Done done) = 0;
  virtual void PressPowerButton(Done done) = 0;
  virtual void Reboot(Done done) = 0;
  // Ends the process. The answer is sent from inside `done`, so call `done` before the loop stops.
  virtual void ShutdownVmm(Done done) = 0;
};

}  // namespace vmm

#endif  // VMM_API_API_HANDLER_H_
