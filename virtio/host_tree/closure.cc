#include "virtio/host_tree/closure.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace virtio {
namespace {

constexpr size_t kMaxNameBytes = 255;  // NAME_MAX
constexpr absl::string_view kOpenAdvice = "name a file that this user may read";

// Takes lines off the front of a text and counts them.
class Lines {
 public:
  explicit Lines(absl::string_view text) : rest_(text) {}
  bool AtEnd() const { return rest_.empty(); }
  absl::string_view Next() {
    const size_t end = std::min(rest_.find('\n'), rest_.size());
    const absl::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ++number_;
    return line;
  }
  absl::string_view Peek() const { return Lines(*this).Next(); }
  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", number_, ": ", what));
  }

 private:
  absl::string_view rest_;
  size_t number_ = 0;
};

// Collects base names and checks that their paths are of one store.
class Names {
 public:
  absl::Status Add(const Lines& lines, absl::string_view path) {
    const size_t slash = path.rfind('/');
    if (path.empty() || path.front() != '/') return lines.Error("no absolute path");
    const absl::string_view name = path.substr(slash + 1);
    if (name.empty() || name == "." || name == ".." || name.size() > kMaxNameBytes ||
        absl::string_view::npos != name.find('\0')) {
      return lines.Error("the path does not end in a file name");
    }
    const absl::string_view store = path.substr(0, slash);
    if (!names_.empty() && store != store_) {
      return lines.Error("not in the same directory as the paths before");
    }
    store_ = store;
    names_.push_back(name);
    return absl::OkStatus();
  }
  std::vector<absl::string_view> Take() { return std::move(names_); }

 private:
  absl::string_view store_;
  std::vector<absl::string_view> names_;
};

// Skips what a registration says about a path: hash, size, deriver, references.
absl::Status SkipRegistration(Lines& lines) {
  for (int i = 0; i < 3; ++i) {
    if (lines.AtEnd()) return lines.Error("the registration of a path is cut short");
    lines.Next();
  }
  uint64_t references = 0;
  if (lines.AtEnd() || !absl::SimpleAtoi(lines.Next(), &references)) {
    return lines.Error("the number of references is missing");
  }
  for (; references > 0; --references) {
    if (lines.AtEnd()) return lines.Error("the registration of a path is cut short");
    lines.Next();
  }
  return absl::OkStatus();
}

bool IsRegistration(Lines lines) {
  if (!lines.AtEnd()) lines.Next();
  if (lines.AtEnd()) return false;
  const absl::string_view second = lines.Peek();
  return !second.empty() && second.front() != '/';
}

}  // namespace

absl::StatusOr<std::vector<absl::string_view>> ParseClosure(absl::string_view text) {
  Lines lines(text);
  Names names;
  const bool registration = IsRegistration(lines);
  while (!lines.AtEnd()) {
    const absl::string_view line = lines.Next();
    if (line.empty() && !registration) continue;
    RETURN_IF_ERROR(names.Add(lines, line));
    if (registration) RETURN_IF_ERROR(SkipRegistration(lines));
  }
  return names.Take();
}

ClosureFile::ClosureFile(std::string name, std::string path, base::UniqueFd directory)
    : name_(std::move(name)), path_(std::move(path)), directory_(std::move(directory)) {}

absl::StatusOr<ClosureFile> ClosureFile::Open(std::string name, std::string path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path.substr(0, slash);
  base::UniqueFd directory(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) {
    return base::Advise(
        base::ErrnoStatus(errno, absl::StrCat(name, ": ", path, ": cannot open its directory")),
        kOpenAdvice);
  }
  return ClosureFile(std::move(name), std::move(path), std::move(directory));
}

std::string ClosureFile::Name() const { return absl::StrCat(name_, ": ", path_); }

absl::StatusOr<std::string> ClosureFile::Read() const {
  const std::string base_name = path_.substr(path_.rfind('/') + 1);
  const base::UniqueFd fd(
      openat(directory_.get(), base_name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) {
    return base::Advise(base::ErrnoStatus(errno, absl::StrCat(Name(), ": cannot open")),
                        kOpenAdvice);
  }
  struct stat file;
  if (fstat(fd.get(), &file) != 0) return base::ErrnoStatus(errno, Name());
  if (!S_ISREG(file.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(Name(), ": not a regular file; ", kOpenAdvice));
  }
  if (file.st_size > static_cast<off_t>(kMaxBytes)) {
    return absl::InvalidArgumentError(absl::StrCat(Name(), ": larger than 256 MiB"));
  }
  std::string text(static_cast<size_t>(file.st_size), '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::ErrnoStatus(errno, absl::StrCat(Name(), ": cannot read"));
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  return text;
}

void NameSet::Add(const std::vector<absl::string_view>& names) {
  if (names.empty()) return;  // a closure that is read again often has no new names
  size_t bytes = 0;
  for (const absl::string_view name : names) bytes += name.size();
  storage_.push_back(std::make_unique_for_overwrite<char[]>(bytes));
  char* next = storage_.back().get();
  names_.reserve(names_.size() + names.size());
  numbers_.reserve(names_.size() + names.size());
  for (const absl::string_view name : names) {
    next = std::copy(name.begin(), name.end(), next);
    AddKept(absl::string_view(next - name.size(), name.size()));
  }
}

void NameSet::Add(NameSet other) {
  if (names_.empty()) {
    *this = std::move(other);
    return;
  }
  for (auto& names : other.storage_) storage_.push_back(std::move(names));
  for (const absl::string_view name : other.names_) AddKept(name);
}

void NameSet::AddKept(absl::string_view name) {
  if (numbers_.emplace(name, names_.size()).second) names_.push_back(name);
}

std::optional<size_t> NameSet::Find(absl::string_view name) const {
  // Starts must be quick, and an empty set needs no hash of the name.
  if (numbers_.empty()) return std::nullopt;
  const auto found = numbers_.find(name);
  if (found == numbers_.end()) return std::nullopt;
  return found->second;
}

}  // namespace virtio
