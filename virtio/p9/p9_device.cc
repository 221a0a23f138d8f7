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
  // Each transfer in flight may need a file of its own. So there are no more requests than files
  // may be open.
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
    : QueuedDevice({.id = options.id, .type = VIRTIO_ID_9P, .features = kP9FeatureMountTag}, loop),
      options_(std::move(options)),
      tree_(std::move(tree)),
      server_(*tree_, loop, options_.versions,
              {.fids = options_.max_fids, .open_files = options_.max_open_files}),
      transfers_{.id = options_.id},
      queue_(loop, memory, server_, transfers_, std::move(slab)) {
  config_.tag_size = static_cast<uint16_t>(options_.tag.size());
  std::copy(options_.tag.begin(), options_.tag.end(), config_.tag);
  AddQueue(queue_, options_.queue_size);
}

std::span<const uint8_t> P9Device::config_bytes() const {
  return base::BytesOf(config_).first(sizeof(config_.tag_size) + options_.tag.size());
}

void P9Device::AddCounters(Counters& counters) const {
  server_.AddCounters(counters);
  transfers_.AddTo(counters);
}

}  // namespace virtio
