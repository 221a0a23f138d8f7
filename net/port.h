// Where the frames of a virtual network device come from and go to.
#ifndef NET_PORT_H_
#define NET_PORT_H_

#include <poll.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace net {

// The header before each frame: virtio_net_hdr_v1. [VIRTIO 1.2 §5.1.6]
inline constexpr size_t kVnetHeaderBytes = 12;
// The longest frame: one whose payload the sender leaves to be segmented (64 KiB), with its
// Ethernet header and a VLAN tag. [VIRTIO 1.2 §5.1.6.3.1]
inline constexpr size_t kMaxFrameBytes = 65535 + 14 + 4;

// One queue pair's way to the outside. It belongs to one event loop, except where a comment says
// otherwise. No call blocks.
class Port {
 public:
  virtual ~Port() = default;

  // The descriptor to poll: POLLIN if Receive may succeed. Constant.
  virtual int fd() const = 0;
  // What to poll after Send returned -EAGAIN. Constant.
  struct Readiness {
    int fd;
    uint32_t events;
  };
  virtual Readiness send_readiness() const { return {fd(), POLLOUT}; }
  // Sends a header, which is the first iovec, and the frame after it. Returns 0 or -errno: -EAGAIN
  // if there is no room at the moment, -EPERM if the frame is not allowed to leave. Any error but
  // -EAGAIN means that the frame is lost.
  virtual int32_t Send(std::span<const iovec> frame) = 0;
  // Receives a header and the frame after it. Returns the number of bytes, or -errno: -EAGAIN if
  // there is no frame. What does not fit into `to` is lost, and may be counted nevertheless.
  virtual int32_t Receive(std::span<const iovec> to) = 0;
  // Says which work on received frames the guest does itself: a set of TUN_F_*. Other frames are
  // completed by the host before Receive returns them. Returns 0 or -errno. Any thread.
  virtual int32_t SetOffloads(uint32_t offloads) = 0;
  // Says whether the host may choose this queue for frames. Ports are active at first. Returns 0 or
  // -errno. While a port is not active, it neither sends nor receives.
  virtual int32_t SetActive(bool active) = 0;
};

}  // namespace net

#endif  // NET_PORT_H_
