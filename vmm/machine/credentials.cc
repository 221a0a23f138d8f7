#include "vmm/machine/credentials.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "vmm/config/key_path.h"
#include "vmm/machine/guest_loader.h"

namespace vmm {
namespace {

absl::StatusOr<std::string> PathOf(const std::string& key, const CredentialConfig& credential) {
  if (credential.file.has_value()) return *credential.file;
  const char* const directory = getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0') {
    return Invalid(key,
                   "has no file, and $CREDENTIALS_DIRECTORY is not set; give a file, or load the "
                   "credential in vmm's unit with LoadCredential=");
  }
  return absl::StrCat(directory, "/", credential.name);
}

absl::StatusOr<std::string> ReadContent(const std::string& key, const std::string& path) {
  ASSIGN_OR_RETURN(const base::UniqueFd fd, OpenRegularFile(key, path));
  std::string content(kMaxCredentialBytes + 1, '\0');  // one more, to notice a longer file
  size_t bytes = 0;
  while (bytes < content.size()) {
    const ssize_t n = read(fd.get(), content.data() + bytes, content.size() - bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::ErrnoStatus(errno, absl::StrCat(key, ": ", path, ": cannot read"));
    if (n == 0) break;
    bytes += static_cast<size_t>(n);
  }
  if (bytes > kMaxCredentialBytes) {
    return Invalid(key, absl::StrCat(path, ": is longer than ", kMaxCredentialBytes,
                                     " bytes, which do not fit in SMBIOS; shorten it"));
  }
  content.resize(bytes);
  return content;
}

}  // namespace

std::string CredentialString(absl::string_view name, absl::string_view content) {
  const bool is_text =
      std::all_of(content.begin(), content.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  if (is_text) return absl::StrCat("io.systemd.credential:", name, "=", content);
  return absl::StrCat("io.systemd.credential.binary:", name, "=", absl::Base64Escape(content));
}

absl::StatusOr<std::vector<std::string>> ReadCredentials(
    const std::vector<CredentialConfig>& credentials) {
  std::vector<std::string> strings;
  for (const CredentialConfig& credential : credentials) {
    const std::string key = JoinKey("platform.credentials", credential.name);
    ASSIGN_OR_RETURN(const std::string path, PathOf(key, credential));
    ASSIGN_OR_RETURN(const std::string content, ReadContent(key, path));
    strings.push_back(CredentialString(credential.name, content));
  }
  return strings;
}

}  // namespace vmm
