// How many descriptors and how much memory each share may use for its guest.
#ifndef VMM_MACHINE_SHARE_LIMITS_H_
#define VMM_MACHINE_SHARE_LIMITS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/config/vm_config.h"

namespace vmm {

struct ShareLimits {
  // Descriptors for files. If files of the share may change, these are the files that the guest has
  // open; otherwise, those that the share keeps open for the guest.
  uint32_t open_files = 0;
  uint32_t directories = 0;  // descriptors for directories
  uint64_t node_bytes = 0;   // memory for the nodes (files and directories) that the guest knows
};

// Divides the `max_descriptors` that the process may have, less those that the rest of the program
// needs, between the shares. First each share gets the open files that its config asks for. The
// rest is divided equally: each share gets half of its part for directories, and the other half for
// open files if its config does not ask for a number. `ram_bytes` is the size of the guest's RAM.
// Error: InvalidArgument with the key, if a config asks for more than is left.
absl::StatusOr<std::vector<ShareLimits>> LimitsOfShares(const std::vector<FsConfig>& shares,
                                                        uint64_t max_descriptors,
                                                        uint64_t ram_bytes);

}  // namespace vmm

#endif  // VMM_MACHINE_SHARE_LIMITS_H_
