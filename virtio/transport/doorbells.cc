#include "virtio/transport/doorbells.h"

#include <unistd.h>

#include "absl/status/status.h"
#include "base/limited_log.h"

namespace virtio {

Doorbells::Doorbells(devices::DoorbellMapper& mapper, absl::string_view name,
                     const DeviceDoorbells& device)
    : mapper_(mapper),
      name_(name),
      device_(device),
      enabled_(count(), false),
      mapped_(count(), false) {}

Doorbells::~Doorbells() { DisableAll(); }

void Doorbells::Signal(uint16_t queue) const {
  const uint64_t one = 1;
  // EAGAIN means that the counter is full, so the loop is being woken anyway.
  [[maybe_unused]] const ssize_t ignored = write(fd(queue), &one, sizeof(one));
}

void Doorbells::Enable(uint16_t queue) {
  base::MutexLock lock(mutex_);
  if (enabled_[queue]) return;
  enabled_[queue] = true;
  Map(queue);
}

void Doorbells::Move(std::optional<uint64_t> base) {
  base::MutexLock lock(mutex_);
  if (base == base_) return;
  for (uint16_t i = 0; i < count(); ++i) Unmap(i);
  base_ = base;
  for (uint16_t i = 0; i < count(); ++i) Map(i);
}

void Doorbells::DisableAll() {
  base::MutexLock lock(mutex_);
  for (uint16_t i = 0; i < count(); ++i) {
    Unmap(i);
    enabled_[i] = false;
  }
}

void Doorbells::Map(uint16_t queue) {
  if (!base_ || !enabled_[queue] || mapped_[queue]) return;
  const absl::Status status = mapper_.Map(Address(queue), fd(queue));
  mapped_[queue] = status.ok();
  if (!status.ok()) {
    LOG_LIMITED(Warning, 10, name_)
        << name_ << ": doorbell " << queue << " causes an exit at every kick: " << status.message();
  }
}

void Doorbells::Unmap(uint16_t queue) {
  if (mapped_[queue]) mapper_.Unmap(Address(queue), fd(queue));
  mapped_[queue] = false;
}

}  // namespace virtio
