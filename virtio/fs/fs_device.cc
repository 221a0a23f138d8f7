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
  // Each read in flight may be of another file: as many, so that `max_open_files` holds.
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
  for (const uint16_t queue_size : device->queue_sizes_) {
    const auto i = static_cast<uint16_t>(device->queues_.size());
    auto slab = RequestSlab<FsRequest>::Create(queue_size, requests);
    if (!slab.ok()) return base::Annotate(slab.status(), device->id());
    device->queues_.push_back(std::make_unique<FsQueue>(loop, memory, i, device->server_,
                                                        device->shared_, std::move(slab).value()));
  }
  return device;
}

FsDevice::FsDevice(Options options, std::unique_ptr<HostTree> tree, std::unique_ptr<DaxWindow> dax,
                   base::EventLoop& loop)
    : options_(std::move(options)),
      loop_(loop),
      queue_sizes_(options_.num_queues + size_t{1}, options_.queue_size),
      tree_(std::move(tree)),
      dax_(std::move(dax)),
      files_(*tree_, loop, options_.max_open_files),
      handles_(loop, options_.max_open_files),
      server_(*tree_, files_, handles_, options_.cache, dax_.get(), options_.real_time) {
  if (dax_ != nullptr) {
    shared_memory_ = {
        {.id = kDaxSharedMemoryId, .length = dax_->size_bytes(), .host = dax_->host()}};
  }
  shared_.id = options_.id;
  if (tree_->writable()) {
    // Kept open, because an error of the file system is told to those who had it open by then.
    base::UniqueFd file;
    shared_.sync_error = tree_->OpenFileSystem(file);
    if (shared_.sync_error == 0) {
      FileSystemSync::Options sync = options_.sync;
      sync.all = tree_->submounts();
      sync_ = std::make_unique<FileSystemSync>(loop_, std::move(file), std::move(sync));
      shared_.sync = sync_.get();
    }
  }
  std::copy(options_.tag.begin(), options_.tag.end(), config_.tag);
  config_.num_request_queues = options_.num_queues;
}

uint16_t FsDevice::type() const { return VIRTIO_ID_FS; }

void FsDevice::ReadConfig(uint32_t offset, std::span<uint8_t> to) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&config_);
  for (size_t i = 0; i < to.size(); ++i) {
    const uint64_t at = uint64_t{offset} + i;
    to[i] = at < sizeof(config_) ? bytes[at] : 0;
  }
}

void FsDevice::Activate(uint64_t /*features*/, DriverNotifier& notifier) { notifier_ = &notifier; }

void FsDevice::StartQueue(QueueStart queue) {
  const uint16_t index = queue.index;
  CHECK(index < queues_.size());
  queues_[index]->StartServing(std::move(queue), *notifier_);
  // After resets of all queues, what the guest has mapped is mapped still.
  if (dax_ != nullptr) dax_->Resume();
}

void FsDevice::StopQueue(uint16_t index, Done done) {
  queues_[index]->Stop([this, done = std::move(done)]() mutable {
    // Queues that run can still map files; the last one waits for the window too, as the device may
    // be about to go. If only its rings are reset, files that the host truncates are noticed when a
    // queue is started again, and until then a guest that reads them hangs its vCPU, as it could
    // by itself at any time.
    const bool runs = std::ranges::any_of(queues_, [](const auto& q) { return q->started(); });
    if (runs || dax_ == nullptr) return done();
    dax_->Stop(std::move(done));
  });
}

void FsDevice::Deactivate() {
  server_.EndSession();
  notifier_ = nullptr;
}

void FsDevice::Pause(Done done) {
  pause_done_ = std::move(done);
  pausing_ = queues_.size();
  for (const auto& queue : queues_) {
    queue->Pause([this] {
      if (--pausing_ == 0) std::exchange(pause_done_, nullptr)();
    });
  }
}

void FsDevice::Resume() {
  pause_done_ = nullptr;
  for (const auto& queue : queues_) queue->Resume();
}

Counters FsDevice::counters() const {
  Counters all = {
      {"read_bytes", shared_.read_bytes},
      {"written_bytes", shared_.written_bytes},
      {"host_errors", shared_.host_errors},
      {"short_transfers", shared_.short_transfers},
      {"retries", shared_.retries},
      {"requests_without_room", shared_.without_room},
      {"host_syncs", sync_ == nullptr ? 0 : sync_->calls()},
  };
  server_.AddCounters(all);
  for (const auto& queue : queues_) {
    all["kicks"] += queue->queue_counters().kicks;
    all["chains"] += queue->queue_counters().chains;
    all["interrupts"] += queue->queue_counters().interrupts;
  }
  return all;
}

}  // namespace virtio
