// Makes the virtio console from its config.
#ifndef VMM_MACHINE_DEVICES_CONSOLE_H_
#define VMM_MACHINE_DEVICES_CONSOLE_H_

#include "absl/status/statusor.h"
#include "devices/character/character_backend.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/device_set.h"

namespace vmm {

// `backend` outlives the device. Its loop is the loop that context.next_loop() returns.
absl::StatusOr<PlacedDevice> CreateConsole(const ConsoleConfig& config,
                                           devices::CharacterBackend& backend,
                                           const DeviceContext& context);

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_CONSOLE_H_
