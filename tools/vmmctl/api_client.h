// One request to the control socket of a running vmm.
#ifndef TOOLS_VMMCTL_API_CLIENT_H_
#define TOOLS_VMMCTL_API_CLIENT_H_

#include <chrono>
#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace vmmctl {

inline constexpr size_t kMaxAnswerBytes = 64 << 20;

// Sends `method` /api/v1/`endpoint` with `body` (JSON, or empty for none) to the Unix socket
// `path`, and returns the answer's body, at most kMaxAnswerBytes. Blocks for up to `timeout`.
// Errors, each one line that says what to do: why the socket cannot be reached ("PATH: ..."), or
// why vmm refuses ("ENDPOINT: REASON (HTTP STATUS)").
absl::StatusOr<std::string> CallApi(const std::string& path, std::chrono::milliseconds timeout,
                                    const std::string& method, const std::string& endpoint,
                                    const std::string& body);

}  // namespace vmmctl

#endif  // TOOLS_VMMCTL_API_CLIENT_H_
