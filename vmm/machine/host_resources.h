// What a VM has of the host and keeps over guest resets: RAM, payload files, event loops, consoles;
// and the devices that live on these.
#ifndef VMM_MACHINE_HOST_RESOURCES_H_
#define VMM_MACHINE_HOST_RESOURCES_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "base/loop_thread.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/consoles.h"
#include "vmm/machine/device_set.h"
#include "vmm/machine/guest_loader.h"

namespace vmm {

class HostResources {
 public:
  // Opens and locks everything the config names, before any guest code runs. `guest_phys_bits`: the
  // width of guest physical addresses, asked for as late as possible since the answer may still be
  // on its way. `on_escape` runs on an I/O loop when the user types Ctrl-a x. Errors: one line with
  // the key, the object and the errno.
  static absl::StatusOr<std::unique_ptr<HostResources>> Open(
      const VmConfig& config, absl::FunctionRef<absl::StatusOr<uint32_t>()> guest_phys_bits,
      absl::AnyInvocable<void()> on_escape);
  // The I/O threads have been stopped by Finish, or were never started.
  ~HostResources();

  // Starts the I/O threads. From here on devices are touched on their loops only.
  absl::Status Start();

  const GuestLayout& layout() const { return layout_; }
  base::GuestMemory& memory() { return *memory_; }
  const PayloadFiles& payload() const { return payload_; }
  Consoles& consoles() { return consoles_; }
  // The loop of both back ends.
  base::EventLoop& console_loop() { return io_threads_[0]->loop(); }
  DeviceSet& devices() { return devices_; }

  // After the guest has ended: stops the threads, then writes the disks through, so that even a
  // forced end loses nothing that the guest was told is written. A thread that hangs in a call of
  // the host is named and left behind after `thread_patience`. The process ends next: by _exit if a
  // thread was left behind, since the thread uses this object.
  struct Finished {
    bool synced = false;         // every disk is written through
    bool threads_ended = false;  // all of them
  };
  Finished Finish(std::chrono::milliseconds sync_patience,
                  std::chrono::milliseconds thread_patience = std::chrono::seconds(5));

 private:
  HostResources() = default;
  absl::Status CreateLoops(const VmConfig& config);
  absl::Status CreateDevices(const VmConfig& config, absl::AnyInvocable<void()> on_escape);
  bool StopThreads(std::chrono::milliseconds patience);

  // In order of creation; what is below uses what is above.
  GuestLayout layout_;
  std::unique_ptr<base::GuestMemory> memory_;
  PayloadFiles payload_;
  std::vector<std::unique_ptr<base::LoopThread>> io_threads_;
  // Shares wait for the host's file systems on threads that serve nothing else.
  std::vector<std::unique_ptr<base::LoopThread>> share_threads_;
  Consoles consoles_;
  DeviceSet devices_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_HOST_RESOURCES_H_
