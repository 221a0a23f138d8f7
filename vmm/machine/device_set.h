// The virtio devices of a VM, by id. The devices outlive guest resets.
#ifndef VMM_MACHINE_DEVICE_SET_H_
#define VMM_MACHINE_DEVICE_SET_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "net/rate_limiter.h"
#include "virtio/device.h"
#include "virtio/transport/device_doorbells.h"

namespace vmm {

class DeviceSet;

// The file of the host that stores what the guest writes to a device.
struct HostFile {
  std::string key;  // the config key: "disks[0].path"
  std::string path;
  int fd = -1;            // belongs to the device
  bool readonly = false;  // the device never writes to the file
  // The errno of an earlier fdatasync that failed, so that writes are lost; 0 if none failed.
  const std::atomic<int>* lost_writes_error = nullptr;
};

// What a kind of device does beyond the contract of virtio::Device. The default functions do
// nothing. All functions run on the control thread and never block.
class HostSide {
 public:
  // Receives the number of paths that a closure has gained. Any thread.
  using ClosureReport = absl::AnyInvocable<void(absl::StatusOr<size_t>)>;

  virtual ~HostSide() = default;
  // Returns the file to write through at the end of the VM, or null; always the same.
  virtual const HostFile* file() const { return nullptr; }
  // Checks what the host may have changed, and logs errors.
  virtual void Reread() {}
  virtual bool has_closure() const { return false; }
  // Reads the closure again and calls `report` once, on the loop of the device. While an earlier
  // read has not finished, reports Unavailable at once instead. Call only if has_closure().
  virtual void ReloadClosure(ClosureReport /*report*/) {}
  // Sets other rate limits. Error: InvalidArgument if the device has none of its own.
  virtual absl::Status SetRateLimits(const net::RateLimiter::Limits& /*limits*/) {
    return absl::InvalidArgumentError("has no rate limits");
  }
  // Plugs the cable of a network device in or out. Error: InvalidArgument if the device has none.
  virtual absl::Status SetLink(bool /*up*/) {
    return absl::InvalidArgumentError("is no network device");
  }
  // The limit of a group of disks has changed: tries requests again that wait.
  virtual void OnGroupLimitChanged() {}
  // Releases the locks on the host's files. Call after all threads have ended and the file is
  // written through.
  virtual void Unlock() {}
};

// A device and its place in the VM. A factory (vmm/machine/devices/) makes it, and DeviceSet::Add
// adds the doorbells.
struct PlacedDevice {
  std::unique_ptr<virtio::Device> device;
  uint32_t pci_slot = 0;
  uint64_t features_mask = ~uint64_t{0};  // applied by the transport
  std::unique_ptr<HostSide> host_side = std::make_unique<HostSide>();
  std::unique_ptr<virtio::DeviceDoorbells> doorbells = {};
};

// Returns `device` with the place that `config` gives it.
template <typename Config>
PlacedDevice Place(std::unique_ptr<virtio::Device> device, const Config& config,
                   std::unique_ptr<HostSide> host_side = std::make_unique<HostSide>()) {
  return {.device = std::move(device),
          .pci_slot = *config.pci_device_id,
          .features_mask = config.features_mask.value_or(~uint64_t{0}),
          .host_side = std::move(host_side)};
}

// What a factory may use besides the device's config. Memory and loops outlive the device.
struct DeviceContext {
  base::GuestMemory& memory;
  // Each call returns the next of the loops that serve this kind of device.
  absl::FunctionRef<base::EventLoop&()> next_loop;
  const DeviceSet& others;  // the devices made before this one
  size_t index = 0;         // position in the config's list of this kind, for messages: "disks[0]"
};

// Tracks which devices have not yet finished what they were asked to do. Functions run on the
// control loop unless they say otherwise.
class DevicesAtWork {
 public:
  DevicesAtWork() = default;  // tracks no device
  // Calls `done` on `control` when all of `ids` have finished, or soon if there are no ids.
  DevicesAtWork(base::EventLoop& control, std::set<std::string> ids,
                absl::AnyInvocable<void()> done);

  // Returns the function to call when the device `id` has finished: once, on any thread.
  absl::AnyInvocable<void()> Finisher(absl::string_view id) const;
  // Returns the ids of the devices that have not finished: "_disk0, _fs1".
  std::string Names() const;

 private:
  struct State;

  std::shared_ptr<State> state_;  // shared: a device may finish after this object is gone
};

// All functions run on the control thread. The loops of the devices outlive the set.
class DeviceSet {
 public:
  // Adds a device and makes its doorbells. The loops of the device must not run yet. Errors: the
  // factory's in `placed`, AlreadyExists for a second device with the same id, and those of the
  // doorbells.
  absl::Status Add(absl::StatusOr<PlacedDevice> placed);
  // Removes a device. Its queues must be stopped, and no transport may still show the device.
  // Destroys the device on its loop, after everything that was posted there before. Returns whether
  // the set had the device.
  bool Remove(absl::string_view id);
  // Returns the device `id`, or null. The pointer is valid until a device is added or removed.
  const PlacedDevice* Find(absl::string_view id) const;
  // Returns all devices, in the order in which they were added. Valid until a device is added or
  // removed.
  std::span<const PlacedDevice> all() const { return devices_; }
  std::set<std::string> ids() const;
  // Returns the ids of the devices on `loop`: "_disk0 _rng".
  std::string IdsOn(const base::EventLoop& loop) const;

  // Asks each device, on its loop, to pause or to resume (virtio/device.h).
  void Pause(const DevicesAtWork& busy) const;
  void Resume() const;

  // These call the function of the same name of each device's HostSide.
  void Reread() const;
  void ReloadClosures(
      absl::FunctionRef<HostSide::ClosureReport(absl::string_view id)> make_report) const;
  // Writes the files of all devices through, each on a thread of its own, and returns after
  // `patience` at the latest, so that the program can leave although a device still has I/O in
  // flight. Returns true if this call and all earlier flushes wrote every file through. Logs the
  // name of each other file.
  bool WriteThrough(std::chrono::milliseconds patience) const;
  void Unlock() const;
  // Returns a line for each device with those of its counters that are not 0: "_net0: rx_frames 12,
  // tx_frames 9". Call it after the threads of the devices have ended.
  std::string CountersText() const;

 private:
  std::vector<PlacedDevice> devices_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICE_SET_H_
