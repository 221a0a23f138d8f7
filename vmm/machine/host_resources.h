// The resources of the host that a VM keeps across guest resets: RAM, payload files, event loops
// and consoles; and the devices that use them.
#ifndef VMM_MACHINE_HOST_RESOURCES_H_
#define VMM_MACHINE_HOST_RESOURCES_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "base/loop_thread.h"
#include "net/rate_limiter.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/consoles.h"
#include "vmm/machine/device_set.h"
#include "vmm/machine/devices/net.h"
#include "vmm/machine/guest_loader.h"

namespace vmm {

// Raises the limit of descriptors to the most that the process may have, and returns that number.
// Each queue takes two descriptors. The limit at the start of a process is low for the sake of
// select(), which this program does not use.
absl::StatusOr<uint64_t> RaiseDescriptorLimit();

class HostResources {
 public:
  // Opens and locks everything the config names, before any guest code runs. `guest_phys_bits`
  // returns the width of guest physical addresses; Open calls it as late as possible, since the
  // caller may have to wait for KVM. `on_escape` runs on an I/O loop when the user types Ctrl-a x.
  // `launchers` has one for each device with `passt`. Errors: one line with the key, the object and
  // the errno.
  static absl::StatusOr<std::unique_ptr<HostResources>> Open(
      const VmConfig& config, absl::FunctionRef<absl::StatusOr<uint32_t>()> guest_phys_bits,
      absl::AnyInvocable<void()> on_escape, PasstLaunchers launchers = {});
  // Finish must have stopped the I/O threads, unless they were never started.
  ~HostResources();

  // Starts the I/O threads. After this, only the loop of a device may touch the device.
  absl::Status Start();

  const GuestLayout& layout() const { return layout_; }
  base::GuestMemory& memory() { return *memory_; }
  const PayloadFiles& payload() const { return payload_; }
  // The credentials as SMBIOS strings. Secret: not to be logged or printed.
  const std::vector<std::string>& credentials() const { return credentials_; }
  Consoles& consoles() { return consoles_; }
  // The loop of both console back ends.
  base::EventLoop& console_loop() { return io_threads_[0]->loop(); }
  DeviceSet& devices() { return devices_; }

  // Sets the rate limits of the device or group `id` while the VM runs. Control thread. Errors:
  // NotFound, or InvalidArgument for a device that has no limits of its own.
  absl::Status SetRateLimits(const std::string& id, const RateLimiterConfig& config);
  // Plugs the cable of the network device `id` in or out. Control thread. Errors: NotFound, or
  // InvalidArgument for another kind of device.
  absl::Status SetLink(const std::string& id, bool up);

  // Stops the threads, then writes the disks through, so that even a forced end loses no write that
  // was acknowledged to the guest. Call after the guest has ended. A thread that still hangs in a
  // call of the host after `thread_patience` is logged and left behind. The process must end next,
  // by _exit if a thread was left behind, since that thread uses this object.
  struct Finished {
    bool synced = false;         // every disk is written through
    bool threads_ended = false;  // every thread has ended
  };
  Finished Finish(std::chrono::milliseconds sync_patience,
                  std::chrono::milliseconds thread_patience = std::chrono::seconds(5));

 private:
  HostResources() = default;
  absl::Status CreateLoops(const VmConfig& config);
  absl::Status CreateDevices(const VmConfig& config, absl::AnyInvocable<void()> on_escape,
                             PasstLaunchers& launchers);
  bool StopThreads(std::chrono::milliseconds patience);

  // In order of creation: a member uses the members above it.
  GuestLayout layout_;
  std::unique_ptr<base::GuestMemory> memory_;
  PayloadFiles payload_;
  std::vector<std::string> credentials_;
  std::vector<std::unique_ptr<base::LoopThread>> io_threads_;
  // Shares wait for the host's file systems on threads that serve nothing else.
  std::vector<std::unique_ptr<base::LoopThread>> share_threads_;
  Consoles consoles_;
  std::map<std::string, net::RateLimiter> rate_limit_groups_;  // by id
  DeviceSet devices_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_HOST_RESOURCES_H_
