// Rules that involve more than one key: defaults that follow from other keys, and contradictions.
#ifndef VMM_CONFIG_CONFIG_VALIDATION_H_
#define VMM_CONFIG_CONFIG_VALIDATION_H_

#include "absl/status/status.h"
#include "vmm/config/vm_config.h"

namespace vmm {

// Fills in max_vcpus, the devices' ids and their PCI slots, and checks everything that involves
// more than one key. Idempotent. Errors read "KEY.PATH: what is wrong; what to do".
//
// Slots: a device with a pci_device_id keeps that slot. Then the console (unless Off), the rng, the
// disks, the shares and vsock take the lowest free slot each, in this order, the network devices
// the highest free slot below 31, and pvpanic the highest. A device that is added at the end of its
// list therefore moves no network device, after whose slots guests name their interfaces.
absl::Status CompleteAndValidate(VmConfig& config);

// Checks a change of the rate limits of a device or a group. Errors read as above.
absl::Status ValidateRateLimit(const RateLimitGroupConfig& change);
absl::Status ValidateLinkChange(const LinkChange& change);

}  // namespace vmm

#endif  // VMM_CONFIG_CONFIG_VALIDATION_H_
