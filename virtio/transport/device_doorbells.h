// The eventfds that wake the queues of a device. [VIRTIO 1.2 §4.1.4.4]
#ifndef VIRTIO_TRANSPORT_DEVICE_DOORBELLS_H_
#define VIRTIO_TRANSPORT_DEVICE_DOORBELLS_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "virtio/device.h"

namespace virtio {

// One eventfd for each queue, registered with the queue's loop. Made with the device and kept as
// long as the device: across resets of queues and of the device, and across transports, since each
// reboot makes a new transport. A guest can repeat all of these forever, and on Linux 6.1 and 6.12
// a file that leaves a ring's table costs kernel memory as long as the ring lives. Constant once
// made; any thread.
class DeviceDoorbells {
 public:
  // Call it before the loops run. Errors, with the device's id: eventfds cannot be made, or the
  // loop's table of files is full.
  static absl::StatusOr<std::unique_ptr<DeviceDoorbells>> Create(Device& device);
  DeviceDoorbells(const DeviceDoorbells&) = delete;
  DeviceDoorbells& operator=(const DeviceDoorbells&) = delete;

  uint16_t count() const { return static_cast<uint16_t>(doorbells_.size()); }
  int fd(uint16_t queue) const { return doorbells_[queue].fd.get(); }
  // Returns the file by which the queue's loop knows the eventfd.
  base::LoopFile file(uint16_t queue) const { return doorbells_[queue].file; }

 private:
  struct Doorbell {
    base::UniqueFd fd;
    base::LoopFile file;
  };

  explicit DeviceDoorbells(std::vector<Doorbell> doorbells) : doorbells_(std::move(doorbells)) {}

  const std::vector<Doorbell> doorbells_;
};

}  // namespace virtio

#endif  // VIRTIO_TRANSPORT_DEVICE_DOORBELLS_H_
