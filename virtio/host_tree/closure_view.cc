#include "virtio/host_tree/closure_view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/thread.h"
#include "virtio/host_tree/file_name.h"

namespace virtio {
namespace {

// A larger closure, of some 4000 paths or more, is checked by listing the store.
constexpr size_t kManyBytes = 256 << 10;
// How many bytes of names a listing hands over at a time.
constexpr size_t kListedBytes = 64 << 10;

constexpr absl::string_view kClosureAdvice =
    "list full store paths, one a line, or a registration (nix-store --dump-db)";

// Lists a directory on a thread of its own. Listing takes as long as reading a large closure and
// looking for its names in the list, so both happen at the same time.
class Lister {
 public:
  Lister(int directory_fd, absl::string_view path) : directory_fd_(directory_fd), path_(path) {}
  ~Lister() {
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Start() {
    ASSIGN_OR_RETURN(thread_, base::StartThread("closure", [this] { End(List()); }));
    return absl::OkStatus();
  }

  // Returns names that were not returned before, with a NUL after each. Waits until there are some.
  // An empty result is the end of the list.
  absl::StatusOr<std::string> Take() {
    base::MutexLock lock(mutex_);
    while (names_.empty() && !ended_) changed_.Wait(mutex_);
    if (!error_.ok()) return error_;
    return std::exchange(names_, {});
  }

 private:
  absl::Status List() {
    const int fd = openat(directory_fd_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* directory = fd >= 0 ? fdopendir(fd) : nullptr;
    if (directory == nullptr) {
      absl::Status status = base::ErrnoStatus(errno, absl::StrCat(path_, ": cannot list"));
      if (fd >= 0) close(fd);
      return status;
    }
    std::string names;
    errno = 0;
    while (const dirent* entry = readdir(directory)) {
      names.append(entry->d_name, std::strlen(entry->d_name) + 1);
      if (names.size() < kListedBytes) continue;
      Give(names);
      names.clear();
      errno = 0;
    }
    const int error = errno;
    closedir(directory);
    Give(names);
    if (error == 0) return absl::OkStatus();
    return base::ErrnoStatus(error, absl::StrCat(path_, ": cannot list"));
  }

  void Give(absl::string_view names) {
    base::MutexLock lock(mutex_);
    names_.append(names.data(), names.size());
    changed_.NotifyOne();
  }

  void End(absl::Status status) {
    base::MutexLock lock(mutex_);
    error_ = std::move(status);
    ended_ = true;
    changed_.NotifyOne();
  }

  const int directory_fd_;
  const absl::string_view path_;
  base::Mutex mutex_;
  base::CondVar changed_;
  std::string names_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Returns the number of the first name that `lister` does not list.
absl::StatusOr<std::optional<size_t>> FindMissing(const NameSet& names, Lister& lister) {
  std::vector<bool> is_there(names.size());
  while (true) {
    ASSIGN_OR_RETURN(const std::string listed, lister.Take());
    if (listed.empty()) break;
    for (size_t at = 0; at < listed.size();) {
      const absl::string_view name(listed.data() + at);
      if (const auto number = names.Find(name)) is_there[*number] = true;
      at += name.size() + 1;
    }
  }
  const auto missing = std::ranges::find(is_there, false);
  if (missing == is_there.end()) return std::nullopt;
  return static_cast<size_t>(missing - is_there.begin());
}

}  // namespace

ClosureView::ClosureView(ClosureFile file, int root_fd, std::string root_path)
    : file_(std::move(file)), root_fd_(root_fd), root_path_(std::move(root_path)) {}

absl::Status ClosureView::Read() {
  ASSIGN_OR_RETURN(const std::string text, file_.Read());
  // A store has far more paths than most closures, but to list the whole store is cheaper than to
  // look for many paths one by one.
  const bool lists = visible_.size() == 0 && text.size() > kManyBytes;
  Lister lister(root_fd_, root_path_);
  if (lists) RETURN_IF_ERROR(lister.Start());
  auto names = ParseClosure(text);
  if (!names.ok()) {
    return base::Advise(base::Annotate(names.status(), file_.Name()), kClosureAdvice);
  }
  // An empty closure comes from a build that has failed or not ended yet. It would give the guest a
  // share without files.
  if (names->empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_.Name(), ": lists no store path; ", kClosureAdvice));
  }
  std::erase_if(*names, [this](absl::string_view name) { return visible_.Contains(name); });
  NameSet added;
  added.Add(*names);
  if (lists) {
    ASSIGN_OR_RETURN(const auto missing, FindMissing(added, lister));
    if (missing.has_value()) return MissingError(added[*missing]);
  } else {
    RETURN_IF_ERROR(CheckEach(added));
  }
  visible_.Add(std::move(added));
  clock_gettime(CLOCK_REALTIME, &read_at_);
  return absl::OkStatus();
}

absl::Status ClosureView::CheckEach(const NameSet& names) const {
  for (size_t i = 0; i < names.size(); ++i) {
    struct statx status;
    const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    if (statx(root_fd_, NameBuffer(names[i]).bytes, flags, 0, &status) == 0) continue;
    if (errno == ENOENT) return MissingError(names[i]);
    return base::ErrnoStatus(
        errno, absl::StrCat(file_.Name(), ": ", absl::CHexEscape(names[i]), " in ", root_path_));
  }
  return absl::OkStatus();
}

absl::Status ClosureView::MissingError(absl::string_view name) const {
  return absl::NotFoundError(absl::StrCat(file_.Name(), ": lists ", absl::CHexEscape(name),
                                          ", which is not in ", root_path_,
                                          "; build or copy it there first"));
}

}  // namespace virtio
