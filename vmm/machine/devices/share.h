// Makes shares of host directories from their config: virtio-fs and 9P.
#ifndef VMM_MACHINE_DEVICES_SHARE_H_
#define VMM_MACHINE_DEVICES_SHARE_H_

#include "absl/status/statusor.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/device_set.h"
#include "vmm/machine/share_limits.h"

namespace vmm {

// Opens the directory and reads the closure. Errors: one line with the key, the object and the
// errno.
absl::StatusOr<PlacedDevice> CreateShare(const FsConfig& config, const ShareLimits& limits,
                                         const DeviceContext& context);

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_SHARE_H_
