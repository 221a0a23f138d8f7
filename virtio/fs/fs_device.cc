#include "virtio/fs/fs_device.h"

#include <linux/virtio_ids.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/log.h"
#include "base/status.h"

namespace virtio {

absl::StatusOr<std::unique_ptr<FsDevice>> FsDevice::Create(Options options,
                                                           std::unique_ptr<HostTree> tree,
                                                           base::EventLoop& loop,
                                                           base::GuestMemory& memory) {
  CHECK(!options.tag.empty() && options.tag.size() <= kFsTagBytes && options.num_queues > 0);
  CHECK(std::has_single_bit(options.queue_size) && options.queue_size >= 4);
  // Each read in flight may need a file of its own. So the queues together have no more requests
  // than files may be open.
  const uint32_t requests = std::max(options.max_open_files / (options.num_queues + 1u), 1u);
  CHECK(options.dax_window_bytes == 0 || options.cache == FsCache::kAlways);
  std::unique_ptr<DaxWindow> dax;
  if (options.dax_window_bytes > 0) {
    auto window = DaxWindow::Create(options.id, options.dax_window_bytes, loop, memory);
    if (!window.ok()) return base::Annotate(window.status(), options.id);
    dax = std::move(window).value();
  }
  auto device = std::unique_ptr<FsDevice>(
      new FsDevice(std::move(options), std::move(tree), std::move(dax), loop));
  // Queue 0 is the high priority queue; the request queues follow.
  for (uint16_t i = 0; i <= device->options_.num_queues; ++i) {
    auto slab = RequestSlab<FsRequest>::Create(device->options_.queue_size, requests);
    if (!slab.ok()) return base::Annotate(slab.status(), device->id());
    device->queues_.push_back(std::make_unique<FsQueue>(loop, memory, i, device->server_,
                                                        device->shared_, std::move(slab).value()));
    device->AddQueue(*device->queues_.back(), device->options_.queue_size);
  }
  return device;
}

FsDevice::FsDevice(Options options, std::unique_ptr<HostTree> tree, std::unique_ptr<DaxWindow> dax,
                   base::EventLoop& loop)
    : QueuedDevice({.id = options.id, .type = VIRTIO_ID_FS}, loop),
      options_(std::move(options)),
      tree_(std::move(tree)),
      dax_(std::move(dax)),
      files_(*tree_, loop, options_.max_open_files),
      handles_(loop, options_.max_open_files),
      server_(*tree_, files_, handles_, options_.cache, dax_.get(), options_.real_time) {
  if (dax_ != nullptr) {
    shared_memory_ = {
        {.id = kDaxSharedMemoryId, .length = dax_->size_bytes(), .host = dax_->host()}};
  }
  shared_.counters.id = options_.id;
  if (tree_->writable()) {
    // Open from the start: Linux reports an error of the file system only to descriptors that were
    // open when the error happened.
    base::UniqueFd file;
    shared_.sync_error = tree_->OpenFileSystem(file);
    if (shared_.sync_error == 0) {
      FileSystemSync::Options sync = options_.sync;
      sync.all = tree_->submounts();
      sync_ = std::make_unique<FileSystemSync>(loop, std::move(file), std::move(sync));
      shared_.sync = sync_.get();
    }
  }
  std::copy(options_.tag.begin(), options_.tag.end(), config_.tag);
  config_.num_request_queues = options_.num_queues;
}

void FsDevice::OnQueueStarted() {
  // If only the queues were reset, files are still mapped and must be watched.
  if (dax_ != nullptr) dax_->Resume();
}

void FsDevice::OnQueueStopped(Done done) {
  // While a queue runs, the guest can still map files. When the last queue stops, it also waits for
  // the window to stop, because the device may be destroyed afterwards. If the guest only resets
  // the queues, the truncation of a file is noticed when a queue starts again. Until then a vCPU
  // that reads the lost memory hangs; a guest can hang its vCPUs at any time anyway.
  if (IsServing() || dax_ == nullptr) return done();
  dax_->Stop(std::move(done));
}

void FsDevice::AddCounters(Counters& counters) const {
  shared_.counters.AddTo(counters);
  counters["host_syncs"] = sync_ == nullptr ? 0 : sync_->calls();
  server_.AddCounters(counters);
}

}  // namespace virtio
