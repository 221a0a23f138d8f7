// The data path of virtio-console: two queues of bytes in any framing. [VIRTIO 1.2 §5.3.6]
//
// Neither queue waits while it holds a buffer: input stays in ConsoleReceiveQueue until the driver
// has room, and the backend's bounded ring takes output at once. All calls are on the device's
// loop.
#ifndef VIRTIO_CONSOLE_CONSOLE_QUEUE_H_
#define VIRTIO_CONSOLE_CONSOLE_QUEUE_H_

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "devices/character/character_backend.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/device_queue.h"

namespace virtio {

// The largest queue size, and thus the length of the longest chain. A Linux driver fills the whole
// receive queue with buffers of a page each, so a larger queue would only cost guest memory.
inline constexpr uint16_t kConsoleQueueSize = 32;

// The single chain that a queue works on.
class ConsoleChain {
 public:
  ConsoleChain() { chain_.SetStorage(segments_); }
  // Returns the chain, or nullptr while it is in use.
  Chain* Acquire() {
    if (in_use_) return nullptr;
    in_use_ = true;
    return &chain_;
  }
  void Release() { in_use_ = false; }

 private:
  std::array<iovec, kConsoleQueueSize> segments_;
  Chain chain_;
  bool in_use_ = false;
};

// Sends bytes from the host to the guest. Pops a buffer only while there is input for it.
class ConsoleReceiveQueue final : public DeviceQueue {
 public:
  // The most input that is kept for a driver without buffers. Further input stays with the backend.
  static constexpr size_t kMaxPendingBytes = 4096;

  ConsoleReceiveQueue(base::EventLoop& loop, base::GuestMemory& memory,
                      devices::CharacterBackend& backend);

  // Takes bytes for the driver and returns their number. If it takes fewer than all, it calls the
  // backend's ResumeInput once there is room, but never from within Input.
  size_t Input(std::span<const uint8_t> bytes);

  uint64_t delivered_bytes() const { return delivered_bytes_; }
  size_t pending_bytes() const { return pending_end_ - pending_begin_; }

 private:
  Chain* AcquireChain() override { return chain_.Acquire(); }
  void ReleaseChain(Chain& /*chain*/) override { chain_.Release(); }
  void Start(Chain& chain) override;
  // Appends as many bytes as fit to the pending bytes and returns their number.
  size_t Keep(std::span<const uint8_t> bytes);
  bool WantsChains() const override { return pending_bytes() > 0; }

  devices::CharacterBackend& backend_;
  ConsoleChain chain_;
  std::array<uint8_t, kMaxPendingBytes> pending_;
  size_t pending_begin_ = 0;
  size_t pending_end_ = 0;
  bool backend_waits_ = false;  // Input refused bytes, so ResumeInput is due
  uint64_t delivered_bytes_ = 0;
};

// Sends bytes from the guest to the host. A chain may claim to hold 4 GiB. Therefore it is copied
// in pieces, with a bounded number of bytes per turn, so that it delays nothing else on the loop.
class ConsoleTransmitQueue final : public DeviceQueue {
 public:
  static constexpr size_t kPieceBytes = 4096;
  static constexpr size_t kMaxBytesPerTurn = 64 * 1024;

  ConsoleTransmitQueue(base::EventLoop& loop, base::GuestMemory& memory,
                       devices::CharacterBackend& backend);

  uint64_t written_bytes() const { return written_bytes_; }

 private:
  Chain* AcquireChain() override { return chain_.Acquire(); }
  void ReleaseChain(Chain& /*chain*/) override { chain_.Release(); }
  void Start(Chain& chain) override;
  // Drops the rest of a long chain, since the driver has taken the queue away.
  void CancelRequests() override { cancelled_ = true; }
  void Continue(Chain& chain);

  devices::CharacterBackend& backend_;
  ConsoleChain chain_;
  bool cancelled_ = false;
  uint64_t written_bytes_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_CONSOLE_CONSOLE_QUEUE_H_
