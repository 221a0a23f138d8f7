// Unix stream sockets: listening sockets, which are created at a path or were passed in, and
// connections to the sockets of other programs.
#ifndef BASE_UNIX_LISTENER_H_
#define BASE_UNIX_LISTENER_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace base {

// Connects to the socket at `path`. Blocks for up to `patience` while as many clients wait there as
// the program at the other end allows; passt allows one. With no patience, never blocks, and the
// socket does not block either. Errors, all starting with "PATH: ":
// InvalidArgument if the path is too long for a socket, or errno (EAGAIN when the time is up).
absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path, std::chrono::milliseconds patience);

class UnixListener {
 public:
  struct Options {
    int backlog = 4;  // clients that may wait to be accepted; a further connect waits or fails
    // How long a path may stay in use before Listen fails. LINUX: the io_uring of a killed process
    // closes the listener some milliseconds after the process has gone.
    std::chrono::milliseconds patience{1000};
    // Waits before the next look at the path. For tests; by default the calling thread sleeps.
    std::function<void(std::chrono::milliseconds)> wait = {};
  };

  // Listens at `path`, mode 0600, on a stream socket. The owner of the lock on PATH.lock, which is
  // held as long as this object lives, owns the path: only the owner removes a socket from the
  // path, and only if no program listens on it. Blocks for up to `patience` while another program
  // owns the path or listens. Errors, all starting with "PATH: ": AlreadyExists if the path stays
  // in use or is no socket, InvalidArgument if the path is too long for a socket, or errno.
  static absl::StatusOr<UnixListener> Listen(const std::string& path, const Options& options);
  static absl::StatusOr<UnixListener> Listen(const std::string& path) {
    return Listen(path, Options());
  }
  // Takes over a listening Unix stream socket, as systemd passes it. The program that made the
  // socket keeps its name. Errors, all starting with "fd=N: ", say what `fd` is instead.
  static absl::StatusOr<UnixListener> Adopt(int fd);

  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&& other) = delete;
  // Removes the files that Listen made, if they still belong to this object.
  ~UnixListener();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }  // empty after Adopt

 private:
  UnixListener() = default;

  std::string path_;
  UniqueFd lock_;
  UniqueFd fd_;
  dev_t device_ = 0;  // device and inode of the socket's file
  ino_t inode_ = 0;
};

}  // namespace base

#endif  // BASE_UNIX_LISTENER_H_
