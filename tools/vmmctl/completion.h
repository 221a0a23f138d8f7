// Completion scripts for shells, made from the table of commands. Pure.
#ifndef TOOLS_VMMCTL_COMPLETION_H_
#define TOOLS_VMMCTL_COMPLETION_H_

#include <string>

#include "absl/strings/string_view.h"

namespace vmmctl {

// Returns the completion script for `shell`, which is "bash", "zsh" or "fish".
std::string Completion(absl::string_view shell);

}  // namespace vmmctl

#endif  // TOOLS_VMMCTL_COMPLETION_H_
