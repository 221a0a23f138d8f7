#include "devices/character/unix_listener.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace devices {
namespace {

constexpr int kBacklog = 4;  // clients that wait for the one before them to leave

base::UniqueFd OpenSocket() {
  return base::UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Removes the socket at `address` if nobody listens on it.
absl::Status RemoveStale(const sockaddr_un& address) {
  struct stat status;
  if (lstat(address.sun_path, &status) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return base::ErrnoStatus(errno, absl::StrCat(address.sun_path, ": cannot be looked at"));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat(address.sun_path, ": exists and is not a socket; remove it"));
  }
  const base::UniqueFd probe = OpenSocket();
  if (!probe.valid()) return base::ErrnoStatus(errno, "cannot open a socket");
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno != ECONNREFUSED) {
    return absl::AlreadyExistsError(
        absl::StrCat(address.sun_path, ": another process listens on this socket; choose another"));
  }
  if (unlink(address.sun_path) != 0 && errno != ENOENT) {
    return base::ErrnoStatus(errno, absl::StrCat(address.sun_path, ": cannot remove stale socket"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UnixListener> UnixListener::Create(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": socket path must have 1 to ",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  RETURN_IF_ERROR(RemoveStale(address));
  base::UniqueFd fd = OpenSocket();
  if (!fd.valid()) return base::ErrnoStatus(errno, "cannot open a socket");
  // LINUX: bind gives the file the socket's own mode, so there is no moment with a wider one.
  if (fchmod(fd.get(), 0600) != 0) return base::ErrnoStatus(errno, "cannot set a socket's mode");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return base::ErrnoStatus(errno,
                             absl::StrCat(path, ": cannot create socket",
                                          errno == ENOENT ? " (make its folder first)" : ""));
  }
  UnixListener listener(std::move(fd), path);
  struct stat status;
  if (lstat(path.c_str(), &status) == 0) {
    listener.device_ = status.st_dev;
    listener.inode_ = status.st_ino;
  }
  if (listen(listener.fd(), kBacklog) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(path, ": cannot listen"));
  }
  return listener;
}

UnixListener::~UnixListener() {
  if (!fd_.valid()) return;
  struct stat status;
  if (lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) {
    unlink(path_.c_str());
  }
}

}  // namespace devices
