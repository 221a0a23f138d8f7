// Makes the virtio entropy device from its config.
#ifndef VMM_MACHINE_DEVICES_ENTROPY_H_
#define VMM_MACHINE_DEVICES_ENTROPY_H_

#include "absl/status/statusor.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/device_set.h"

namespace vmm {

// Opens the source. Errors: one line with the key, the object and the errno.
absl::StatusOr<PlacedDevice> CreateEntropy(const RngConfig& config, const DeviceContext& context);

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_ENTROPY_H_
