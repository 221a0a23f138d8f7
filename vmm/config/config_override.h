// `--set KEY.PATH=VALUE`: changes to the JSON tree before the config is read from it.
#ifndef VMM_CONFIG_CONFIG_OVERRIDE_H_
#define VMM_CONFIG_CONFIG_OVERRIDE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "vmm/config/json_value.h"

namespace vmm {

// Returns OK if `assignment` has the form KEY.PATH=VALUE. Otherwise returns one line about wrong
// usage.
absl::Status CheckOverrideForm(absl::string_view assignment);

// Sets the value in `root` that `assignment`, such as `disks[0].readonly=true`, names. The value is
// JSON, or a string if it is no JSON; null removes the key. Missing objects in the path are made,
// and a list grows if the path names the index after its last. Reading the tree later checks
// whether the key exists and the value fits. Errors are one line that names the assignment.
absl::Status ApplyOverride(absl::string_view assignment, JsonValue& root);

}  // namespace vmm

#endif  // VMM_CONFIG_CONFIG_OVERRIDE_H_
