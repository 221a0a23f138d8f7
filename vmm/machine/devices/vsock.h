// Makes the virtio socket device from its config.
#ifndef VMM_MACHINE_DEVICES_VSOCK_H_
#define VMM_MACHINE_DEVICES_VSOCK_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/device_set.h"

namespace vmm {

// Listens at the socket. The loop of `context` takes temporary files. Each connection needs a
// descriptor. Errors: one line with the key, the socket and the errno.
absl::StatusOr<PlacedDevice> CreateVsock(const VsockConfig& config, size_t max_connections,
                                         const DeviceContext& context);

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_VSOCK_H_
