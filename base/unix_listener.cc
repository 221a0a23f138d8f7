#include "base/unix_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace base {
namespace {

using std::chrono::milliseconds;

// The wait between two looks at a path that is in use. The wait is short at first, because usually
// a process has just been killed. It then grows, because each look at a live socket is one more
// client for the program that listens there.
constexpr milliseconds kFirstWait{1};
constexpr milliseconds kLongestWait{64};

std::string LockPath(const std::string& path) { return path + ".lock"; }

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": the name of a socket has 1 to ",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* Generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

absl::StatusOr<UniqueFd> OpenSocket(int flags) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "cannot create a socket");
  return fd;
}

int SocketOption(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

// Waits for a path that is in use, for a limited time in total.
class Patience {
 public:
  explicit Patience(const UnixListener::Options& options)
      : options_(options), left_(options.patience) {}
  // Returns false when the time is up.
  bool Wait() {
    const milliseconds delay = std::min(next_, left_);
    if (delay == milliseconds::zero()) return false;
    left_ -= delay;
    next_ = std::min(2 * next_, kLongestWait);
    if (options_.wait) {
      options_.wait(delay);
    } else {
      std::this_thread::sleep_for(delay);
    }
    return true;
  }

 private:
  const UnixListener::Options& options_;
  milliseconds left_;
  milliseconds next_ = kFirstWait;
};

// Opens and locks `path`.lock. The owner removes that file when it ends, so the file may be gone
// between being opened and being locked. A new lock file is opened then.
absl::StatusOr<UniqueFd> Lock(const std::string& path, Patience& patience) {
  const std::string lock_path = LockPath(path);
  while (true) {
    UniqueFd fd(
        open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600));
    if (!fd.valid()) {
      const int error = errno;
      return Advise(ErrnoStatus(error, absl::StrCat(lock_path, ": cannot open")),
                    error == ENOENT ? "make the folder first"
                                    : "choose a folder in which this user may make files");
    }
    flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
      if (errno != EAGAIN && errno != EACCES) {
        return ErrnoStatus(errno, absl::StrCat(lock_path, ": cannot lock"));
      }
      if (patience.Wait()) continue;
      return absl::AlreadyExistsError(absl::StrCat(path, ": in use by a running vmm, which holds ",
                                                   lock_path, "; choose another path"));
    }
    struct stat status;
    if (fstat(fd.get(), &status) == 0 && status.st_nlink > 0) return fd;
  }
}

// Returns whether a program listens on the socket at `path`.
absl::StatusOr<bool> IsAlive(const std::string& path, const sockaddr_un& address) {
  ASSIGN_OR_RETURN(const UniqueFd probe, OpenSocket(SOCK_NONBLOCK));
  if (connect(probe.get(), Generic(address), sizeof(address)) == 0) return true;
  if (errno == EAGAIN) return true;  // a program listens, but its backlog is full
  if (errno == ECONNREFUSED || errno == ENOENT) return false;
  return ErrnoStatus(errno, absl::StrCat(path, ": cannot probe"));
}

// Makes room for a socket at `path`: removes a socket that no program listens on. The lock must be
// held.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& address, Patience& patience) {
  while (true) {
    struct stat status;
    if (lstat(path.c_str(), &status) != 0) {
      return errno == ENOENT ? absl::OkStatus()
                             : ErrnoStatus(errno, absl::StrCat(path, ": cannot be looked at"));
    }
    if (!S_ISSOCK(status.st_mode)) {
      return absl::AlreadyExistsError(
          absl::StrCat(path, ": exists and is not a socket; choose another path or remove it"));
    }
    ASSIGN_OR_RETURN(const bool alive, IsAlive(path, address));
    if (!alive) break;
    if (!patience.Wait()) {
      return absl::AlreadyExistsError(
          absl::StrCat(path, ": in use: another program listens on it; choose another path"));
    }
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat(path, ": cannot remove a stale socket"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path, milliseconds patience) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  const bool waits = patience > milliseconds::zero();
  ASSIGN_OR_RETURN(UniqueFd fd, OpenSocket(waits ? 0 : SOCK_NONBLOCK));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience);
  timeval timeout = {};
  timeout.tv_sec = seconds.count();
  timeout.tv_usec = std::chrono::microseconds(patience - seconds).count();
  if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
      connect(fd.get(), Generic(address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat(path, ": cannot connect"));
  }
  return fd;
}

absl::StatusOr<UnixListener> UnixListener::Listen(const std::string& path, const Options& options) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  Patience patience(options);
  UnixListener listener;
  ASSIGN_OR_RETURN(listener.lock_, Lock(path, patience));
  // From here on the destructor removes the files that were made.
  listener.path_ = path;
  RETURN_IF_ERROR(RemoveStale(path, address, patience));
  ASSIGN_OR_RETURN(listener.fd_, OpenSocket(0));
  const int fd = listener.fd();
  // LINUX: bind() gives the file the mode that the socket has, so other users can never connect.
  if (fchmod(fd, 0600) != 0 || bind(fd, Generic(address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat(path, ": cannot create the socket"));
  }
  struct stat status;
  if (lstat(path.c_str(), &status) == 0) {
    listener.device_ = status.st_dev;
    listener.inode_ = status.st_ino;
  }
  if (listen(fd, options.backlog) != 0) {
    return ErrnoStatus(errno, absl::StrCat(path, ": cannot listen"));
  }
  return listener;
}

absl::StatusOr<UnixListener> UnixListener::Adopt(int fd) {
  if (fcntl(fd, F_GETFD) < 0) {
    return ErrnoStatus(errno,
                       absl::StrCat("fd=", fd, ": the program that started vmm did not pass it"));
  }
  if (SocketOption(fd, SO_DOMAIN) != AF_UNIX || SocketOption(fd, SO_TYPE) != SOCK_STREAM ||
      SocketOption(fd, SO_ACCEPTCONN) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "fd=", fd, ": not a listening Unix stream socket; let the unit's socket pass one"));
  }
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return ErrnoStatus(errno, absl::StrCat("fd=", fd));
  UnixListener listener;
  listener.fd_.reset(fd);
  return listener;
}

UnixListener::UnixListener(UnixListener&& other) noexcept
    : path_(std::exchange(other.path_, std::string())),
      lock_(std::move(other.lock_)),
      fd_(std::move(other.fd_)),
      device_(other.device_),
      inode_(other.inode_) {}

UnixListener::~UnixListener() {
  if (path_.empty()) return;
  struct stat status;
  if (lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) {
    unlink(path_.c_str());
  }
  unlink(LockPath(path_).c_str());  // this object owns the name as long as lock_ is open
}

}  // namespace base
