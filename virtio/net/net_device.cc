#include "virtio/net/net_device.h"

#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include <atomic>
#include <bit>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limited_log.h"
#include "base/log.h"
#include "base/status.h"
#include "net/tap.h"

namespace virtio {
namespace {

// linux/if_tun.h of Linux 6.1 does not have these values yet.
constexpr uint32_t kTunUso4 = 0x20;
constexpr uint32_t kTunUso6 = 0x40;
// Of ChangeConfig: no driver has accepted all of these, so none is notified.
constexpr uint64_t kNobody = ~uint64_t{0};

// A driver's feature, and what it means for the frames that the host hands over.
struct Offload {
  unsigned feature;
  uint32_t tun;
};
constexpr Offload kOffloads[] = {
    {VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM}, {VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4},
    {VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6}, {VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN},
    {VIRTIO_NET_F_GUEST_UFO, TUN_F_UFO},   {kNetFeatureGuestUso4, kTunUso4},
    {kNetFeatureGuestUso6, kTunUso6},
};

uint64_t OfferedFeatures(const NetDevice::Options& options, size_t pairs) {
  uint64_t features = FeatureBit(VIRTIO_NET_F_MAC) | FeatureBit(VIRTIO_NET_F_MTU) |
                      FeatureBit(VIRTIO_NET_F_STATUS) | FeatureBit(VIRTIO_NET_F_MRG_RXBUF) |
                      FeatureBit(VIRTIO_NET_F_CTRL_VQ) | FeatureBit(VIRTIO_NET_F_CTRL_RX) |
                      FeatureBit(VIRTIO_NET_F_CTRL_RX_EXTRA) | FeatureBit(VIRTIO_NET_F_CTRL_VLAN) |
                      FeatureBit(VIRTIO_NET_F_CTRL_MAC_ADDR) |
                      FeatureBit(VIRTIO_NET_F_GUEST_ANNOUNCE);
  if (pairs > 1) features |= FeatureBit(VIRTIO_NET_F_MQ);
  if (!options.has_filters) {
    features &= ~(FeatureBit(VIRTIO_NET_F_CTRL_RX) | FeatureBit(VIRTIO_NET_F_CTRL_RX_EXTRA) |
                  FeatureBit(VIRTIO_NET_F_CTRL_VLAN) | FeatureBit(VIRTIO_NET_F_CTRL_MAC_ADDR));
  }
  if (!options.has_offloads) return features;
  features |= FeatureBit(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | kNetGuestOffloads |
              FeatureBit(VIRTIO_NET_F_CSUM) | FeatureBit(VIRTIO_NET_F_HOST_TSO4) |
              FeatureBit(VIRTIO_NET_F_HOST_TSO6) | FeatureBit(VIRTIO_NET_F_HOST_ECN) |
              FeatureBit(VIRTIO_NET_F_HOST_UFO) | FeatureBit(kNetFeatureHostUso);
  if (options.has_uso) return features;
  return features & ~(FeatureBit(kNetFeatureGuestUso4) | FeatureBit(kNetFeatureGuestUso6) |
                      FeatureBit(kNetFeatureHostUso));
}

// Linux refuses a set in which a member lacks what it requires, and USO for only one version of IP.
// [VIRTIO 1.2 §5.1.3.1]
uint32_t TunOffloads(uint64_t features) {
  constexpr uint64_t kTso =
      FeatureBit(VIRTIO_NET_F_GUEST_TSO4) | FeatureBit(VIRTIO_NET_F_GUEST_TSO6);
  constexpr uint64_t kUso = FeatureBit(kNetFeatureGuestUso4) | FeatureBit(kNetFeatureGuestUso6);
  if ((features & FeatureBit(VIRTIO_NET_F_GUEST_CSUM)) == 0) return 0;
  if ((features & kTso) == 0) features &= ~FeatureBit(VIRTIO_NET_F_GUEST_ECN);
  if ((features & kUso) != kUso) features &= ~kUso;
  uint32_t offloads = 0;
  for (const Offload& offload : kOffloads) {
    if ((features & FeatureBit(offload.feature)) != 0) offloads |= offload.tun;
  }
  return offloads;
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetDevice>> NetDevice::Create(const Options& options,
                                                             std::vector<Pair> pairs,
                                                             base::GuestMemory& memory) {
  CHECK(!pairs.empty() && std::has_single_bit(options.queue_size) &&
        options.queue_size <= kMaxQueueSize);
  base::EventLoop& loop = pairs.front().loop;
  auto device = std::unique_ptr<NetDevice>(new NetDevice(options, pairs.size(), loop));
  for (Pair& pair : pairs) {
    const absl::Status status = device->AddPair(std::move(pair), memory, options.queue_size);
    if (!status.ok()) return base::Annotate(status, options.id);
  }
  device->control_ = device->MakeControlQueue(loop, memory, 2 * pairs.size());
  device->AddQueue(*device->control_, NetControlQueue::kMaxSize);
  if (pairs.size() > 1) {
    device->control_without_mq_ =
        device->MakeControlQueue(device->pairs_[1]->receive().loop(), memory, 2);
  }
  device->SetPairs(1);
  return device;
}

absl::Status NetDevice::AddPair(Pair pair, base::GuestMemory& memory, uint16_t queue_size) {
  const auto first_index = static_cast<uint16_t>(2 * pairs_.size());
  if (pair.vhost != nullptr) {
    CHECK(&pair.loop == &loop());
    pairs_.push_back(std::make_unique<VhostNetQueuePair>(
        std::move(pair.port), std::move(pair.vhost), pair.loop, memory, first_index));
  } else {
    const int fd = pair.port->fd();
    const int send_fd = pair.port->send_readiness().fd;
    ASSIGN_OR_RETURN(const base::LoopFile file, pair.loop.AddFile(fd));
    base::LoopFile send_file = file;
    if (send_fd != fd) {
      ASSIGN_OR_RETURN(send_file, pair.loop.AddFile(send_fd));
    }
    pairs_.push_back(std::make_unique<LoopNetQueuePair>(std::move(pair.port), file, send_file,
                                                        pair.loop, shared_, memory, first_index));
  }
  AddQueue(pairs_.back()->receive(), queue_size);
  AddQueue(pairs_.back()->transmit(), queue_size);
  return absl::OkStatus();
}

NetDevice::NetDevice(const Options& options, size_t pairs, base::EventLoop& loop)
    : QueuedDevice(
          {.id = options.id, .type = VIRTIO_ID_NET, .features = OfferedFeatures(options, pairs)},
          loop),
      host_interface_(options.host_interface),
      mac_(options.mac),
      shared_(options.rate_limits) {
  shared_.id = options.id;
  shared_.mtu = options.mtu;
  config_.mac = options.mac;
  config_.status = VIRTIO_NET_S_LINK_UP;
  config_.max_virtqueue_pairs = static_cast<uint16_t>(pairs);
  config_.mtu = options.mtu;
}

std::unique_ptr<NetControlQueue> NetDevice::MakeControlQueue(base::EventLoop& loop,
                                                             base::GuestMemory& memory,
                                                             size_t index) {
  return std::make_unique<NetControlQueue>(
      loop, memory, static_cast<uint16_t>(index), shared_.features,
      [this](const NetCommand& command) { return Execute(command); });
}

void NetDevice::OnActivated(uint64_t features) {
  shared_.features = features;
  {
    base::MutexLock lock(shared_.mutex);
    shared_.filter = NetFilter();
    shared_.filter.mac = mac_;
    shared_.filter.has_vlans = (features & FeatureBit(VIRTIO_NET_F_CTRL_VLAN)) != 0;
  }
  if (control_without_mq_ != nullptr) {
    if ((features & FeatureBit(VIRTIO_NET_F_MQ)) != 0) {
      ReplaceQueue(pairs_[1]->receive());
    } else {
      ReplaceQueue(*control_without_mq_);
    }
  }
  for (const auto& pair : pairs_) {
    const int32_t result = pair->SetFeatures(features);
    if (result < 0) {
      LOG_LIMITED(Error, 10, id())
          << id() << ": vhost-net: cannot set its features: " << strerrordesc_np(-result);
    }
  }
  SetOffloads(features & kNetGuestOffloads);
}

void NetDevice::OnDeactivated() {
  announcements_left_ = 0;
  SetPairs(1);
  SetMac(mac_);
  shared_.features = 0;
}

void NetDevice::SetLink(LinkSource source, bool up) {
  const auto bit = static_cast<uint8_t>(source);
  if (up) {
    shared_.link_down.fetch_and(static_cast<uint8_t>(~bit), std::memory_order_relaxed);
  } else {
    shared_.link_down.fetch_or(bit, std::memory_order_relaxed);
  }
  ChangeConfig(FeatureBit(VIRTIO_NET_F_STATUS), [&] {
    const bool is_up = shared_.is_link_up();  // of now: another source may have been faster
    const unsigned rest = config_.status.value() & ~unsigned{VIRTIO_NET_S_LINK_UP};
    config_.status = static_cast<uint16_t>(rest | (is_up ? unsigned{VIRTIO_NET_S_LINK_UP} : 0));
  });
  for (const auto& pair : pairs_) {
    pair->receive().loop().Post([this, &queues = *pair] { queues.SetLink(shared_.is_link_up()); });
  }
}

void NetDevice::SetRateLimits(const net::RateLimiter::Limits& limits) {
  const std::chrono::nanoseconds now = loop().Now();
  shared_.receive_limiter.Change(limits, now);
  shared_.transmit_limiter.Change(limits, now);
  for (const auto& pair : pairs_) {
    pair->receive().loop().Post([&queues = *pair] { queues.OnRateLimitChanged(); });
  }
}

void NetDevice::Announce() {
  announcements_left_ = kAnnouncements - 1;
  RequestAnnouncement();
}

void NetDevice::RequestAnnouncement() {
  ChangeConfig(FeatureBit(VIRTIO_NET_F_STATUS) | FeatureBit(VIRTIO_NET_F_GUEST_ANNOUNCE), [&] {
    config_.status = static_cast<uint16_t>(config_.status.value() | VIRTIO_NET_S_ANNOUNCE);
  });
}

bool NetDevice::Execute(const NetCommand& command) {
  if (command.kind == NetCommandKind::kAckAnnounce) {
    ChangeConfig(kNobody, [&] {
      config_.status =
          static_cast<uint16_t>(config_.status.value() & ~unsigned{VIRTIO_NET_S_ANNOUNCE});
    });
    // The driver must first see that the bit is cleared. [VIRTIO 1.2 §5.1.6.5.4.2]
    if (announcements_left_ > 0) {
      --announcements_left_;
      loop().Post([this] { RequestAnnouncement(); });
    }
    return true;
  }
  if (command.kind == NetCommandKind::kSetPairs) {
    if (command.pairs > pairs_.size()) return false;
    SetPairs(command.pairs);
    return true;
  }
  if (command.kind == NetCommandKind::kSetOffloads) return SetOffloads(command.offloads);
  if (command.kind == NetCommandKind::kSetMac) {
    SetMac(command.mac);
    return true;
  }
  base::MutexLock lock(shared_.mutex);
  NetFilter& filter = shared_.filter;
  switch (command.kind) {
    case NetCommandKind::kPromiscuous:
      filter.promiscuous = command.on;
      return true;
    case NetCommandKind::kAllMulticast:
      filter.all_multicast = command.on;
      return true;
    case NetCommandKind::kAllUnicast:
      filter.all_unicast = command.on;
      return true;
    case NetCommandKind::kNoMulticast:
      filter.no_multicast = command.on;
      return true;
    case NetCommandKind::kNoUnicast:
      filter.no_unicast = command.on;
      return true;
    case NetCommandKind::kNoBroadcast:
      filter.no_broadcast = command.on;
      return true;
    case NetCommandKind::kSetMacTables:
      filter.unicast = command.unicast;
      filter.multicast = command.multicast;
      return true;
    case NetCommandKind::kAddVlan:
    case NetCommandKind::kRemoveVlan:
      filter.vlans[command.vlan] = command.kind == NetCommandKind::kAddVlan;
      return true;
    default:
      return false;
  }
}

void NetDevice::SetPairs(size_t count) {
  for (size_t i = 1; i < pairs_.size(); ++i) {
    NetQueuePair& pair = *pairs_[i];
    // A pair's port and queues are touched on its own loop only. The driver's next frame on the
    // pair is served behind this function, since queues are served at the end of a turn.
    pair.receive().loop().Post([this, &pair, active = i < count] {
      const int32_t result = pair.SetActive(active);
      if (result == 0) return;
      LOG_LIMITED(Warning, 10, shared_.id)
          << shared_.id << ": cannot " << (active ? "attach" : "detach")
          << " a queue: " << strerrordesc_np(-result);
    });
  }
}

bool NetDevice::SetOffloads(uint64_t features) {
  const int32_t result = pairs_.front()->port().SetOffloads(TunOffloads(features));
  if (result == 0) return true;
  LOG_LIMITED(Warning, 10, shared_.id)
      << shared_.id << ": cannot set offloads: " << strerrordesc_np(-result);
  return false;
}

void NetDevice::SetMac(const net::MacAddress& mac) {
  ChangeConfig(kNobody, [&] { config_.mac = mac; });
  base::MutexLock lock(shared_.mutex);
  shared_.filter.mac = mac;
}

void NetDevice::AddCounters(Counters& counters) const {
  for (const auto& pair : pairs_) pair->AddCounters(counters);
  for (const auto& [name, value] : net::InterfaceCounters(host_interface_)) {
    counters["host_" + name] = value;
  }
  counters["commands_refused"] = control_->refused().value();
  if (control_without_mq_ != nullptr) {
    counters["commands_refused"] += control_without_mq_->refused().value();
  }
}

}  // namespace virtio
