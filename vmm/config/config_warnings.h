// Warnings about a valid config: entries that its author may not have meant.
#ifndef VMM_CONFIG_CONFIG_WARNINGS_H_
#define VMM_CONFIG_CONFIG_WARNINGS_H_

#include <string>
#include <vector>

#include "vmm/config/vm_config.h"

namespace vmm {

// Returns one line "KEY.PATH: what is wrong; what to do" for each suspicious entry of a validated
// config.
//
// Owner maps: warns of an entry whose host ids are in an earlier entry too. Files of these ids look
// like the earlier entry's, so the later entry's users in the guest own no file, not even the files
// that they make. There is no warning for the guest's id 0, because root need not own files.
std::vector<std::string> ConfigWarnings(const VmConfig& config);

}  // namespace vmm

#endif  // VMM_CONFIG_CONFIG_WARNINGS_H_
