// Key paths such as `disks[0].path`, and text that is safe on one line of an error message.
#ifndef VMM_CONFIG_KEY_PATH_H_
#define VMM_CONFIG_KEY_PATH_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vmm {

// Returns the UTF-8 `text`, cut after `max_bytes`, with control characters escaped as \xNN. The
// result stays on one line and cannot control a terminal, whatever `text` contains.
std::string Printable(absl::string_view text, size_t max_bytes = 64);

// Returns `parent`.`key`, or only `key` at the top level. The key is made printable.
std::string JoinKey(absl::string_view parent, absl::string_view key);
// Returns `parent`[`index`].
std::string JoinIndex(absl::string_view parent, size_t index);

// Returns the error "`path`: `what`". `what` reads "what is wrong; what to do".
absl::Status Invalid(absl::string_view path, absl::string_view what);

// Returns the candidate that is most similar to `word`, or "" if none is similar enough.
absl::string_view Nearest(absl::string_view word, const std::vector<absl::string_view>& candidates);

}  // namespace vmm

#endif  // VMM_CONFIG_KEY_PATH_H_
