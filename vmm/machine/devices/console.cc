#include "vmm/machine/devices/console.h"

#include <memory>

#include "virtio/console/console_device.h"

namespace vmm {

absl::StatusOr<PlacedDevice> CreateConsole(const ConsoleConfig& config,
                                           devices::CharacterBackend& backend,
                                           const DeviceContext& context) {
  return Place(std::make_unique<virtio::ConsoleDevice>(config.id, context.next_loop(),
                                                       context.memory, backend),
               config);
}

}  // namespace vmm
