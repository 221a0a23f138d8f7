// Waiting for another process of the host to give up its lease on a file.
#ifndef VIRTIO_HOST_TREE_LEASE_WAIT_H_
#define VIRTIO_HOST_TREE_LEASE_WAIT_H_

#include <chrono>
#include <optional>

namespace virtio {

// Samba, nfsd and others hold leases (F_SETLEASE) on the files that their clients cache. An open of
// such a file makes the host ask the holder to give the lease up, and gives the holder some time
// for that (lease-break-time, 45 s by default). Until then, an open that may not wait fails with
// EAGAIN, as HostTree says. The caller then tries again later, at the times that this class gives.
// One thread.
class LeaseWait {
 public:
  // Returns how long to wait before the next try. Each wait is longer than the last, up to 250 ms.
  // Returns nullopt once the holder has had its time and one second more. `now` is the time of the
  // loop.
  std::optional<std::chrono::nanoseconds> Next(std::chrono::nanoseconds now);

 private:
  std::chrono::nanoseconds deadline_{0};
  std::chrono::nanoseconds delay_{0};  // 0 until Next is called
};

// Returns how long the host gives the holder of a lease: /proc/sys/fs/lease-break-time, or 45 s if
// that file cannot be read.
std::chrono::seconds LeaseBreakTime();

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_LEASE_WAIT_H_
