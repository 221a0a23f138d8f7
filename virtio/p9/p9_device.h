// The virtio 9P device: configuration and life cycle. [Linux: include/uapi/linux/virtio_9p.h]
#ifndef VIRTIO_P9_P9_DEVICE_H_
#define VIRTIO_P9_P9_DEVICE_H_

#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/device.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/p9/p9_queue.h"
#include "virtio/p9/p9_server.h"
#include "virtio/p9/p9_wire.h"
#include "virtio/queue/split_queue.h"

namespace virtio {

class P9Device final : public Device {
 public:
  struct Options {
    std::string id;   // "_fs0"
    std::string tag;  // what the guest mounts, 1 to kP9MaxTagBytes bytes
    P9Versions versions = P9Versions::kContents;
    uint16_t queue_size = 1024;     // power of two, 4 to kMaxQueueSize
    uint32_t max_open_files = 256;  // descriptors; bounds the requests at a time; at least 1
    uint32_t max_fids = 1 << 20;
    uint64_t features_mask = ~uint64_t{0};  // of what is offered; for tests
  };

  // `loop` serves the queue and blocks on host calls: it should serve nothing but shares. Its files
  // come and go. `loop` and `memory` must outlive the device. Errors: ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<P9Device>> Create(Options options,
                                                          std::unique_ptr<HostTree> tree,
                                                          base::EventLoop& loop,
                                                          base::GuestMemory& memory);

  absl::string_view id() const override { return options_.id; }
  uint16_t type() const override;
  uint64_t features() const override {
    return (kRingFeatures | kP9FeatureMountTag) & options_.features_mask;
  }
  std::span<const uint16_t> queue_sizes() const override { return {&options_.queue_size, 1}; }
  base::EventLoop& loop() override { return loop_; }
  uint32_t config_size() const override;
  void ReadConfig(uint32_t offset, std::span<uint8_t> to) override;

  void Activate(uint64_t features, DriverNotifier& notifier) override;
  void StartQueue(QueueStart queue) override;
  void StopQueue(uint16_t index, Done done) override;
  void Deactivate() override;
  void Pause(Done done) override;
  void Resume() override;
  Counters counters() const override;

 private:
  P9Device(Options options, std::unique_ptr<HostTree> tree, base::EventLoop& loop,
           base::GuestMemory& memory, RequestSlab<P9Request> slab);

  const Options options_;
  base::EventLoop& loop_;
  P9Config config_;
  std::unique_ptr<HostTree> tree_;
  P9Server server_;
  P9Queue queue_;
  DriverNotifier* notifier_ = nullptr;
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_DEVICE_H_
