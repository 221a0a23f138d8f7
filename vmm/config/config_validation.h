// What takes more than one key to decide: defaults that follow from others, and contradictions.
#ifndef VMM_CONFIG_CONFIG_VALIDATION_H_
#define VMM_CONFIG_CONFIG_VALIDATION_H_

#include "absl/status/status.h"
#include "vmm/config/vm_config.h"

namespace vmm {

// Fills in max_vcpus, the devices' ids and their PCI slots, and checks everything that involves
// more than one key. Idempotent. Errors read "KEY.PATH: what; what to do".
//
// Slots: what has a pci_device_id keeps it; then console (unless Off), rng, the disks and
// the shares in their order take the lowest free slot each, and pvpanic the highest. So what is
// added at the end moves nothing.
absl::Status CompleteAndValidate(VmConfig& config);

}  // namespace vmm

#endif  // VMM_CONFIG_CONFIG_VALIDATION_H_
