// Key paths such as `disks[0].path`, and text that is safe to put on one line of an error message.
#ifndef VMM_CONFIG_KEY_PATH_H_
#define VMM_CONFIG_KEY_PATH_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace vmm {

// Returns the UTF-8 `text` with control characters escaped as \xNN, cut after `max_bytes`. Whatever
// it holds, it stays on one line and cannot steer a terminal.
std::string Printable(absl::string_view text, size_t max_bytes = 64);

// Returns `parent`.`key`, or `key` alone at the top; the key is made printable.
std::string JoinKey(absl::string_view parent, absl::string_view key);
// Returns `parent`[`index`].
std::string JoinIndex(absl::string_view parent, size_t index);

// Returns the candidate most like `word`, or "" if none is near enough to be what was meant.
absl::string_view Nearest(absl::string_view word, const std::vector<absl::string_view>& candidates);

}  // namespace vmm

#endif  // VMM_CONFIG_KEY_PATH_H_
