// The virtio network device: features, configuration, queue pairs. [VIRTIO 1.2 §5.1]
#ifndef VIRTIO_NET_NET_DEVICE_H_
#define VIRTIO_NET_NET_DEVICE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "net/mac_address.h"
#include "net/port.h"
#include "virtio/net/net_queue.h"
#include "virtio/net/net_wire.h"
#include "virtio/queue/queued_device.h"

namespace virtio {

class NetDevice final : public QueuedDevice {
 public:
  struct Options {
    std::string id;  // "_net0"
    net::MacAddress mac = {};
    uint16_t mtu = 1500;
    uint16_t queue_size = 256;  // power of two
    bool has_offloads = true;   // the ports take frames that are not segmented or checksummed yet
  };
  // A queue pair, and the loop that serves it.
  struct Pair {
    std::unique_ptr<net::Port> port;
    base::EventLoop& loop;
  };

  // `pairs` is not empty; the transport calls the device on the loop of the first. The loops and
  // `memory` must outlive the device. Call it before the loops run. Errors: ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<NetDevice>> Create(const Options& options,
                                                           std::vector<Pair> pairs,
                                                           base::GuestMemory& memory);

 private:
  struct Queues {
    Queues(Pair pair, base::LoopFile file, const std::string& id, base::GuestMemory& memory,
           uint16_t first_index);
    std::unique_ptr<net::Port> port;
    NetPair shared;
    NetReceiveQueue receive;
    NetTransmitQueue transmit;
  };

  NetDevice(const Options& options, base::EventLoop& loop);

  std::span<const uint8_t> config_bytes() const override { return base::BytesOf(config_); }
  void OnActivated(uint64_t features) override;
  void OnDeactivated() override;
  // For each direction, rx_ and tx_: frames, bytes, wakeups and drops by reason.
  void AddCounters(Counters& counters) const override;

  const std::string id_;
  NetConfigSpace config_;  // only ChangeConfig changes it
  std::vector<std::unique_ptr<Queues>> pairs_;
};

}  // namespace virtio

#endif  // VIRTIO_NET_NET_DEVICE_H_
