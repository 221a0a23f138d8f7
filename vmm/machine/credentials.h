// Reads the credentials of the config and writes them as the strings that systemd looks for in
// SMBIOS. [systemd.system-credentials(7), systemd(1) "io.systemd.credential"]
#ifndef VMM_MACHINE_CREDENTIALS_H_
#define VMM_MACHINE_CREDENTIALS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "vmm/config/vm_config.h"

namespace vmm {

// No more than this fits in the area of the SMBIOS tables, which all credentials share. systemd
// itself accepts 1 MiB for each credential.
inline constexpr size_t kMaxCredentialBytes = 65536;

// Returns `io.systemd.credential:NAME=CONTENT` if the content is printable ASCII, and
// `io.systemd.credential.binary:NAME=BASE64` for every other content. The result has no NUL.
std::string CredentialString(absl::string_view name, absl::string_view content);

// Reads the file of each credential and returns the strings in the order of the config. Errors name
// the key and the file, never the content.
absl::StatusOr<std::vector<std::string>> ReadCredentials(
    const std::vector<CredentialConfig>& credentials);

}  // namespace vmm

#endif  // VMM_MACHINE_CREDENTIALS_H_
