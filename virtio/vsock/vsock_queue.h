// The data path of virtio-vsock: packets from and to the guest. [VIRTIO 1.2 §5.10.6]
//
// Data go between the guest's buffers and the sockets of the host without a copy of our own, except
// what a socket does not take at once. All calls are on the loop of the device.
#ifndef VIRTIO_VSOCK_VSOCK_QUEUE_H_
#define VIRTIO_VSOCK_VSOCK_QUEUE_H_

#include <sys/uio.h>

#include <array>
#include <cstdint>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/device_queue.h"
#include "virtio/queue/split_queue.h"
#include "virtio/vsock/vsock_mux.h"

namespace virtio {

// Hands the guest what the connections have for it.
class VsockReceiveQueue final : public DeviceQueue {
 public:
  static constexpr uint16_t kIndex = 0;

  VsockReceiveQueue(base::EventLoop& loop, base::GuestMemory& memory, VsockMux& mux)
      : DeviceQueue(loop, memory, kIndex), mux_(mux) {}

  // The mux has a packet.
  void OnOutput();
  uint64_t dropped_malformed() const { return dropped_malformed_.value(); }

 private:
  Chain* AcquireChain() override;
  void ReleaseChain(Chain& /*chain*/) override { in_use_ = false; }
  void Start(Chain& chain) override;
  bool WantsChains() const override { return mux_.HasOutput(); }

  VsockMux& mux_;
  QueueCounter dropped_malformed_;
  Chain chain_;
  bool in_use_ = false;
  std::array<iovec, kMaxChainSegments> iovecs_;
};

// Takes the packets of the guest. Waits while the guest does not take the answers.
class VsockTransmitQueue final : public DeviceQueue {
 public:
  static constexpr uint16_t kIndex = 1;

  VsockTransmitQueue(base::EventLoop& loop, base::GuestMemory& memory, VsockMux& mux)
      : DeviceQueue(loop, memory, kIndex), mux_(mux) {
    chain_.SetStorage(iovecs_);
  }

  // The mux takes packets again.
  void OnRoom();
  uint64_t dropped_malformed() const { return dropped_malformed_.value(); }

 private:
  Chain* AcquireChain() override;
  void ReleaseChain(Chain& /*chain*/) override { in_use_ = false; }
  void Start(Chain& chain) override;
  bool WantsChains() const override { return mux_.CanReply(); }

  VsockMux& mux_;
  QueueCounter dropped_malformed_;
  Chain chain_;
  bool in_use_ = false;
  std::array<iovec, kMaxChainSegments> iovecs_;
};

// The driver's buffers for events. There is no event as long as a guest's memory is not moved to
// another host, so the buffers stay in the ring.
class VsockEventQueue final : public DeviceQueue {
 public:
  static constexpr uint16_t kIndex = 2;

  VsockEventQueue(base::EventLoop& loop, base::GuestMemory& memory)
      : DeviceQueue(loop, memory, kIndex) {}

 private:
  Chain* AcquireChain() override { return nullptr; }
  void ReleaseChain(Chain& /*chain*/) override {}
  void Start(Chain& /*chain*/) override {}
  bool WantsChains() const override { return false; }
};

}  // namespace virtio

#endif  // VIRTIO_VSOCK_VSOCK_QUEUE_H_
