// Everything of a VM that outlives a guest reset: RAM, open files, event loops, virtio devices,
// console back ends.
#ifndef VMM_MACHINE_HOST_RESOURCES_H_
#define VMM_MACHINE_HOST_RESOURCES_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/guest_memory.h"
#include "base/loop_thread.h"
#include "devices/character/character_backend.h"
#include "virtio/block/block_device.h"
#include "virtio/device.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/transport/device_doorbells.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/disk_measurer.h"
#include "vmm/machine/share_limits.h"
#include "vmm/machine/x86_64/guest_loader.h"

namespace vmm {

// A virtio device and the PCI slot that the config gives it.
struct PlacedDevice {
  std::unique_ptr<virtio::Device> device;
  std::unique_ptr<virtio::DeviceDoorbells> doorbells;
  uint32_t pci_slot = 0;
  uint64_t features_mask = ~uint64_t{0};
};

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
  std::span<PlacedDevice> devices() { return devices_; }
  devices::CharacterBackend* serial_backend() { return serial_backend_.get(); }
  devices::CharacterBackend* console_backend() { return console_backend_.get(); }
  // The loop of both back ends.
  base::EventLoop& console_loop() { return io_threads_[0]->loop(); }

  // Bytes that guests have printed on all consoles.
  uint64_t console_bytes() const;
  // True when all console output has reached its sink, or was dropped.
  bool consoles_drained() const;
  // The guest has ended: makes room for its last output in sinks that nobody reads. Control thread.
  void FinishConsoles();
  // The terminal has changed its size or its foreground job / disks and closures may have grown.
  // Control thread; a disk is measured on a thread of its own, since its host may not answer.
  void NotifyTerminal();
  void Reread();
  // Reads the closures again. Calls `report` once for each share that has one, on the share's loop,
  // with its id and how many paths it has gained; returns how many shares that are. A share that
  // has not answered the last time is not asked: Unavailable, reported at once. Control thread.
  using ClosureReport = std::function<void(const std::string&, absl::StatusOr<size_t>)>;
  size_t ReloadClosures(const ClosureReport& report);
  // Writes all disks through, each on a thread of its own, and returns after `patience` at the
  // latest: for leaving although a device still has I/O in flight. Returns whether all were, now
  // and at each flush before; logs which were not.
  bool SyncDisks(std::chrono::milliseconds patience);
  // After the guest has ended: stops the threads, then does as SyncDisks, so that even a forced end
  // loses nothing that the guest was told is written. A thread that hangs in a call of the host is
  // named and left behind after `thread_patience`. The process ends next: by _exit if a thread was
  // left behind, since the thread uses this object.
  struct Finished {
    bool synced = false;         // every disk is written through
    bool threads_ended = false;  // all of them
  };
  Finished Finish(std::chrono::milliseconds sync_patience,
                  std::chrono::milliseconds thread_patience = std::chrono::seconds(5));

 private:
  struct Disk {
    virtio::BlockDevice* device;
    std::string path;
    int fd;  // the device's
    bool readonly;
    std::unique_ptr<DiskMeasurer> measurer;
  };
  struct Share {
    std::string id;
    base::EventLoop* loop;
    virtio::HostTree* tree;  // the device's; on the loop
    // The closure is being read, or waits for it. (A pointer, as the struct is moved.)
    std::unique_ptr<std::atomic<bool>> rereading = std::make_unique<std::atomic<bool>>(false);
  };

  HostResources() = default;
  absl::Status CreateLoops(const VmConfig& config);
  absl::Status OpenConsoles(const VmConfig& config, absl::AnyInvocable<void()> on_escape);
  absl::Status OpenDisk(const DiskConfig& config, size_t index);
  absl::Status OpenShare(const FsConfig& config, size_t index, const ShareLimits& limits);
  absl::Status OpenShares(const VmConfig& config);
  absl::Status CreateDevices(const VmConfig& config);
  absl::Status Place(std::unique_ptr<virtio::Device> device, uint32_t pci_slot,
                     std::optional<uint64_t> features_mask);
  base::EventLoop& NextLoop();
  bool StopThreads(std::chrono::milliseconds patience);

  // In order of creation; what is below uses what is above.
  GuestLayout layout_;
  std::unique_ptr<base::GuestMemory> memory_;
  PayloadFiles payload_;
  std::vector<std::unique_ptr<base::LoopThread>> io_threads_;
  // Shares wait for the host's file systems on threads that serve nothing else.
  std::vector<std::unique_ptr<base::LoopThread>> share_threads_;
  size_t next_loop_ = 0;
  std::unique_ptr<devices::CharacterBackend> serial_backend_;
  std::unique_ptr<devices::CharacterBackend> console_backend_;
  std::vector<PlacedDevice> devices_;
  std::vector<Disk> disks_;
  std::vector<Share> shares_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_HOST_RESOURCES_H_
