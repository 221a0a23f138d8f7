// Waiting for another process of the host to give up its lease on a file.
#ifndef VIRTIO_HOST_TREE_LEASE_WAIT_H_
#define VIRTIO_HOST_TREE_LEASE_WAIT_H_

#include <chrono>
#include <optional>

namespace virtio {

// Samba, nfsd and others hold leases (F_SETLEASE) on what their clients cache. Opening such a file
// tells the holder to give the lease up, for which the host gives it some time (lease-break-time,
// 45 s unless it is set); until then an open that may not wait fails with EAGAIN, as HostTree says.
// Who gets that asks again later: this says when. One thread.
class LeaseWait {
 public:
  // Returns how long to wait before the next try: ever longer, up to 250 ms. Nothing: the holder
  // has had its time and a second more. `now` is the loop's.
  std::optional<std::chrono::nanoseconds> Next(std::chrono::nanoseconds now);

 private:
  std::chrono::nanoseconds deadline_{0};
  std::chrono::nanoseconds delay_{0};  // 0: Next was not called yet
};

// How long the host gives the holder of a lease: /proc/sys/fs/lease-break-time, or 45 s if that is
// not to be had.
std::chrono::seconds LeaseBreakTime();

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_LEASE_WAIT_H_
