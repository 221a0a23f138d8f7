// A listening Unix socket: one with a path of its own, or one that was passed in.
#ifndef BASE_UNIX_LISTENER_H_
#define BASE_UNIX_LISTENER_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace base {

class UnixListener {
 public:
  struct Options {
    int backlog = 4;  // clients that wait to be accepted; a connect beyond them waits or fails
    // How long a path may stay in use before that is an error. The ring of a process that was
    // killed closes the listener some milliseconds after the process is gone.
    std::chrono::milliseconds patience{1000};
    // Waits so long before the next look. For tests; default: the calling thread sleeps.
    std::function<void(std::chrono::milliseconds)> wait = {};
  };

  // Listens at `path`, mode 0600, on a stream socket. PATH.lock, locked as long as this object
  // lives, decides who owns the path: only its owner removes a socket from there, and only one that
  // nobody listens on. Blocks for up to `patience` while somebody else owns the path or listens.
  // Errors, all starting with "PATH: ": AlreadyExists if the path stays in use or is no socket,
  // InvalidArgument if it is too long for a socket, or errno.
  static absl::StatusOr<UnixListener> Listen(const std::string& path, const Options& options);
  static absl::StatusOr<UnixListener> Listen(const std::string& path) {
    return Listen(path, Options());
  }
  // Takes over a listening Unix stream socket, as systemd passes it; its name stays with whoever
  // made it. Errors, all starting with "fd=N: ", say what `fd` is instead.
  static absl::StatusOr<UnixListener> Adopt(int fd);

  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&& other) = delete;
  // Removes the names that Listen made, if they are still its own.
  ~UnixListener();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }  // empty after Adopt

 private:
  UnixListener() = default;

  std::string path_;
  UniqueFd lock_;
  UniqueFd fd_;
  dev_t device_ = 0;  // of the socket's name
  ino_t inode_ = 0;
};

}  // namespace base

#endif  // BASE_UNIX_LISTENER_H_
