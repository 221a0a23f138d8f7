// Reads a VmConfig from a JSON tree: checks the types, ranges and names of keys, one key at a time.
#ifndef VMM_CONFIG_CONFIG_READER_H_
#define VMM_CONFIG_CONFIG_READER_H_

#include <string>

#include "absl/status/statusor.h"
#include "vmm/config/json_value.h"
#include "vmm/config/vm_config.h"

namespace vmm {

struct PathRules {
  // The directory that relative paths are joined to; "" leaves them as they are.
  std::string base_dir = {};
  bool must_be_absolute = false;
};

// Reads `root` into a VmConfig. Rules that involve two keys are not checked yet. A null value
// counts as absent. Returns the first error found as "KEY.PATH: what is wrong; what to do".
absl::StatusOr<VmConfig> ReadVmConfig(const JsonValue& root, const PathRules& path_rules);

// Read the bodies of vm.set-rate-limit and vm.set-link, in the same way.
absl::StatusOr<RateLimitGroupConfig> ReadRateLimit(const JsonValue& root);
absl::StatusOr<LinkChange> ReadLinkChange(const JsonValue& root);

}  // namespace vmm

#endif  // VMM_CONFIG_CONFIG_READER_H_
