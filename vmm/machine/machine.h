// One power cycle of a VM: the KVM machine, its vCPUs, buses, platform devices, PCI bus and
// transports.
//
// A machine is built from HostResources at boot and again at every reset. No part of it outlives
// the guest.
#ifndef VMM_MACHINE_MACHINE_H_
#define VMM_MACHINE_MACHINE_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "devices/bus.h"
#include "devices/pci/host_bridge.h"
#include "devices/pci/pci_root.h"
#include "devices/pci/pvpanic.h"
#include "virtio/transport/pci_transport.h"
#include "vmm/config/vm_config.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_uapi.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/kvm/vcpu_group.h"
#include "vmm/machine/device_set.h"
#include "vmm/machine/host_resources.h"
#include "vmm/machine/machine_events.h"
#include "vmm/machine/platform.h"

namespace vmm {

class Machine final : public VcpuExits {
 public:
  // Builds everything in `vm`, which is new, and loads the guest; no guest code runs yet. Guest RAM
  // must be zero. Control thread.
  static absl::StatusOr<std::unique_ptr<Machine>> Create(const VmConfig& config,
                                                         const KvmSystem& kvm,
                                                         std::unique_ptr<KvmVm> vm,
                                                         HostResources& host,
                                                         MachineEvents& events);
  // The machine must be stopped, or never have been started.
  ~Machine() override;

  // Starts the vCPU threads.
  absl::Status Start();

  // Stops the vCPUs, then lets all I/O in flight finish. Calls `done` on `control` with OK. If a
  // device still has I/O in flight after `deadline`, `done` gets DeadlineExceeded with the names of
  // such devices, and the machine keeps running.
  void Pause(base::EventLoop& control, std::chrono::nanoseconds deadline,
             absl::AnyInvocable<void(absl::Status)> done);
  // Continues after a pause. Guest time has not advanced during the pause.
  void Resume();
  // Stops all guest code for good and resets the devices. Calls `done` on `control` when the
  // machine can be destroyed.
  void Stop(base::EventLoop& control, absl::AnyInvocable<void()> done);
  // Returns the devices that the last Pause or Stop still waits for: "_disk0, _fs1". Control loop.
  std::string BusyDevices() const { return busy_.Names(); }

  // Any thread.
  void PressPowerButton() { platform_->PressPowerButton(); }

  // Returns the number of exits to user space by reason and place, summed over all vCPUs. Any
  // thread.
  std::vector<std::pair<std::string, uint64_t>> ExitCounts() const;
  // See Platform::BootTimes.
  std::vector<std::pair<std::string, uint64_t>> BootTimes() { return platform_->BootTimes(); }

 private:
  struct Quiesce;

  Machine(HostResources& host, MachineEvents& events) : host_(host), events_(events) {}
  absl::Status AddMemory(const KvmSystem& kvm);
  absl::Status CreatePci(const VmConfig& config);
  absl::Status CreateVcpus(const KvmSystem& kvm, const VmConfig& config);
  void GuestEnded(GuestEnd end, std::string detail);
  void GuestPanicked(uint8_t event);
  void PauseDevices(const std::shared_ptr<Quiesce>& quiesce, std::chrono::nanoseconds deadline);
  absl::Status TurnTimeBack();

  // VcpuExits
  devices::Bus& pio() override { return pio_; }
  devices::Bus& mmio() override { return mmio_; }
  void EndOfInterrupt(uint8_t vector) override { platform_->EndOfInterrupt(vector); }
  void OnTripleFault(uint32_t vcpu_index) override;
  void OnFatalExit(uint32_t vcpu_index, const std::string& report) override;

  // In order of creation: a member uses the members above it.
  HostResources& host_;
  MachineEvents& events_;
  std::atomic<bool> guest_ended_{false};
  std::atomic<uint8_t> panic_events_{0};  // the events reported so far
  devices::Bus pio_;
  devices::Bus mmio_;
  std::unique_ptr<KvmVm> vm_;
  std::unique_ptr<devices::PciRoot> pci_;
  bool has_fast_reads_ = false;
  uint32_t ecam_slot_ = 0;
  devices::HostBridge host_bridge_;
  std::unique_ptr<devices::Pvpanic> pvpanic_;
  std::vector<std::unique_ptr<virtio::PciTransport>> transports_;
  std::unique_ptr<Platform> platform_;
  std::unique_ptr<VcpuGroup> vcpus_;
  kvm_clock_data paused_clock_ = {};
  uint64_t paused_ticks_ = 0;  // HostTicks() when the vCPUs had stopped
  DevicesAtWork busy_;         // the devices that the last Pause or Stop waits for
};

}  // namespace vmm

#endif  // VMM_MACHINE_MACHINE_H_
