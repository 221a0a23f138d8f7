#include "virtio/net/net_device.h"

#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limited_log.h"
#include "base/log.h"
#include "base/status.h"

namespace virtio {
namespace {

// A driver's feature, and what it means for the frames that the host hands over.
struct Offload {
  unsigned feature;
  uint32_t tun;
};
constexpr Offload kGuestOffloads[] = {
    {VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM}, {VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4},
    {VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6}, {VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN},
    {VIRTIO_NET_F_GUEST_UFO, TUN_F_UFO},
};

uint64_t OfferedFeatures(const NetDevice::Options& options) {
  uint64_t features = FeatureBit(VIRTIO_NET_F_MAC) | FeatureBit(VIRTIO_NET_F_MTU) |
                      FeatureBit(VIRTIO_NET_F_STATUS) | FeatureBit(VIRTIO_NET_F_MRG_RXBUF);
  if (options.has_offloads) {
    for (const Offload& offload : kGuestOffloads) features |= FeatureBit(offload.feature);
    features |= FeatureBit(VIRTIO_NET_F_CSUM) | FeatureBit(VIRTIO_NET_F_HOST_TSO4) |
                FeatureBit(VIRTIO_NET_F_HOST_TSO6) | FeatureBit(VIRTIO_NET_F_HOST_ECN) |
                FeatureBit(VIRTIO_NET_F_HOST_UFO);
  }
  return features;
}

// Linux refuses a set in which a member lacks what it requires. [VIRTIO 1.2 §5.1.3.1]
uint32_t TunOffloads(uint64_t features) {
  constexpr uint64_t kTso =
      FeatureBit(VIRTIO_NET_F_GUEST_TSO4) | FeatureBit(VIRTIO_NET_F_GUEST_TSO6);
  if ((features & FeatureBit(VIRTIO_NET_F_GUEST_CSUM)) == 0) return 0;
  if ((features & kTso) == 0) features &= ~FeatureBit(VIRTIO_NET_F_GUEST_ECN);
  uint32_t offloads = 0;
  for (const Offload& offload : kGuestOffloads) {
    if ((features & FeatureBit(offload.feature)) != 0) offloads |= offload.tun;
  }
  return offloads;
}

void Add(Counters& to, absl::string_view name, uint64_t value) { to[std::string(name)] += value; }

void AddQueue(Counters& to, absl::string_view prefix, const NetCounters& from) {
  Add(to, absl::StrCat(prefix, "frames"), from.frames.value());
  Add(to, absl::StrCat(prefix, "bytes"), from.bytes.value());
  Add(to, absl::StrCat(prefix, "wakeups"), from.wakeups.value());
  Add(to, absl::StrCat(prefix, "dropped_malformed"), from.dropped_malformed.value());
  Add(to, absl::StrCat(prefix, "dropped_host"), from.dropped_host.value());
  Add(to, absl::StrCat(prefix, "dropped_no_room"), from.dropped_no_room.value());
}

}  // namespace

NetDevice::Queues::Queues(Pair pair, base::LoopFile file, const std::string& id,
                          base::GuestMemory& memory, uint16_t first_index)
    : port(std::move(pair.port)),
      shared{.id = id, .port = *port, .file = file},
      receive(pair.loop, memory, first_index, shared),
      transmit(pair.loop, memory, static_cast<uint16_t>(first_index + 1), shared) {}

absl::StatusOr<std::unique_ptr<NetDevice>> NetDevice::Create(const Options& options,
                                                             std::vector<Pair> pairs,
                                                             base::GuestMemory& memory) {
  CHECK(!pairs.empty() && std::has_single_bit(options.queue_size) &&
        options.queue_size <= kMaxQueueSize);
  auto device = std::unique_ptr<NetDevice>(new NetDevice(options, pairs.front().loop));
  for (Pair& pair : pairs) {
    auto file = pair.loop.AddFile(pair.port->fd());
    if (!file.ok()) return base::Annotate(file.status(), options.id);
    const auto index = static_cast<uint16_t>(2 * device->pairs_.size());
    device->pairs_.push_back(
        std::make_unique<Queues>(std::move(pair), *file, options.id, memory, index));
    device->AddQueue(device->pairs_.back()->receive, options.queue_size);
    device->AddQueue(device->pairs_.back()->transmit, options.queue_size);
  }
  return device;
}

NetDevice::NetDevice(const Options& options, base::EventLoop& loop)
    : QueuedDevice({.id = options.id, .type = VIRTIO_ID_NET, .features = OfferedFeatures(options)},
                   loop),
      id_(options.id) {
  config_.mac = options.mac;
  config_.status = VIRTIO_NET_S_LINK_UP;
  config_.max_virtqueue_pairs = 1;
  config_.mtu = options.mtu;
}

void NetDevice::OnActivated(uint64_t features) {
  for (const auto& pair : pairs_) pair->shared.features = features;
  const int32_t result = pairs_.front()->port->SetOffloads(TunOffloads(features));
  if (result == 0) return;
  LOG_LIMITED(Warning, 10, id_) << id_ << ": cannot set offloads: " << strerrordesc_np(-result);
}

void NetDevice::OnDeactivated() {
  for (const auto& pair : pairs_) pair->shared.features = 0;
}

void NetDevice::AddCounters(Counters& counters) const {
  for (const auto& pair : pairs_) {
    virtio::AddQueue(counters, "rx_", pair->receive.net_counters());
    virtio::AddQueue(counters, "tx_", pair->transmit.net_counters());
  }
}

}  // namespace virtio
