// The control queue of virtio-net. [VIRTIO 1.2 §5.1.6.5]
#ifndef VIRTIO_NET_NET_CONTROL_QUEUE_H_
#define VIRTIO_NET_NET_CONTROL_QUEUE_H_

#include <array>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/net/net_command.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/device_queue.h"

namespace virtio {

class NetControlQueue final : public DeviceQueue {
 public:
  // The largest queue size: commands come one by one.
  static constexpr uint16_t kMaxSize = 64;
  // Carries out a command, on the queue's loop, and returns whether that was possible.
  using Execute = absl::AnyInvocable<bool(const NetCommand&)>;

  // `features`, which the driver has accepted, is read for each command and outlives the queue.
  NetControlQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index,
                  const uint64_t& features, Execute execute);

  const QueueCounter& refused() const { return refused_; }

 private:
  Chain* AcquireChain() override;
  void ReleaseChain(Chain& /*chain*/) override { in_use_ = false; }
  void Start(Chain& chain) override;

  const uint64_t& features_;
  Execute execute_;
  QueueCounter refused_;
  NetCommand command_;
  std::array<iovec, kMaxSize> iovecs_;
  Chain chain_;
  bool in_use_ = false;
};

}  // namespace virtio

#endif  // VIRTIO_NET_NET_CONTROL_QUEUE_H_
