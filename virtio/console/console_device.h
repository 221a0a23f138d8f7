// virtio-console: one port, hvc0 in a Linux guest. [VIRTIO 1.2 §5.3]
#ifndef VIRTIO_CONSOLE_CONSOLE_DEVICE_H_
#define VIRTIO_CONSOLE_CONSOLE_DEVICE_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "devices/character/character_backend.h"
#include "virtio/console/console_queue.h"
#include "virtio/console/console_wire.h"
#include "virtio/device.h"

namespace virtio {

// Joins a character backend to a driver. Offers SIZE (the guest's terminal follows the host's) and
// EMERG_WRITE. Input that comes before the driver, while it is paused or across a guest reset is
// kept (up to ConsoleReceiveQueue::kMaxPendingBytes, the rest stays with the backend).
class ConsoleDevice final : public Device, private devices::CharacterClient {
 public:
  struct Options {
    std::string id = "_console";
    // For tests: feature bits that may be offered.
    uint64_t features_mask = ~uint64_t{0};
  };

  // `loop` is also the loop of `backend`. All three outlive the device. Before the loop runs.
  ConsoleDevice(Options options, base::EventLoop& loop, base::GuestMemory& memory,
                devices::CharacterBackend& backend);
  // On the loop or when it has ended; all queues stopped.
  ~ConsoleDevice() override;

  absl::string_view id() const override { return options_.id; }
  uint16_t type() const override;
  uint64_t features() const override;
  std::span<const uint16_t> queue_sizes() const override;
  base::EventLoop& loop() override { return loop_; }

  uint32_t config_size() const override;
  void ReadConfig(uint32_t offset, std::span<uint8_t> to) override;
  void WriteConfig(uint32_t offset, std::span<const uint8_t> from) override;

  void Activate(uint64_t features, DriverNotifier& notifier) override;
  void StartQueue(QueueStart queue) override;
  void StopQueue(uint16_t index, Done done) override;
  void Deactivate() override;
  void Pause(Done done) override;
  void Resume() override;

  // rx_bytes: to the guest; tx_bytes: from the guest; dropped_bytes: of those, never delivered
  // because the sink stalled or failed; removed_bytes: of those, stored in a file and removed
  // again; rx_pending_bytes: waiting for the guest.
  Counters counters() const override;

 private:
  size_t OnInput(std::span<const uint8_t> bytes) override;
  void OnResize(uint16_t columns, uint16_t rows) override;
  DeviceQueue* queue(uint16_t index);

  const Options options_;
  base::EventLoop& loop_;
  devices::CharacterBackend& backend_;
  ConsoleReceiveQueue receive_;
  ConsoleTransmitQueue transmit_;
  DriverNotifier* notifier_ = nullptr;
  ConsoleConfig config_;                       // changed by ChangeConfig only
  std::atomic<uint64_t> emergency_bytes_ = 0;  // written on vCPU threads
};

}  // namespace virtio

#endif  // VIRTIO_CONSOLE_CONSOLE_DEVICE_H_
