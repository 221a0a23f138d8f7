// How the transport reaches the driver: MSI-X vectors, or ISR status while MSI-X is off.
// [VIRTIO 1.2 §4.1.4.5, §4.1.5.1.2, §4.1.5.3, §4.1.5.4]
#ifndef VIRTIO_TRANSPORT_INTERRUPTS_H_
#define VIRTIO_TRANSPORT_INTERRUPTS_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"
#include "devices/pci/msix.h"

namespace virtio {

// Any thread. Notifying takes no lock except the vector's own. There is no INTx pin, so a driver
// that leaves MSI-X off has to poll.
class Interrupts {
 public:
  // `set_interrupt_status` sets the Interrupt Status bit of the PCI status register. `msix` must
  // outlive this object.
  Interrupts(devices::MsixTable& msix, uint16_t queues,
             absl::AnyInvocable<void(bool)> set_interrupt_status);

  void NotifyQueue(uint16_t queue);
  void NotifyConfig();

  // The vectors as the driver reads them back: VIRTIO_MSI_NO_VECTOR if the event is unmapped or the
  // driver asked for a vector that does not exist. `queue` is below the number of queues.
  uint16_t config_vector() const { return config_vector_.load(std::memory_order_relaxed); }
  uint16_t queue_vector(uint16_t queue) const {
    return queue_vectors_[queue].load(std::memory_order_relaxed);
  }
  void SetConfigVector(uint16_t vector) { config_vector_ = Valid(vector); }
  void SetQueueVector(uint16_t queue, uint16_t vector) { queue_vectors_[queue] = Valid(vector); }

  // Returns ISR status and clears it.
  uint8_t ReadIsr();
  // Updates the PCI status register from the ISR status and MSI-X enable.
  void UpdateInterruptStatus();

  // Unmaps every event and drops interrupts that have not been delivered.
  void Reset();

 private:
  uint16_t Valid(uint16_t vector) const;

  devices::MsixTable& msix_;
  const uint16_t queues_;
  std::atomic<uint16_t> config_vector_;
  const std::unique_ptr<std::atomic<uint16_t>[]> queue_vectors_;
  std::atomic<uint8_t> isr_{0};

  // Serialises updates, so that the status register shows the newest state.
  base::Mutex status_mutex_;
  absl::AnyInvocable<void(bool)> set_interrupt_status_ ABSL_GUARDED_BY(status_mutex_);
};

}  // namespace virtio

#endif  // VIRTIO_TRANSPORT_INTERRUPTS_H_
