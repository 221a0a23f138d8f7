// virtio-console: one port, hvc0 in a Linux guest. [VIRTIO 1.2 §5.3]
#ifndef VIRTIO_CONSOLE_CONSOLE_DEVICE_H_
#define VIRTIO_CONSOLE_CONSOLE_DEVICE_H_

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "devices/character/character_backend.h"
#include "virtio/console/console_queue.h"
#include "virtio/console/console_wire.h"
#include "virtio/queue/queued_device.h"

namespace virtio {

// Connects a character backend to a driver. Offers SIZE (the guest's terminal follows the host's)
// and EMERG_WRITE. Input that arrives before the driver, while the driver is paused or during a
// guest reset is kept, up to ConsoleReceiveQueue::kMaxPendingBytes; further input stays with the
// backend.
class ConsoleDevice final : public QueuedDevice, private devices::CharacterClient {
 public:
  // `loop` is also the loop of `backend`. `loop`, `memory` and `backend` must outlive the device.
  // Call it before the loop runs.
  ConsoleDevice(std::string id, base::EventLoop& loop, base::GuestMemory& memory,
                devices::CharacterBackend& backend);
  // Call it on the loop or after the loop has ended, with all queues stopped.
  ~ConsoleDevice() override;

  void WriteConfig(uint32_t offset, std::span<const uint8_t> from) override;

 private:
  std::span<const uint8_t> config_bytes() const override { return base::BytesOf(config_); }
  // rx_bytes: bytes to the guest. tx_bytes: bytes from the guest. dropped_bytes: bytes from the
  // guest that were never delivered, because the sink stalled or failed. removed_bytes: bytes from
  // the guest that were stored in a file and removed again. rx_pending_bytes: bytes that wait for
  // the guest.
  void AddCounters(Counters& counters) const override;

  size_t OnInput(std::span<const uint8_t> bytes) override;
  void OnResize(uint16_t columns, uint16_t rows) override;

  devices::CharacterBackend& backend_;
  ConsoleReceiveQueue receive_;
  ConsoleTransmitQueue transmit_;
  ConsoleConfigSpace config_;                  // only ChangeConfig changes it
  std::atomic<uint64_t> emergency_bytes_ = 0;  // written on vCPU threads
};

}  // namespace virtio

#endif  // VIRTIO_CONSOLE_CONSOLE_DEVICE_H_
