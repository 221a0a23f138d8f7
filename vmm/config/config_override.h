// `--set KEY.PATH=VALUE`: changes to the JSON tree before it is read.
#ifndef VMM_CONFIG_CONFIG_OVERRIDE_H_
#define VMM_CONFIG_CONFIG_OVERRIDE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "vmm/config/json_value.h"

namespace vmm {

// Returns OK if `assignment` is of the form KEY.PATH=VALUE, else one line: wrong usage.
absl::Status CheckOverrideForm(absl::string_view assignment);

// Sets what `assignment`, such as `disks[0].readonly=true`, names in `root`. The value is JSON or
// else a string; null removes the key. Objects on the way are made; a list grows by naming the
// index after its last. Whether the key exists and the value fits is found out when the tree is
// read. Errors are one line that names the assignment.
absl::Status ApplyOverride(absl::string_view assignment, JsonValue& root);

}  // namespace vmm

#endif  // VMM_CONFIG_CONFIG_OVERRIDE_H_
