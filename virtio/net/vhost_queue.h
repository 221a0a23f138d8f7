// A queue of a network device that the host's kernel serves.
#ifndef VIRTIO_NET_VHOST_QUEUE_H_
#define VIRTIO_NET_VHOST_QUEUE_H_

#include <cstdint>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "net/vhost_net.h"
#include "virtio/device.h"
#include "virtio/queue/served_queue.h"

namespace virtio {

// The driver's kicks go to the kernel, and the kernel's interrupts to the driver: this process
// takes no part. The kernel stops at a malformed ring and says nothing. All calls are on the loop
// of the device, and stop the kernel before they return.
class VhostQueue final : public ServedQueue {
 public:
  // `vhost` and `memory` outlive the queue. `tap_fd` is the interface's queue.
  VhostQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index, net::VhostNet& vhost,
             net::VhostNet::RingIndex ring_index, int tap_fd);
  ~VhostQueue() override;

  void StartServing(EnabledQueue start, DriverNotifier& notifier) override;
  void Stop(Done done) override;
  void Pause(Done done) override;
  void Resume() override;
  bool started() const override { return start_.ring != nullptr; }

  // Lets the kernel serve the queue, or not: the link is down, or the driver does not use the pair.
  void SetEnabled(bool enabled);

 private:
  // Starts or stops the kernel, if it does not do what it shall do.
  void Update();
  // Both return 0 or -errno.
  int32_t Run();
  int32_t Halt();
  void* HostAddress(uint64_t guest_address) const;

  base::GuestMemory& memory_;
  net::VhostNet& vhost_;
  const net::VhostNet::RingIndex ring_index_;
  const int tap_fd_;
  EnabledQueue start_;
  DriverNotifier* notifier_ = nullptr;
  uint16_t position_ = 0;  // in the ring, while the kernel does not serve it
  bool paused_ = false;
  bool enabled_ = true;
  bool running_ = false;
};

}  // namespace virtio

#endif  // VIRTIO_NET_VHOST_QUEUE_H_
