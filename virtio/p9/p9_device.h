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
#include "virtio/host_tree/host_tree.h"
#include "virtio/p9/p9_queue.h"
#include "virtio/p9/p9_server.h"
#include "virtio/p9/p9_wire.h"
#include "virtio/queue/queued_device.h"
#include "virtio/share/share_counters.h"

namespace virtio {

class P9Device final : public QueuedDevice {
 public:
  struct Options {
    std::string id;   // "_fs0"
    std::string tag;  // what the guest mounts, 1 to kP9MaxTagBytes bytes
    P9Versions versions = P9Versions::kContents;
    uint16_t queue_size = 1024;  // power of two, 4 to kMaxQueueSize
    // How many files are open, at least 1. Also bounds the requests in flight.
    uint32_t max_open_files = 256;
    uint32_t max_fids = 1 << 20;
  };

  // `loop` serves the queue and must accept temporary files. It blocks on host calls, so it should
  // serve nothing but shares. `loop` and `memory` must outlive the device. Errors:
  // ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<P9Device>> Create(Options options,
                                                          std::unique_ptr<HostTree> tree,
                                                          base::EventLoop& loop,
                                                          base::GuestMemory& memory);

 private:
  P9Device(Options options, std::unique_ptr<HostTree> tree, base::EventLoop& loop,
           base::GuestMemory& memory, RequestSlab<P9Request> slab);

  std::span<const uint8_t> config_bytes() const override;
  void OnDeactivated() override { server_.EndSession(); }
  void AddCounters(Counters& counters) const override;

  const Options options_;
  P9ConfigSpace config_;
  std::unique_ptr<HostTree> tree_;
  P9Server server_;
  ShareCounters transfers_;
  P9Queue queue_;
};

}  // namespace virtio

#endif  // VIRTIO_P9_P9_DEVICE_H_
