// Rules for network devices that involve more than one key.
#ifndef VMM_CONFIG_NET_VALIDATION_H_
#define VMM_CONFIG_NET_VALIDATION_H_

#include "absl/status/status.h"
#include "vmm/config/vm_config.h"

namespace vmm {

// Fills in the addresses of the guest's interfaces and the number of queues of inherited
// descriptors, and checks everything about network devices except their rate limits. Idempotent.
// Errors read as those of CompleteAndValidate.
absl::Status CompleteAndValidateNets(VmConfig& config);

}  // namespace vmm

#endif  // VMM_CONFIG_NET_VALIDATION_H_
