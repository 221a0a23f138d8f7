// The virtio file system device: configuration and life cycle. [VIRTIO 1.2 §5.11]
#ifndef VIRTIO_FS_FS_DEVICE_H_
#define VIRTIO_FS_FS_DEVICE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/fs/dax_window.h"
#include "virtio/fs/fs_queue.h"
#include "virtio/fs/fs_server.h"
#include "virtio/fs/fs_wire.h"
#include "virtio/host_tree/file_system_sync.h"
#include "virtio/host_tree/guest_file_handles.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/read_file_cache.h"
#include "virtio/queue/queued_device.h"

namespace virtio {

class FsDevice final : public QueuedDevice {
 public:
  struct Options {
    std::string id;   // "_fs0"
    std::string tag;  // what the guest mounts, 1 to 36 bytes
    FsCache cache = FsCache::kAuto;
    uint16_t num_queues = 1;     // of requests; 1 to 64
    uint16_t queue_size = 1024;  // power of two, 4 to kMaxQueueSize
    // How many files the guest can have open. With FsCache::kAlways the guest opens nothing, and
    // this many files are kept open for its reads. Also bounds the requests in flight of all queues
    // together, but each queue has at least one.
    uint32_t max_open_files = 256;
    // Size of the DAX window, a multiple of DaxWindow::kRangeBytes; 0: no window. Needs
    // FsCache::kAlways, because a file that is truncated while it is mapped makes the guest fail.
    uint64_t dax_window_bytes = 0;
    FileSystemSync::Options sync = {};  // for tests
    FsServer::Clock real_time = FsServer::RealTime;
  };

  // `loop` serves all queues and must accept temporary files. It blocks on host calls, so it should
  // serve nothing but shares. `loop` and `memory` must outlive the device. Errors:
  // ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<FsDevice>> Create(Options options,
                                                          std::unique_ptr<HostTree> tree,
                                                          base::EventLoop& loop,
                                                          base::GuestMemory& memory);

  std::span<const SharedMemoryRegion> shared_memory() const override { return shared_memory_; }

 private:
  FsDevice(Options options, std::unique_ptr<HostTree> tree, std::unique_ptr<DaxWindow> dax,
           base::EventLoop& loop);

  std::span<const uint8_t> config_bytes() const override { return base::BytesOf(config_); }
  void OnQueueStarted() override;
  void OnQueueStopped(Done done) override;
  void OnDeactivated() override { server_.EndSession(); }
  void AddCounters(Counters& counters) const override;

  const Options options_;
  FsConfigSpace config_;
  std::unique_ptr<HostTree> tree_;
  std::unique_ptr<DaxWindow> dax_;  // or null
  std::vector<SharedMemoryRegion> shared_memory_;
  ReadFileCache files_;
  GuestFileHandles handles_;
  FsServer server_;
  std::unique_ptr<FileSystemSync> sync_;  // or null
  FsShared shared_;
  std::vector<std::unique_ptr<FsQueue>> queues_;  // the high priority queue first
};

}  // namespace virtio

#endif  // VIRTIO_FS_FS_DEVICE_H_
