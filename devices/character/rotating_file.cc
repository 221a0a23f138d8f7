#include "devices/character/rotating_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace devices {
namespace {

// Returns whether `name` in `directory` is the open file `fd`.
bool Names(int directory, const std::string& name, int fd) {
  struct stat named, opened;
  return fstatat(directory, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         fstat(fd, &opened) == 0 && named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

// Returns `path` without symbolic links, or an empty string with errno set if nothing is there.
std::string RealPath(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), free);
  return real != nullptr ? std::string(real.get()) : std::string();
}

// Clears O_NONBLOCK, because io_uring takes it as "never retry" on file systems that cannot write
// without waiting. Sets O_APPEND, so that a file that another program empties gets no hole at its
// beginning.
void MakeAppending(int fd) { fcntl(fd, F_SETFL, O_APPEND); }

}  // namespace

RotatingFile::RotatingFile(base::UniqueFd file, const std::string& path) : file_(std::move(file)) {
  MakeAppending(file_.get());
  predecessor_error_ = OpenPredecessor(path);
  if (!predecessor_error_.empty()) predecessor_.reset();
}

// Returns what is wrong, or an empty string.
std::string RotatingFile::OpenPredecessor(const std::string& path) {
  // If a link leads to the file, the names beside the file are exchanged, not the names beside the
  // link.
  const std::string real = RealPath(path);
  const size_t slash = real.rfind('/');
  if (slash == std::string::npos) return absl::StrCat(path, ": ", std::strerror(errno));
  const std::string folder = real.substr(0, slash + 1);
  name_ = real.substr(slash + 1);
  predecessor_name_ = name_ + ".old";
  directory_.reset(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory_.valid()) return absl::StrCat(folder, ": ", std::strerror(errno));
  if (!Names(directory_.get(), name_, file_.get())) {
    return absl::StrCat(real, ": was replaced while it was being opened");
  }
  const std::string old = absl::StrCat(real, ".old");
  // O_NONBLOCK: the path may be a FIFO.
  predecessor_.reset(openat(directory_.get(), predecessor_name_.c_str(),
                            O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                            0600));
  if (!predecessor_.valid()) {
    return absl::StrCat(old, ": ", errno == ELOOP ? "is a symbolic link" : std::strerror(errno));
  }
  struct stat status;
  if (fstat(predecessor_.get(), &status) != 0) return absl::StrCat(old, ": ", std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return absl::StrCat(old, ": is no regular file");
  if (Names(directory_.get(), name_, predecessor_.get())) {
    return absl::StrCat(old, ": is the same file as ", name_);
  }
  MakeAppending(predecessor_.get());
  return {};
}

RotatingFile::Rotation RotatingFile::Rotate() {
  if (!directory_.valid() || !Names(directory_.get(), name_, file_.get())) {
    return {.outcome = Outcome::kLost,
            .predecessor_emptied = false,
            .error = "the file was moved, removed or replaced"};
  }
  if (!predecessor_.valid()) return StartOver(false, predecessor_error_);
  if (!Names(directory_.get(), predecessor_name_, predecessor_.get())) {
    return StartOver(false, predecessor_name_ + " was moved, removed or replaced");
  }
  // Empties the predecessor before the exchange, so that FILE never has the older output.
  if (ftruncate(predecessor_.get(), 0) != 0) {
    return StartOver(false, absl::StrCat(predecessor_name_, ": ", std::strerror(errno)));
  }
  if (renameat2(directory_.get(), name_.c_str(), directory_.get(), predecessor_name_.c_str(),
                RENAME_EXCHANGE) != 0) {
    return StartOver(true, absl::StrCat("cannot exchange it with ", predecessor_name_, ": ",
                                        std::strerror(errno)));
  }
  std::swap(file_, predecessor_);
  return {.outcome = Outcome::kExchanged, .predecessor_emptied = true, .error = {}};
}

RotatingFile::Rotation RotatingFile::StartOver(bool predecessor_emptied, std::string error) {
  Rotation rotation = {.outcome = Outcome::kStartedOver,
                       .predecessor_emptied = predecessor_emptied,
                       .error = std::move(error)};
  if (ftruncate(file_.get(), 0) != 0) {
    rotation.outcome = Outcome::kLost;
    rotation.error = absl::StrCat("cannot be emptied: ", std::strerror(errno));
  }
  return rotation;
}

}  // namespace devices
