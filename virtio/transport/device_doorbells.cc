#include "virtio/transport/device_doorbells.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace virtio {

absl::StatusOr<std::unique_ptr<DeviceDoorbells>> DeviceDoorbells::Create(Device& device) {
  const size_t queues = device.queue_sizes().size();
  std::vector<Doorbell> doorbells;
  for (size_t i = 0; i < queues; ++i) {
    Doorbell& doorbell = doorbells.emplace_back();
    doorbell.fd.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!doorbell.fd.valid()) {
      return base::ErrnoStatus(
          errno, absl::StrCat(device.id(), ": cannot create eventfd ", i, " of ", queues));
    }
    auto file = device.queue_loop(static_cast<uint16_t>(i)).AddFile(doorbell.fd.get());
    if (!file.ok()) return base::Annotate(file.status(), device.id());
    doorbell.file = *file;
  }
  return std::unique_ptr<DeviceDoorbells>(new DeviceDoorbells(std::move(doorbells)));
}

}  // namespace virtio
