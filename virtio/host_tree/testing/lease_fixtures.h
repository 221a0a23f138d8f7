// A lease on a file, like the leases that Samba and nfsd hold for their clients.
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
  // Takes a lease for reading and writing, so that no other process may open the file.
  explicit Lease(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    // The host sends this signal to the holder when another process wants the file.
    signal(SIGIO, SIG_IGN);
    CHECK(fcntl(fd_.get(), F_SETLEASE, F_WRLCK) == 0);
  }
  ~Lease() { GiveUp(); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  // True if another process wants the file.
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
