// The virtio devices of a VM, by id. They outlive guest resets.
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
#include "virtio/device.h"
#include "virtio/transport/device_doorbells.h"

namespace vmm {

class DeviceSet;

// The file of the host that holds what a device's guest has written.
struct HostFile {
  std::string key;  // of the config: "disks[0].path"
  std::string path;
  int fd = -1;            // the device's
  bool readonly = false;  // nothing is written to it
  // The errno of an fdatasync that failed earlier, or 0: writes are lost.
  const std::atomic<int>* lost_writes_error = nullptr;
};

// What a kind of device does beyond the contract of virtio::Device. Every function has a default,
// for a kind that has nothing to do. Control thread; never blocks.
class HostSide {
 public:
  // Gets the number of paths that a closure has gained. Any thread.
  using ClosureReport = absl::AnyInvocable<void(absl::StatusOr<size_t>)>;

  virtual ~HostSide() = default;
  // The file to write through at the end of the VM, or null. Constant.
  virtual const HostFile* file() const { return nullptr; }
  // Looks again at what the host may have changed. Errors are logged.
  virtual void Reread() {}
  virtual bool has_closure() const { return false; }
  // Reads the closure again and calls `report` once, on the device's loop. If the last answer is
  // still missing: Unavailable, at once. Only if has_closure().
  virtual void ReloadClosure(ClosureReport /*report*/) {}
  // All threads have ended and the file is written through: gives up the locks on the host's files.
  virtual void Unlock() {}
};

// A device and its place in the VM. What a factory (vmm/machine/devices/) returns; the set adds the
// doorbells.
struct PlacedDevice {
  std::unique_ptr<virtio::Device> device;
  uint32_t pci_slot = 0;
  uint64_t features_mask = ~uint64_t{0};  // applied by the transport
  std::unique_ptr<HostSide> host_side = std::make_unique<HostSide>();
  std::unique_ptr<virtio::DeviceDoorbells> doorbells = {};
};

// Puts `device` where its config says.
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
  // Deals out the loops of the threads that serve this kind of device, one at each call.
  absl::FunctionRef<base::EventLoop&()> next_loop;
  const DeviceSet& others;  // made before this one
  size_t index = 0;         // in the config's list of this kind, for messages: "disks[0]"
};

// Which devices have not finished what they were asked to do. Control loop, if not said otherwise.
class DevicesAtWork {
 public:
  DevicesAtWork() = default;  // none
  // `done` runs on `control` when all of `ids` have finished; soon, if there are none.
  DevicesAtWork(base::EventLoop& control, std::set<std::string> ids,
                absl::AnyInvocable<void()> done);

  // Returns the function to call, once and on any thread, when `id` has finished.
  absl::AnyInvocable<void()> Finisher(absl::string_view id) const;
  // Returns "_disk0, _fs1".
  std::string Names() const;

 private:
  struct State;

  std::shared_ptr<State> state_;  // a device may answer when nobody waits for it any more
};

// Control thread. The set outlives no loop of a device.
class DeviceSet {
 public:
  // Adds a device with its doorbells, before its loops run; passes on the error of its factory.
  // Errors: also AlreadyExists, for a second device with the same id, and those of the doorbells.
  absl::Status Add(absl::StatusOr<PlacedDevice> placed);
  // Takes a device out. Its queues are stopped and no transport shows it. It is destroyed on its
  // loop, after everything that was posted there before. Returns whether there was one.
  bool Remove(absl::string_view id);
  // Returns null if there is none; valid until a device is added or removed.
  const PlacedDevice* Find(absl::string_view id) const;
  // All devices, in the order in which they were added; valid as long as that of Find.
  std::span<const PlacedDevice> all() const { return devices_; }
  std::set<std::string> ids() const;
  // Returns the ids of the devices on `loop`: "_disk0 _rng".
  std::string IdsOn(const base::EventLoop& loop) const;

  // Asks each device, on its loop, to pause or to resume (virtio/device.h).
  void Pause(const DevicesAtWork& busy) const;
  void Resume() const;

  // HostSide's, for each device.
  void Reread() const;
  void ReloadClosures(
      absl::FunctionRef<HostSide::ClosureReport(absl::string_view id)> make_report) const;
  // Writes the files of all devices through, each on a thread of its own, and returns after
  // `patience` at the latest: for leaving although a device still has I/O in flight. Returns
  // whether all are written through, now and at each flush before; logs which are not.
  bool WriteThrough(std::chrono::milliseconds patience) const;
  void Unlock() const;

 private:
  std::vector<PlacedDevice> devices_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICE_SET_H_
