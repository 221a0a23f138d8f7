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
#include "virtio/queue/queued_device.h"

namespace virtio {

// Joins a character backend to a driver. Offers SIZE (the guest's terminal follows the host's) and
// EMERG_WRITE. Input that comes before the driver, while it is paused or across a guest reset is
// kept (up to ConsoleReceiveQueue::kMaxPendingBytes, the rest stays with the backend).
class ConsoleDevice final : public QueuedDevice, private devices::CharacterClient {
 public:
  // `loop` is also the loop of `backend`. All three outlive the device. Before the loop runs.
  ConsoleDevice(std::string id, base::EventLoop& loop, base::GuestMemory& memory,
                devices::CharacterBackend& backend);
  // On the loop or when it has ended; all queues stopped.
  ~ConsoleDevice() override;

  void WriteConfig(uint32_t offset, std::span<const uint8_t> from) override;

 private:
  std::span<const uint8_t> config_bytes() const override { return base::BytesOf(config_); }
  // rx_bytes: to the guest; tx_bytes: from the guest; dropped_bytes: of those, never delivered
  // because the sink stalled or failed; removed_bytes: of those, stored in a file and removed
  // again; rx_pending_bytes: waiting for the guest.
  void AddCounters(Counters& counters) const override;

  size_t OnInput(std::span<const uint8_t> bytes) override;
  void OnResize(uint16_t columns, uint16_t rows) override;

  devices::CharacterBackend& backend_;
  ConsoleReceiveQueue receive_;
  ConsoleTransmitQueue transmit_;
  ConsoleConfig config_;                       // changed by ChangeConfig only
  std::atomic<uint64_t> emergency_bytes_ = 0;  // written on vCPU threads
};

}  // namespace virtio

#endif  // VIRTIO_CONSOLE_CONSOLE_DEVICE_H_
