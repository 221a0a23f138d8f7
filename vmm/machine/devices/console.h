// Makes the virtio console from its config.
#ifndef VMM_MACHINE_DEVICES_CONSOLE_H_
#define VMM_MACHINE_DEVICES_CONSOLE_H_

#include "absl/status/statusor.h"
#include "devices/character/character_backend.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/device_set.h"

namespace vmm {

// `backend` outlives the device; its loop is the one that the context deals out.
absl::StatusOr<PlacedDevice> CreateConsole(const ConsoleConfig& config,
                                           devices::CharacterBackend& backend,
                                           const DeviceContext& context);

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_CONSOLE_H_
