#include "vmm/config/load_config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "vmm/config/config_override.h"
#include "vmm/config/config_reader.h"
#include "vmm/config/config_validation.h"
#include "vmm/config/json_value.h"
#include "vmm/config/key_path.h"

namespace vmm {
namespace {

// Reads until the end of the file, or until the text is longer than the limit.
absl::StatusOr<std::string> ReadAll(int fd) {
  std::string text;
  size_t used = 0;
  while (used <= kMaxJsonBytes) {
    text.resize(used + 16384);
    const ssize_t count = ::read(fd, text.data() + used, text.size() - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          base::ErrnoStatus(errno, "cannot read").message(), "; check what --config names"));
    }
    if (count == 0) break;
    used += static_cast<size_t>(count);
  }
  text.resize(used);
  return text;
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  if (path == "-") return ReadAll(STDIN_FILENO);
  // If the path is a FIFO, this waits for a writer, so that `--config <(generate)` works.
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid())
    return absl::InvalidArgumentError(absl::StrCat(
        base::ErrnoStatus(errno, "cannot open").message(), "; check what --config names"));
  return ReadAll(fd.get());
}

// Returns the absolute directory to which relative paths in the config file `path` are joined.
absl::StatusOr<std::string> BaseDir(const std::string& path) {
  const size_t slash = path == "-" ? std::string::npos : path.rfind('/');
  std::string dir = slash == std::string::npos ? "" : path.substr(0, slash);
  if (absl::StartsWith(path, "/")) return dir;
  char cwd[PATH_MAX];
  if (::getcwd(cwd, sizeof(cwd)) == nullptr) {
    return base::ErrnoStatus(errno, "cannot find the working directory");
  }
  return dir.empty() ? std::string(cwd) : absl::StrCat(cwd, "/", dir);
}

absl::StatusOr<VmConfig> Parse(absl::string_view text, const ParseOptions& options) {
  ASSIGN_OR_RETURN(JsonValue root, ParseJson(text));
  for (const std::string& assignment : options.overrides) {
    RETURN_IF_ERROR(ApplyOverride(assignment, root));
  }
  ASSIGN_OR_RETURN(VmConfig config,
                   ReadVmConfig(root, {.base_dir = options.base_dir,
                                       .must_be_absolute = options.paths_must_be_absolute}));
  RETURN_IF_ERROR(CompleteAndValidate(config));
  return config;
}

// Parses the body of a request with the functions of its type.
template <typename T>
absl::StatusOr<T> ParseBody(absl::string_view text, absl::string_view source,
                            absl::StatusOr<T> (*read)(const JsonValue&),
                            absl::Status (*validate)(const T&)) {
  const auto parse = [&]() -> absl::StatusOr<T> {
    ASSIGN_OR_RETURN(const JsonValue root, ParseJson(text));
    ASSIGN_OR_RETURN(T body, read(root));
    RETURN_IF_ERROR(validate(body));
    return body;
  };
  absl::StatusOr<T> body = parse();
  if (body.ok()) return body;
  return base::Annotate(body.status(), source);
}

}  // namespace

absl::StatusOr<VmConfig> ParseVmConfig(absl::string_view text, const ParseOptions& options) {
  absl::StatusOr<VmConfig> config = Parse(text, options);
  if (config.ok() || options.source.empty()) return config;
  return base::Annotate(config.status(), options.source);
}

absl::StatusOr<RateLimitGroupConfig> ParseRateLimit(absl::string_view text,
                                                    absl::string_view source) {
  return ParseBody(text, source, ReadRateLimit, ValidateRateLimit);
}

absl::StatusOr<LinkChange> ParseLinkChange(absl::string_view text, absl::string_view source) {
  return ParseBody(text, source, ReadLinkChange, ValidateLinkChange);
}

absl::StatusOr<VmConfig> LoadVmConfig(const std::string& path,
                                      const std::vector<std::string>& overrides) {
  const std::string source = path == "-" ? "standard input" : Printable(path, PATH_MAX);
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return base::Annotate(text.status(), source);
  absl::StatusOr<std::string> base_dir = BaseDir(path);
  if (!base_dir.ok()) return base::Annotate(base_dir.status(), source);
  return ParseVmConfig(
      *text, {.source = source, .base_dir = *std::move(base_dir), .overrides = overrides});
}

}  // namespace vmm
