// The virtio-console data path: two queues of bytes in any framing. [VIRTIO 1.2 §5.3.6]
//
// Neither queue ever waits with a buffer in hand: input is kept here until the driver has room, and
// output is taken by the backend's bounded ring at once. All on the device's loop.
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

// Largest queue, hence the longest chain. A Linux driver fills the whole receive queue with one
// page per buffer, so that more would only cost guest memory.
inline constexpr uint16_t kConsoleQueueSize = 32;

// The one chain each queue works on.
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

// Host to guest. Pops a buffer only while there is input to put into it.
class ConsoleReceiveQueue final : public DeviceQueue {
 public:
  // Input held for a driver that gives no buffers. Above it the backend is held back.
  static constexpr size_t kMaxPendingBytes = 4096;

  ConsoleReceiveQueue(base::EventLoop& loop, base::GuestMemory& memory,
                      devices::CharacterBackend& backend);

  // Takes bytes for the driver; returns how many. If not all, the backend's ResumeInput is called
  // once there is room, never from within Input.
  size_t Input(std::span<const uint8_t> bytes);

  uint64_t delivered_bytes() const { return delivered_bytes_; }
  size_t pending_bytes() const { return pending_end_ - pending_begin_; }

 private:
  Chain* AcquireChain() override { return chain_.Acquire(); }
  void ReleaseChain(Chain& /*chain*/) override { chain_.Release(); }
  void Start(Chain& chain) override;
  // Appends what fits to the pending bytes; returns how many.
  size_t Keep(std::span<const uint8_t> bytes);
  bool WantsChains() const override { return pending_bytes() > 0; }

  devices::CharacterBackend& backend_;
  ConsoleChain chain_;
  std::array<uint8_t, kMaxPendingBytes> pending_;
  size_t pending_begin_ = 0;
  size_t pending_end_ = 0;
  bool backend_waits_ = false;  // Input refused bytes: ResumeInput is owed
  uint64_t delivered_bytes_ = 0;
};

// Guest to host. A chain can say that it holds 4 GiB: it is copied in pieces, a bounded number a
// turn, so that it delays nothing else on the loop.
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
  // The rest of a long chain is dropped: the driver has taken the queue away.
  void CancelRequests() override { cancelled_ = true; }
  void Continue(Chain& chain);

  devices::CharacterBackend& backend_;
  ConsoleChain chain_;
  bool cancelled_ = false;
  uint64_t written_bytes_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_CONSOLE_CONSOLE_QUEUE_H_
