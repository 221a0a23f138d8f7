#include "vmm/api/api_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace vmm {
namespace {

constexpr int kBacklog = 64;

std::string LockPath(const std::string& path) { return path + ".lock"; }

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("--api-socket: ", path,
                                                   ": the name of a socket has 1 to ",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* Generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

absl::Status LockOpenError(int error, const std::string& lock_path) {
  const absl::Status status =
      base::ErrnoStatus(error, absl::StrCat("--api-socket: ", lock_path, ": cannot open"));
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(), error == ENOENT
                                         ? "; make the folder first"
                                         : "; choose a folder in which this user may make files"));
}

// Opens and locks `path`.lock. The owner removes the file when it ends, so the file that was opened
// may be gone by the time it is locked: then there is a new one, or none.
absl::StatusOr<base::UniqueFd> Lock(const std::string& path) {
  const std::string lock_path = LockPath(path);
  while (true) {
    base::UniqueFd fd(
        open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600));
    if (!fd.valid()) return LockOpenError(errno, lock_path);
    flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
      if (errno == EAGAIN || errno == EACCES) {
        return absl::AlreadyExistsError(absl::StrCat("--api-socket: ", path,
                                                     ": in use by a running vmm, which holds ",
                                                     lock_path, "; choose another path"));
      }
      return base::ErrnoStatus(errno, absl::StrCat("--api-socket: ", lock_path, ": cannot lock"));
    }
    struct stat status;
    if (fstat(fd.get(), &status) == 0 && status.st_nlink > 0) return fd;
  }
}

// Makes room for a socket at `path`: removes one that nobody listens on.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return base::ErrnoStatus(errno, absl::StrCat("--api-socket: ", path));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return absl::AlreadyExistsError(absl::StrCat(
        "--api-socket: ", path, ": exists and is not a socket; choose another path or remove it"));
  }
  base::UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return base::ErrnoStatus(errno, "--api-socket: cannot create a socket");
  if (connect(probe.get(), Generic(address), sizeof(address)) == 0 || errno == EAGAIN) {
    return absl::AlreadyExistsError(absl::StrCat(
        "--api-socket: ", path, ": in use: another program listens on it; choose another path"));
  }
  if (errno != ECONNREFUSED) {
    return base::ErrnoStatus(errno, absl::StrCat("--api-socket: ", path, ": cannot probe"));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return base::ErrnoStatus(
        errno, absl::StrCat("--api-socket: ", path, ": cannot remove a stale socket"));
  }
  return absl::OkStatus();
}

int SocketOption(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

}  // namespace

absl::StatusOr<ApiSocket> ApiSocket::Listen(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  ASSIGN_OR_RETURN(base::UniqueFd lock, Lock(path));
  RETURN_IF_ERROR(RemoveStale(path, address));
  base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return base::ErrnoStatus(errno, "--api-socket: cannot create a socket");
  // bind() gives the name the mode that the socket has, so at no time can others connect.
  if (fchmod(fd.get(), 0600) != 0 || bind(fd.get(), Generic(address), sizeof(address)) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("--api-socket: ", path, ": cannot listen"));
  }
  ApiSocket result;
  struct stat status;
  if (lstat(path.c_str(), &status) == 0) {
    result.device_ = status.st_dev;
    result.inode_ = status.st_ino;
  }
  result.path_ = path;
  result.lock_ = std::move(lock);
  result.fd_ = std::move(fd);
  return result;
}

absl::StatusOr<ApiSocket> ApiSocket::Adopt(int fd) {
  if (fcntl(fd, F_GETFD) < 0) {
    return base::ErrnoStatus(
        errno, absl::StrCat("--api-socket: fd=", fd, ": whoever started vmm did not pass it"));
  }
  if (SocketOption(fd, SO_DOMAIN) != AF_UNIX || SocketOption(fd, SO_TYPE) != SOCK_STREAM ||
      SocketOption(fd, SO_ACCEPTCONN) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--api-socket: fd=", fd,
                     ": not a listening Unix stream socket; let the unit's socket pass one"));
  }
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("--api-socket: fd=", fd));
  }
  ApiSocket result;
  result.fd_.reset(fd);
  return result;
}

ApiSocket::ApiSocket(ApiSocket&& other) noexcept
    : path_(std::exchange(other.path_, std::string())),
      lock_(std::move(other.lock_)),
      fd_(std::move(other.fd_)),
      device_(other.device_),
      inode_(other.inode_) {}

ApiSocket::~ApiSocket() {
  if (path_.empty()) return;
  struct stat status;
  if (lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) {
    unlink(path_.c_str());
  }
  unlink(LockPath(path_).c_str());  // ours as long as lock_ is open
}

}  // namespace vmm
