#include "virtio/net/net_queue_pair.h"

#include <string>

namespace virtio {
namespace {

void AddQueue(Counters& to, const std::string& prefix, const NetCounters& from) {
  to[prefix + "frames"] += from.frames.value();
  to[prefix + "bytes"] += from.bytes.value();
  to[prefix + "wakeups"] += from.wakeups.value();
  to[prefix + "throttled"] += from.throttled.value();
  to[prefix + "dropped_malformed"] += from.dropped_malformed.value();
  to[prefix + "dropped_host"] += from.dropped_host.value();
  to[prefix + "dropped_link_down"] += from.dropped_link_down.value();
}

uint16_t Next(uint16_t index) { return static_cast<uint16_t>(index + 1); }

}  // namespace

LoopNetQueuePair::LoopNetQueuePair(std::unique_ptr<net::Port> port, base::LoopFile file,
                                   base::LoopFile send_file, base::EventLoop& loop,
                                   NetShared& shared, base::GuestMemory& memory,
                                   uint16_t first_index)
    : NetQueuePair(std::move(port)),
      pair_{.shared = shared,
            .port = this->port(),
            .file = file,
            .send_file = send_file,
            .send_events = this->port().send_readiness().events},
      receive_(loop, memory, first_index, pair_),
      transmit_(loop, memory, Next(first_index), pair_) {}

int32_t LoopNetQueuePair::SetActive(bool active) {
  const int32_t result = port().SetActive(active);
  receive_.SetActive(active && result == 0);
  return result;
}

void LoopNetQueuePair::OnRateLimitChanged() {
  receive_.OnRateLimitChanged();
  transmit_.OnRateLimitChanged();
}

void LoopNetQueuePair::AddCounters(Counters& counters) const {
  const NetCounters& received = receive_.net_counters();
  AddQueue(counters, "rx_", received);
  counters["rx_dropped_no_room"] += received.dropped_no_room.value();
  counters["rx_dropped_too_long"] += received.dropped_too_long.value();
  counters["rx_dropped_filter"] += received.dropped_filter.value();
  AddQueue(counters, "tx_", transmit_.net_counters());
}

VhostNetQueuePair::VhostNetQueuePair(std::unique_ptr<net::Port> port,
                                     std::unique_ptr<net::VhostNet> vhost, base::EventLoop& loop,
                                     base::GuestMemory& memory, uint16_t first_index)
    : NetQueuePair(std::move(port)),
      vhost_(std::move(vhost)),
      receive_(loop, memory, first_index, *vhost_, net::VhostNet::kReceive, this->port().fd()),
      transmit_(loop, memory, Next(first_index), *vhost_, net::VhostNet::kTransmit,
                this->port().fd()) {}

int32_t VhostNetQueuePair::SetActive(bool active) {
  const int32_t result = port().SetActive(active);
  active_ = active && result == 0;
  Update();
  return result;
}

void VhostNetQueuePair::SetLink(bool up) {
  link_up_ = up;
  Update();
}

void VhostNetQueuePair::Update() {
  receive_.SetEnabled(active_ && link_up_);
  transmit_.SetEnabled(active_ && link_up_);
}

}  // namespace virtio
