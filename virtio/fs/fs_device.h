// The virtio file system device: configuration and life cycle. [VIRTIO 1.2 §5.11]
#ifndef VIRTIO_FS_FS_DEVICE_H_
#define VIRTIO_FS_FS_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/device.h"
#include "virtio/fs/dax_window.h"
#include "virtio/fs/fs_queue.h"
#include "virtio/fs/fs_server.h"
#include "virtio/fs/fs_wire.h"
#include "virtio/host_tree/file_handles.h"
#include "virtio/host_tree/file_system_sync.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/open_files.h"

namespace virtio {

class FsDevice final : public Device {
 public:
  struct Options {
    std::string id;   // "_fs0"
    std::string tag;  // what the guest mounts, 1 to 36 bytes
    FsCache cache = FsCache::kAuto;
    uint16_t num_queues = 1;     // of requests; 1 to 64
    uint16_t queue_size = 1024;  // power of two, 4 to kMaxQueueSize
    // That the guest can have open, or with FsCache::kAlways, by which it opens nothing, that are
    // kept open. And requests at a time, but at least one a queue.
    uint32_t max_open_files = 256;
    // Of the DAX window, a multiple of DaxWindow::kRangeBytes; 0: none. Only for FsCache::kAlways:
    // a file that is truncated while it is mapped is a fault in the guest.
    uint64_t dax_window_bytes = 0;
    uint64_t features_mask = ~uint64_t{0};  // of what is offered; for tests
    FileSystemSync::Options sync = {};      // for tests
    FsServer::Clock real_time = FsServer::RealTime;
  };

  // `loop` serves all queues and blocks on host calls: it should serve nothing but shares. Its
  // files come and go. `loop` and `memory` must outlive the device. Errors: ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<FsDevice>> Create(Options options,
                                                          std::unique_ptr<HostTree> tree,
                                                          base::EventLoop& loop,
                                                          base::GuestMemory& memory);

  absl::string_view id() const override { return options_.id; }
  uint16_t type() const override;
  uint64_t features() const override { return kRingFeatures & options_.features_mask; }
  std::span<const uint16_t> queue_sizes() const override { return queue_sizes_; }
  base::EventLoop& loop() override { return loop_; }
  std::span<const SharedMemoryRegion> shared_memory() const override { return shared_memory_; }
  uint32_t config_size() const override { return sizeof(FsConfig); }
  void ReadConfig(uint32_t offset, std::span<uint8_t> to) override;

  void Activate(uint64_t features, DriverNotifier& notifier) override;
  void StartQueue(QueueStart queue) override;
  void StopQueue(uint16_t index, Done done) override;
  void Deactivate() override;
  void Pause(Done done) override;
  void Resume() override;
  Counters counters() const override;

 private:
  FsDevice(Options options, std::unique_ptr<HostTree> tree, std::unique_ptr<DaxWindow> dax,
           base::EventLoop& loop);

  const Options options_;
  base::EventLoop& loop_;
  const std::vector<uint16_t> queue_sizes_;  // high priority first
  FsConfig config_;
  std::unique_ptr<HostTree> tree_;
  std::unique_ptr<DaxWindow> dax_;  // or null
  std::vector<SharedMemoryRegion> shared_memory_;
  OpenFiles files_;
  FileHandles handles_;
  FsServer server_;
  std::unique_ptr<FileSystemSync> sync_;  // or null
  FsShared shared_;
  std::vector<std::unique_ptr<FsQueue>> queues_;
  DriverNotifier* notifier_ = nullptr;
  size_t pausing_ = 0;  // queues that are not quiet yet
  Done pause_done_;
};

}  // namespace virtio

#endif  // VIRTIO_FS_FS_DEVICE_H_
