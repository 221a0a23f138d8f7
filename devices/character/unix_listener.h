// A listening Unix socket with a path of its own.
#ifndef DEVICES_CHARACTER_UNIX_LISTENER_H_
#define DEVICES_CHARACTER_UNIX_LISTENER_H_

#include <sys/types.h>

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace devices {

class UnixListener {
 public:
  // Listens at `path`, mode 0600. A socket that nobody listens on any more (left by a program that
  // was killed) is replaced. Errors: AlreadyExists if somebody listens or `path` is something else,
  // InvalidArgument if it is too long, or bind's errno.
  static absl::StatusOr<UnixListener> Create(const std::string& path);
  UnixListener(UnixListener&& other) noexcept = default;
  UnixListener& operator=(UnixListener&& other) = delete;
  // Removes the path if it still is this socket's.
  ~UnixListener();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }

 private:
  UnixListener(base::UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  base::UniqueFd fd_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_UNIX_LISTENER_H_
