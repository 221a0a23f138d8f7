// Makes virtio network devices from their config.
#ifndef VMM_MACHINE_DEVICES_NET_H_
#define VMM_MACHINE_DEVICES_NET_H_

#include "absl/status/statusor.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/device_set.h"

namespace vmm {

// Opens the TAP interface or connects to passt. Each queue pair gets a loop of the context. Errors:
// one line with the key, the object and the errno.
absl::StatusOr<PlacedDevice> CreateNet(const NetConfig& config, const DeviceContext& context);

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_NET_H_
