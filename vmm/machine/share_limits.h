// What each share may take of the host for what its guest knows and has open.
#ifndef VMM_MACHINE_SHARE_LIMITS_H_
#define VMM_MACHINE_SHARE_LIMITS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/config/vm_config.h"

namespace vmm {

struct ShareLimits {
  // Descriptors. Of files: what the guest has open in a share in which something may change, else
  // what is kept open for it.
  uint32_t open_files = 0;
  uint32_t directories = 0;
  uint64_t node_bytes = 0;  // of memory, for what the guest knows
};

// Divides the `max_descriptors` that the process may have, less those of the rest of it, between
// the shares: each gets the files that its config asks for, or half of an equal part of what is
// left, and the other half for directories. `ram_bytes` is the guest's. Errors: InvalidArgument,
// for a config that asks for more than there are, with the key.
absl::StatusOr<std::vector<ShareLimits>> LimitsOfShares(const std::vector<FsConfig>& shares,
                                                        uint64_t max_descriptors,
                                                        uint64_t ram_bytes);

}  // namespace vmm

#endif  // VMM_MACHINE_SHARE_LIMITS_H_
