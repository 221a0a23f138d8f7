#include "base/status.h"

#include <string.h>

#include "absl/strings/str_cat.h"

namespace base {

absl::Status ErrnoStatus(int errno_value, absl::string_view what) {
  const char* name = strerrorname_np(errno_value);
  return absl::Status(
      absl::ErrnoToStatusCode(errno_value),
      absl::StrCat(
          what, ": ",
          strerrordesc_np(errno_value) != nullptr ? strerrordesc_np(errno_value) : "unknown error",
          " (", name != nullptr ? name : "?", ")"));
}

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

absl::Status Advise(const absl::Status& status, absl::string_view advice) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(status.message(), "; ", advice));
}

}  // namespace base
