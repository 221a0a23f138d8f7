// Reads and parses vm.json.
#ifndef VMM_CONFIG_LOAD_CONFIG_H_
#define VMM_CONFIG_LOAD_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "vmm/config/vm_config.h"

namespace vmm {

struct ParseOptions {
  // What messages call the text: a file name, or "request body". If empty, messages have no prefix.
  std::string source = "vm.json";
  // The directory to which relative paths are joined; "" leaves them as they are.
  std::string base_dir = {};
  // Makes relative paths an error, for texts that come from no file, such as those of the API.
  bool paths_must_be_absolute = false;
  // Assignments `KEY.PATH=VALUE`, applied in order before anything is checked.
  std::vector<std::string> overrides = {};
};

// Parses and validates a vm.json of at most 1 MiB. The result is complete: ids, PCI slots and
// max_vcpus are set. Errors are one line "SOURCE: KEY.PATH: what is wrong; what to do".
absl::StatusOr<VmConfig> ParseVmConfig(absl::string_view text, const ParseOptions& options);

// Parses and validates the body of vm.set-rate-limit: the id of a device or a group, and its new
// limits. Errors are like those of ParseVmConfig.
absl::StatusOr<RateLimitGroupConfig> ParseRateLimit(absl::string_view text,
                                                    absl::string_view source);
// Does the same with the body of vm.set-link.
absl::StatusOr<LinkChange> ParseLinkChange(absl::string_view text, absl::string_view source);

// Reads the file `path` ("-" means standard input) and parses it. Relative paths in the file are
// relative to its directory (for standard input, to the working directory). All paths of the result
// are absolute.
absl::StatusOr<VmConfig> LoadVmConfig(const std::string& path,
                                      const std::vector<std::string>& overrides);

}  // namespace vmm

#endif  // VMM_CONFIG_LOAD_CONFIG_H_
