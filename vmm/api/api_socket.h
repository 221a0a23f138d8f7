// The listening socket of the control API and the file names that belong to it.
#ifndef VMM_API_API_SOCKET_H_
#define VMM_API_API_SOCKET_H_

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace vmm {

class ApiSocket {
 public:
  // Listens at `path`, mode 0600. PATH.lock, locked as long as this object lives, decides who owns
  // the path; a socket that nobody listens on is replaced. Errors, all starting with
  // "--api-socket: PATH": in use, not a socket, name too long, errno.
  static absl::StatusOr<ApiSocket> Listen(const std::string& path);
  // Takes over a listening Unix stream socket, as systemd passes it. Errors say what `fd` is
  // instead.
  static absl::StatusOr<ApiSocket> Adopt(int fd);

  ApiSocket(ApiSocket&& other) noexcept;
  ApiSocket& operator=(ApiSocket&& other) = delete;
  // Removes the names that Listen made, if they are still its own.
  ~ApiSocket();

  int fd() const { return fd_.get(); }

 private:
  ApiSocket() = default;

  std::string path_;  // empty after Adopt
  base::UniqueFd lock_;
  base::UniqueFd fd_;
  dev_t device_ = 0;  // of the socket's name
  ino_t inode_ = 0;
};

}  // namespace vmm

#endif  // VMM_API_API_SOCKET_H_
