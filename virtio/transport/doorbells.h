// Where a guest's writes signal the doorbells of a device.
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

// Every change of a mapping costs the host a grace period: a doorbell is mapped when its queue
// first runs and stays, across device resets, until its address changes. Any thread.
class Doorbells {
 public:
  // Bytes between two queues' addresses. [VIRTIO 1.2 §4.1.4.4] notify_off_multiplier
  static constexpr uint32_t kMultiplier = 4;

  // `name`: the device's id. The others must outlive this.
  Doorbells(devices::DoorbellMapper& mapper, absl::string_view name, const DeviceDoorbells& device);
  ~Doorbells();
  Doorbells(const Doorbells&) = delete;
  Doorbells& operator=(const Doorbells&) = delete;

  // What a write to the address does when it was not mapped and comes to us.
  void Signal(uint16_t queue) const;

  // The queue's doorbell is of use from now on.
  void Enable(uint16_t queue);
  // Queue 0's address is now `base`, or nowhere.
  void Move(std::optional<uint64_t> base);
  // Gives up all mappings; Enable starts over.
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
