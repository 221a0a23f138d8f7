// The virtio block device: features, configuration, life cycle. [VIRTIO 1.2 §5.2]
#ifndef VIRTIO_BLOCK_BLOCK_DEVICE_H_
#define VIRTIO_BLOCK_BLOCK_DEVICE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "net/rate_limiter.h"
#include "virtio/block/block_image.h"
#include "virtio/block/block_queue.h"
#include "virtio/block/block_wire.h"
#include "virtio/queue/queued_device.h"

namespace virtio {

class BlockDevice final : public QueuedDevice {
 public:
  struct Options {
    std::string id;             // "_disk0"
    std::string serial = {};    // the reply to GET_ID, cut to 20 bytes; empty: the id
    uint16_t num_queues = 1;    // 1 or more
    uint16_t queue_size = 128;  // power of two, 4 to kMaxQueueSize
    // Of all queues together: data bytes, and requests.
    net::RateLimiter::Limits rate_limits = {};
    // The limiter that this disk shares with others, instead of `rate_limits`. Outlives the device.
    net::RateLimiter* shared_limiter = nullptr;
  };

  // `loop` serves all queues. `loop` and `memory` must outlive the device. Errors:
  // ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<BlockDevice>> Create(const Options& options,
                                                             BlockImage image,
                                                             base::EventLoop& loop,
                                                             base::GuestMemory& memory);

  // Takes over a new result of MeasureImage. If the image has grown, the driver sees the new
  // capacity and is notified. If the image has shrunk, the capacity stays, and accesses to the
  // missing part are I/O errors. Loop thread.
  void Resize(uint64_t size_bytes);

  // The limiter of this disk, or the one that it shares. Any thread.
  net::RateLimiter& limiter() { return shared_.limiter; }
  // Tries requests again that wait for the limiter, which has changed. Any thread.
  void OnRateLimitChanged();

  // The errno of the first fdatasync that failed since the image was opened, or 0. If it is not 0,
  // writes are lost whose completion the guest has seen. Any thread; the value lives as long as the
  // device.
  const std::atomic<int>& lost_writes_error() const { return shared_.lost_writes_error; }

 private:
  BlockDevice(const Options& options, BlockImage image, base::EventLoop& loop);
  BlockConfigSpace MakeConfig(const Options& options) const;

  std::span<const uint8_t> config_bytes() const override { return base::BytesOf(config_); }
  void OnActivated(uint64_t features) override;
  void OnDeactivated() override;
  void AddCounters(Counters& counters) const override;

  BlockImage image_;
  BlockConfigSpace config_;  // only ChangeConfig changes it
  net::RateLimiter limiter_;
  BlockShared shared_;
  std::vector<std::unique_ptr<BlockQueue>> queues_;
};

}  // namespace virtio

#endif  // VIRTIO_BLOCK_BLOCK_DEVICE_H_
