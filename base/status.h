// Status helpers: errno with context, and the two propagation macros that abseil 20220623 lacks.
#ifndef BASE_STATUS_H_
#define BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace base {

// Returns "`what`: strerror(errno_value) (ERRNO)" with the matching status code. `what` names the
// object and the operation, e.g. `disks[0].path: /x.raw: cannot open`.
absl::Status ErrnoStatus(int errno_value, absl::string_view what);

// Returns `status` with "`context`: " in front of its message; an OK status stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// Returns `status` with "; `advice`" after its message. `advice` says what the user can do about
// the error.
absl::Status Advise(const absl::Status& status, absl::string_view advice);

}  // namespace base

#define RETURN_IF_ERROR(expr)                                         \
  do {                                                                \
    if (absl::Status status_ = (expr); !status_.ok()) return status_; \
  } while (false)

#define BASE_STATUS_CONCAT_INNER(a, b) a##b
#define BASE_STATUS_CONCAT(a, b) BASE_STATUS_CONCAT_INNER(a, b)

// ASSIGN_OR_RETURN(auto value, Function()); expands to several statements, so an `if` around it
// needs braces.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_INNER(BASE_STATUS_CONCAT(status_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_INNER(tmp, lhs, expr)   \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = std::move(tmp).value()

#endif  // BASE_STATUS_H_
