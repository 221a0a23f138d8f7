// The virtio block device: features, configuration, life cycle. [VIRTIO 1.2 §5.2]
#ifndef VIRTIO_BLOCK_BLOCK_DEVICE_H_
#define VIRTIO_BLOCK_BLOCK_DEVICE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/block/block_image.h"
#include "virtio/block/block_queue.h"
#include "virtio/block/block_wire.h"
#include "virtio/device.h"

namespace virtio {

class BlockDevice final : public Device {
 public:
  struct Options {
    std::string id;                         // "_disk0"
    std::string serial = {};                // what GET_ID returns, cut to 20 bytes; empty: the id
    uint16_t num_queues = 1;                // 1 or more
    uint16_t queue_size = 128;              // power of two, 4 to kMaxQueueSize
    uint64_t features_mask = ~uint64_t{0};  // of what is offered; for tests
  };

  // `loop` serves all queues. `loop` and `memory` must outlive the device. Errors:
  // ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<BlockDevice>> Create(const Options& options,
                                                             BlockImage image,
                                                             base::EventLoop& loop,
                                                             base::GuestMemory& memory);

  absl::string_view id() const override { return shared_.id; }
  uint16_t type() const override;
  uint64_t features() const override { return features_; }
  std::span<const uint16_t> queue_sizes() const override { return queue_sizes_; }
  base::EventLoop& loop() override { return loop_; }
  uint32_t config_size() const override { return sizeof(BlockConfig); }
  void ReadConfig(uint32_t offset, std::span<uint8_t> to) override;

  void Activate(uint64_t features, DriverNotifier& notifier) override;
  void StartQueue(QueueStart queue) override;
  void StopQueue(uint16_t index, Done done) override;
  void Deactivate() override;
  void Pause(Done done) override;
  void Resume() override;
  Counters counters() const override;

  // The image has been measured again (MeasureImage): if it has grown, the driver sees the new
  // capacity and is told. One that shrank keeps its capacity: what is gone reads as an I/O error.
  // Loop thread.
  void Resize(uint64_t size_bytes);

  // The errno of the first fdatasync that failed since the image was opened, or 0: writes that the
  // guest was told had completed are lost. Any thread; lives as long as the device.
  const std::atomic<int>& lost_writes_error() const { return shared_.lost_writes_error; }

 private:
  BlockDevice(const Options& options, BlockImage image, base::EventLoop& loop);
  uint64_t OfferedFeatures(const Options& options) const;
  BlockConfig MakeConfig(const Options& options) const;

  BlockImage image_;
  base::EventLoop& loop_;
  const std::vector<uint16_t> queue_sizes_;
  const uint64_t features_;
  BlockConfig config_;  // changed by ChangeConfig only
  BlockShared shared_;
  std::vector<std::unique_ptr<BlockQueue>> queues_;
  DriverNotifier* notifier_ = nullptr;
  size_t pausing_ = 0;  // queues that are not quiet yet
  Done pause_done_;
};

}  // namespace virtio

#endif  // VIRTIO_BLOCK_BLOCK_DEVICE_H_
