#include "virtio/transport/interrupts.h"

#include <linux/virtio_pci.h>

#include <utility>

namespace virtio {
namespace {

constexpr uint8_t kIsrQueue = 1 << 0;
constexpr uint8_t kIsrConfig = 1 << 1;

}  // namespace

Interrupts::Interrupts(devices::MsixTable& msix, uint16_t queues,
                       absl::AnyInvocable<void(bool)> set_interrupt_status)
    : msix_(msix),
      queues_(queues),
      config_vector_(VIRTIO_MSI_NO_VECTOR),
      queue_vectors_(std::make_unique<std::atomic<uint16_t>[]>(queues)),
      set_interrupt_status_(std::move(set_interrupt_status)) {
  for (uint16_t i = 0; i < queues_; ++i) queue_vectors_[i] = VIRTIO_MSI_NO_VECTOR;
}

void Interrupts::NotifyQueue(uint16_t queue) {
  if (msix_.enabled()) {
    msix_.Trigger(queue_vector(queue));
  } else {
    isr_ |= kIsrQueue;
    UpdateInterruptStatus();
  }
}

void Interrupts::NotifyConfig() {
  isr_ |= kIsrConfig;  // before the notification, with or without MSI-X
  if (msix_.enabled()) {
    msix_.Trigger(config_vector());
  } else {
    UpdateInterruptStatus();
  }
}

uint8_t Interrupts::ReadIsr() {
  const uint8_t isr = isr_.exchange(0);
  if (isr != 0 && !msix_.enabled()) UpdateInterruptStatus();
  return isr;
}

void Interrupts::UpdateInterruptStatus() {
  base::MutexLock lock(status_mutex_);
  set_interrupt_status_(!msix_.enabled() && isr_ != 0);
}

void Interrupts::Reset() {
  config_vector_ = VIRTIO_MSI_NO_VECTOR;
  for (uint16_t i = 0; i < queues_; ++i) queue_vectors_[i] = VIRTIO_MSI_NO_VECTOR;
  msix_.ClearPending();
  ReadIsr();
}

uint16_t Interrupts::Valid(uint16_t vector) const {
  return vector < msix_.vectors() ? vector : uint16_t{VIRTIO_MSI_NO_VECTOR};
}

}  // namespace virtio
