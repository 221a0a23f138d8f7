// Maps the addresses that signal the doorbells of a device when the guest writes to them.
// [VIRTIO 1.2 §4.1.4.4, §4.1.5.2]
#ifndef VIRTIO_TRANSPORT_DOORBELLS_H_
#define VIRTIO_TRANSPORT_DOORBELLS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "devices/doorbell_mapper.h"
#include "virtio/transport/device_doorbells.h"

namespace virtio {

// Each change of a mapping costs the host a grace period. Therefore a doorbell is mapped when its
// queue first runs, and stays mapped, across device resets, until its address changes. Any thread.
class Doorbells {
 public:
  // Bytes between two queues' addresses. [VIRTIO 1.2 §4.1.4.4] notify_off_multiplier
  static constexpr uint32_t kMultiplier = 4;

  // `name`: the device's id. The other arguments must outlive this object.
  Doorbells(devices::DoorbellMapper& mapper, absl::string_view name, const DeviceDoorbells& device);
  ~Doorbells();
  Doorbells(const Doorbells&) = delete;
  Doorbells& operator=(const Doorbells&) = delete;

  // Signals the queue's doorbell. Called when a write to its address caused an exit, since the
  // address was not mapped.
  void Signal(uint16_t queue) const;

  // From now on the queue's doorbell is mapped wherever it has an address.
  void Enable(uint16_t queue);
  // Queue 0's address is now `base`; with nullopt no queue has an address.
  void Move(std::optional<uint64_t> base);
  // Removes all mappings; Enable makes them again.
  void DisableAll();

 private:
  uint16_t count() const { return device_.count(); }
  int fd(uint16_t queue) const { return device_.fd(queue); }
  void Map(uint16_t queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unmap(uint16_t queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t Address(uint16_t queue) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return *base_ + uint64_t{queue} * kMultiplier;
  }

  devices::DoorbellMapper& mapper_;
  const std::string name_;
  const DeviceDoorbells& device_;

  base::Mutex mutex_;
  std::optional<uint64_t> base_ ABSL_GUARDED_BY(mutex_);
  std::vector<bool> enabled_ ABSL_GUARDED_BY(mutex_);
  std::vector<bool> mapped_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virtio

#endif  // VIRTIO_TRANSPORT_DOORBELLS_H_
