// Makes virtio disks from their config.
#ifndef VMM_MACHINE_DEVICES_DISK_H_
#define VMM_MACHINE_DEVICES_DISK_H_

#include "absl/status/statusor.h"
#include "net/rate_limiter.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/device_set.h"

namespace vmm {

// Opens and locks the image. `group` is the limiter of config.rate_limit_group, or null; it
// outlives the device. Errors: one line with the key, the object and the errno.
absl::StatusOr<PlacedDevice> CreateDisk(const DiskConfig& config, net::RateLimiter* group,
                                        const DeviceContext& context);

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_DISK_H_
