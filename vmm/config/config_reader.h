// From a JSON tree to a VmConfig: types, ranges and names of keys, one key at a time.
#ifndef VMM_CONFIG_CONFIG_READER_H_
#define VMM_CONFIG_CONFIG_READER_H_

#include <string>

#include "absl/status/statusor.h"
#include "vmm/config/json_value.h"
#include "vmm/config/vm_config.h"

namespace vmm {

struct PathRules {
  // What relative paths are joined to; "" leaves them as they are.
  std::string base_dir = {};
  bool must_be_absolute = false;
};

// Reads `root` into a VmConfig in which nothing that depends on two keys has been checked yet. A
// null is as good as no key. The first error found is returned as "KEY.PATH: what; what to do".
absl::StatusOr<VmConfig> ReadVmConfig(const JsonValue& root, const PathRules& path_rules);

}  // namespace vmm

#endif  // VMM_CONFIG_CONFIG_READER_H_
