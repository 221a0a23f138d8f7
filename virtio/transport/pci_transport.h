// virtio-pci, modern only: puts a virtio::Device on the PCI bus. [VIRTIO 1.2 §4.1]
//
// Registers are served on the vCPU that accesses them, under one lock. Only orders to start, stop
// and reset go to the device's loop. No vCPU waits for the loop: device_status and queue_reset keep
// their old values until the device has quiesced, and the driver polls them.
#ifndef VIRTIO_TRANSPORT_PCI_TRANSPORT_H_
#define VIRTIO_TRANSPORT_PCI_TRANSPORT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/guest_memory.h"
#include "base/mutex.h"
#include "devices/doorbell_mapper.h"
#include "devices/interrupt.h"
#include "devices/memory_mapper.h"
#include "devices/pci/msix.h"
#include "devices/pci/pci_root.h"
#include "virtio/device.h"
#include "virtio/transport/common_config.h"
#include "virtio/transport/doorbells.h"
#include "virtio/transport/interrupts.h"
#include "virtio/transport/pci_layout.h"
#include "virtio/transport/queue_runner.h"

namespace virtio {

class PciTransport final : public devices::PciHandler,
                           private DriverNotifier,
                           private ConfigOwner,
                           private CommonConfigEvents {
 public:
  using Done = Device::Done;

  struct Options {
    // The feature bits that may be offered; tests restrict them. VERSION_1 is always offered.
    uint64_t features_mask = ~uint64_t{0};
    // Maps the device's shared memory for the guest. Null: the driver reads zeros.
    devices::MemoryMapper* memory_mapper = nullptr;
  };

  // Puts `device`, whose doorbells are `doorbells`, into `slot`. All arguments must outlive the
  // transport. Errors: those of PciRoot::Add, with the device's id.
  static absl::StatusOr<std::unique_ptr<PciTransport>> Create(
      Device& device, const DeviceDoorbells& doorbells, base::GuestMemory& memory,
      devices::PciRoot& root, unsigned slot, devices::MsiController& msi_controller,
      devices::DoorbellMapper& doorbell_mapper, Options options);
  // No vCPU may be running. The device must be reset (Reset has called `done`), or its loop must
  // have ended.
  ~PciTransport() override;

  Device& device() { return device_; }

  // Resets the device and gives up all interrupts and doorbells, for a VM that is reset in place.
  // Runs `done` when the device has quiesced, on the thread of the device's loop, or at once if the
  // device was not active. No vCPU may run until then.
  void Reset(Done done);

  // devices::PciHandler
  absl::string_view name() const override { return device_.id(); }
  void ReadBar(unsigned bar, uint64_t offset, std::span<uint8_t> data) override;
  void WriteBar(unsigned bar, uint64_t offset, std::span<const uint8_t> data) override;
  void OnBarMoved(unsigned bar, std::optional<uint64_t> address) override;
  void BeforeConfigRead(uint32_t offset, size_t size) override;
  void AfterConfigWrite(uint32_t offset, size_t size) override;

 private:
  PciTransport(Device& device, const DeviceDoorbells& doorbells, base::GuestMemory& memory,
               devices::PciRoot& root, unsigned slot, devices::MsiController& msi_controller,
               devices::DoorbellMapper& doorbell_mapper, const Options& options);

  // DriverNotifier. Any thread.
  void NotifyQueue(uint16_t index) override { interrupts_.NotifyQueue(index); }
  absl::StatusOr<int> QueueInterruptFd(uint16_t index) override {
    return msix_.EventFd(interrupts_.queue_vector(index));
  }
  void NeedsReset(absl::string_view why) override;

  // ConfigOwner. Any thread.
  void ChangeConfig(uint64_t features, absl::FunctionRef<void()> change) override;

  // CommonConfigEvents
  void OnReset() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnDriverOk() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnQueueEnabled(uint16_t queue) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnQueueReset(uint16_t queue) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Called on the loop when the device or the queue has quiesced.
  void FinishReset();
  void FinishQueueReset(uint16_t queue);

  void ReadCommon(uint64_t offset, std::span<uint8_t> data);
  void WriteCommon(uint64_t offset, std::span<const uint8_t> data);
  void ReadDeviceConfig(uint64_t offset, std::span<uint8_t> data);
  void WriteDeviceConfig(uint64_t offset, std::span<const uint8_t> data);
  void WriteNotify(uint64_t offset);
  void MoveSharedMemory(std::optional<uint64_t> address);
  void UpdateGeneration() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Checks the addresses that the driver has programmed. If they are not a valid ring, sets
  // DEVICE_NEEDS_RESET and returns nullopt.
  std::optional<EnabledQueue> MakeQueue(uint16_t queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetNeedsReset(absl::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ResetRegisters() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Accepted(uint64_t features) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return (features & ~config_.state().driver_features) == 0;
  }

  // The window that VIRTIO_PCI_CAP_PCI_CFG opens into BAR 0. [VIRTIO 1.2 §4.1.4.9]
  struct ConfigWindow {
    uint32_t offset;
    uint32_t length;
  };
  std::optional<ConfigWindow> Window();

  Device& device_;
  base::GuestMemory& memory_;
  devices::PciRoot& root_;
  const unsigned slot_;
  devices::MemoryMapper* const memory_mapper_;
  std::optional<uint64_t> shared_memory_address_;  // of the BAR; protected by the PCI root's lock
  std::atomic<bool> shared_memory_failed_{false};  // the host could not map the shared memory
  uint32_t window_capability_ = 0;                 // set by Create
  devices::MsixTable msix_;
  Interrupts interrupts_;
  const DeviceDoorbells& device_doorbells_;
  Doorbells doorbells_;
  QueueRunner runner_;  // used only on the loop

  // Lock order: the device's own lock, mutex_, then the lock of Interrupts, then the PCI root's
  // lock.
  base::Mutex mutex_;
  CommonConfig config_ ABSL_GUARDED_BY(mutex_);
  // The device has been told to activate and has not been deactivated since.
  bool active_ ABSL_GUARDED_BY(mutex_) = false;
  // The device's configuration has changed since the driver last looked. Several changes count as
  // one: 256 changes must not result in the same generation again.
  bool config_changed_ ABSL_GUARDED_BY(mutex_) = false;
  // The configuration has changed before DRIVER_OK. A driver that has accepted these features is
  // notified when it sets DRIVER_OK.
  std::optional<uint64_t> config_owed_ ABSL_GUARDED_BY(mutex_);
  // A register write has made a configuration interrupt due. It is sent after the lock is released.
  bool notify_config_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Done> reset_done_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virtio

#endif  // VIRTIO_TRANSPORT_PCI_TRANSPORT_H_
