// The data path of virtio-rng. [VIRTIO 1.2 §5.4.6]
#ifndef VIRTIO_ENTROPY_ENTROPY_QUEUE_H_
#define VIRTIO_ENTROPY_ENTROPY_QUEUE_H_

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <span>

#include "base/event_loop.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/device_queue.h"

namespace virtio {

// The largest queue size, and thus the length of the longest chain. Linux keeps one request in
// flight.
inline constexpr uint16_t kEntropyQueueSize = 64;
// The most bytes given to one request; a device may return less than the buffer holds [VIRTIO 1.2
// §5.4.6.2]. A whole queue of requests then costs the loop well under a millisecond per turn. Linux
// asks for 64 bytes.
inline constexpr size_t kEntropyMaxRequestBytes = 4096;

// Fills buffers from the kernel's generator or from a file. A file that fails, ends or has no bytes
// does not hold up the guest: the kernel's generator replaces it, and the request is counted. All
// calls are on the device's loop.
class EntropyQueue final : public DeviceQueue {
 public:
  // An invalid `source` stands for getrandom(2). `seekable`: reads advance an offset.
  EntropyQueue(base::EventLoop& loop, base::GuestMemory& memory, base::LoopFile source,
               bool seekable);

  uint64_t requests() const { return requests_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t source_errors() const { return source_errors_; }

 private:
  class SourceRead final : public base::Operation {
   public:
    explicit SourceRead(EntropyQueue& queue) : queue_(queue) {}
    void OnComplete(int32_t result) override { queue_.OnSourceRead(result); }

   private:
    EntropyQueue& queue_;
  };

  Chain* AcquireChain() override;
  void ReleaseChain(Chain& chain) override;
  void Start(Chain& chain) override;
  void CancelRequests() override { StopWaiting(); }
  void PauseRequests() override { StopWaiting(); }

  // Ends a read from the source that may otherwise wait forever. The kernel's generator fills the
  // request.
  void StopWaiting();
  void OnSourceRead(int32_t result);
  void FillFromKernel();
  void Finish(size_t written_bytes);

  const base::LoopFile source_;
  const bool seekable_;
  uint64_t source_offset_ = 0;
  SourceRead read_{*this};

  // The single request in flight.
  Chain chain_;
  std::array<iovec, kEntropyQueueSize> segments_;
  std::span<iovec> target_;  // the prefix of the writable bytes that is to be filled
  bool in_use_ = false;

  uint64_t requests_ = 0;
  uint64_t bytes_ = 0;
  uint64_t source_errors_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_ENTROPY_ENTROPY_QUEUE_H_
