#include "vmm/machine/devices/vsock.h"

#include <utility>

#include "base/status.h"
#include "virtio/vsock/vsock_device.h"

namespace vmm {

absl::StatusOr<PlacedDevice> CreateVsock(const VsockConfig& config, size_t max_connections,
                                         const DeviceContext& context) {
  auto device = virtio::VsockDevice::Create({.id = config.id,
                                             .guest_cid = *config.cid,
                                             .path = config.socket,
                                             .max_connections = max_connections},
                                            context.next_loop(), context.memory);
  if (!device.ok()) return base::Annotate(device.status(), "vsock.socket");
  return Place(*std::move(device), config);
}

}  // namespace vmm
