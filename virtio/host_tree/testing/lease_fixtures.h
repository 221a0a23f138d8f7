// A lease on a file, as Samba and nfsd hold them for their clients.
#ifndef VIRTIO_HOST_TREE_TESTING_LEASE_FIXTURES_H_
#define VIRTIO_HOST_TREE_TESTING_LEASE_FIXTURES_H_

#include <fcntl.h>
#include <signal.h>

#include <string>

#include "base/log.h"
#include "base/unique_fd.h"

namespace virtio {

class Lease {
 public:
  // Of reading and writing: nobody else may open the file.
  explicit Lease(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    // The host tells the holder by this signal that somebody wants the file.
    signal(SIGIO, SIG_IGN);
    CHECK(fcntl(fd_.get(), F_SETLEASE, F_WRLCK) == 0);
  }
  ~Lease() { GiveUp(); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  // True if somebody wants the file.
  bool wanted() const { return fcntl(fd_.get(), F_GETLEASE) != F_WRLCK; }
  void GiveUp() {
    if (fd_.valid()) fcntl(fd_.get(), F_SETLEASE, F_UNLCK);
    fd_.reset();
  }

 private:
  base::UniqueFd fd_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_TESTING_LEASE_FIXTURES_H_
