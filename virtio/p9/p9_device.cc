#include "virtio/p9/p9_device.h"

#include <linux/virtio_ids.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/log.h"
#include "base/status.h"

namespace virtio {

absl::StatusOr<std::unique_ptr<P9Device>> P9Device::Create(Options options,
                                                           std::unique_ptr<HostTree> tree,
                                                           base::EventLoop& loop,
                                                           base::GuestMemory& memory) {
  CHECK(!options.tag.empty() && options.tag.size() <= kP9MaxTagBytes && options.max_fids > 0 &&
        options.max_open_files > 0);
  CHECK(std::has_single_bit(options.queue_size) && options.queue_size >= 4);
  // Each transfer in flight may be of another file: as many, so that `max_open_files` holds.
  auto slab = RequestSlab<P9Request>::Create(options.queue_size,
                                             P9Server::HasOwnFiles(*tree, options.versions)
                                                 ? P9Server::MaxOwnFiles(options.max_open_files)
                                                 : options.max_open_files);
  if (!slab.ok()) return base::Annotate(slab.status(), options.id);
  return std::unique_ptr<P9Device>(
      new P9Device(std::move(options), std::move(tree), loop, memory, std::move(slab).value()));
}

P9Device::P9Device(Options options, std::unique_ptr<HostTree> tree, base::EventLoop& loop,
                   base::GuestMemory& memory, RequestSlab<P9Request> slab)
    : options_(std::move(options)),
      loop_(loop),
      tree_(std::move(tree)),
      server_(*tree_, loop, options_.versions,
              {.fids = options_.max_fids, .open_files = options_.max_open_files}),
      queue_(loop, memory, options_.id, server_, std::move(slab)) {
  config_.tag_size = static_cast<uint16_t>(options_.tag.size());
  std::copy(options_.tag.begin(), options_.tag.end(), config_.tag);
}

uint16_t P9Device::type() const { return VIRTIO_ID_9P; }

uint32_t P9Device::config_size() const {
  return static_cast<uint32_t>(sizeof(config_.tag_size) + options_.tag.size());
}

void P9Device::ReadConfig(uint32_t offset, std::span<uint8_t> to) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&config_);
  for (size_t i = 0; i < to.size(); ++i) {
    const uint64_t at = uint64_t{offset} + i;
    to[i] = at < sizeof(config_) ? bytes[at] : 0;
  }
}

void P9Device::Activate(uint64_t /*features*/, DriverNotifier& notifier) { notifier_ = &notifier; }

void P9Device::StartQueue(QueueStart queue) {
  CHECK(queue.index == 0);
  queue_.StartServing(std::move(queue), *notifier_);
}

void P9Device::StopQueue(uint16_t index, Done done) {
  CHECK(index == 0);
  queue_.Stop(std::move(done));
}

void P9Device::Deactivate() {
  server_.EndSession();
  notifier_ = nullptr;
}

void P9Device::Pause(Done done) { queue_.Pause(std::move(done)); }

void P9Device::Resume() { queue_.Resume(); }

Counters P9Device::counters() const {
  Counters all;
  server_.AddCounters(all);
  queue_.AddCounters(all);
  return all;
}

}  // namespace virtio
