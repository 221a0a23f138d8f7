// The data path of a TAP or macvtap interface in the host's kernel. [Linux
// include/uapi/linux/vhost.h]
#ifndef NET_VHOST_NET_H_
#define NET_VHOST_NET_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "base/guest_memory.h"
#include "base/unique_fd.h"

namespace net {

// One pair of rings that the kernel serves on a thread of its own. The kernel reads guest memory by
// itself, and checks every address that the guest gives. Use it on one thread.
class VhostNet {
 public:
  // A ring, and how the guest and the kernel wake each other.
  struct Ring {
    uint16_t size = 0;
    uint16_t position = 0;  // the next available entry that the kernel takes
    void* descriptors = nullptr;
    void* available = nullptr;
    void* used = nullptr;
    int kick_fd = -1;       // an eventfd
    int interrupt_fd = -1;  // an eventfd; -1: no interrupts
  };
  enum RingIndex : uint8_t { kReceive = 0, kTransmit = 1 };

  // `memory` outlives the object. Errors, with advice: /dev/vhost-net is missing or may not be
  // opened, or the kernel lacks a feature.
  static absl::StatusOr<std::unique_ptr<VhostNet>> Open(const base::GuestMemory& memory);

  // Sets the features that the driver has accepted. No ring may be served. Returns 0 or -errno.
  int32_t SetFeatures(uint64_t accepted);
  // Begins to move frames between the ring and the interface. Returns 0 or -errno.
  int32_t Start(RingIndex index, const Ring& ring, int tap_fd);
  // Ceases; afterwards the kernel does not touch the ring. Returns the position, or -errno.
  int32_t Stop(RingIndex index);

 private:
  explicit VhostNet(base::UniqueFd fd) : fd_(std::move(fd)) {}

  const base::UniqueFd fd_;
};

}  // namespace net

#endif  // NET_VHOST_NET_H_
