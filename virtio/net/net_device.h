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
#include "net/rate_limiter.h"
#include "virtio/net/net_command.h"
#include "virtio/net/net_control_queue.h"
#include "virtio/net/net_queue.h"
#include "virtio/net/net_wire.h"
#include "virtio/queue/queued_device.h"

namespace virtio {

class NetDevice final : public QueuedDevice {
 public:
  struct Options {
    std::string id = {};  // "_net0"
    net::MacAddress mac = {};
    uint16_t mtu = 1500;
    uint16_t queue_size = 256;  // power of two
    // Whether the ports take and deliver frames that are still to be checksummed and segmented, and
    // whether this is so for UDP, too (USO).
    bool has_offloads = true;
    bool has_uso = false;
    // Of each direction: of what all pairs receive, and of what all pairs send.
    net::RateLimiter::Limits rate_limits = {};
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

  // Connects or disconnects the guest, as if a cable was plugged in or out. While disconnected,
  // frames in both directions are dropped and counted. Any thread.
  void SetLink(bool up);
  // Sets other limits for each direction. Frames that wait are tried again. Any thread.
  void SetRateLimits(const net::RateLimiter::Limits& limits);
  // Asks the guest to announce its address to the network, after it has moved there. Any thread.
  void Announce();

 private:
  struct Queues {
    Queues(Pair pair, base::LoopFile file, base::LoopFile send_file, NetShared& shared,
           base::GuestMemory& memory, uint16_t first_index);
    std::unique_ptr<net::Port> port;
    NetPair pair;
    NetReceiveQueue receive;
    NetTransmitQueue transmit;
  };

  NetDevice(const Options& options, size_t pairs, base::EventLoop& loop);
  std::unique_ptr<NetControlQueue> MakeControlQueue(base::EventLoop& loop,
                                                    base::GuestMemory& memory, size_t index);

  std::span<const uint8_t> config_bytes() const override { return base::BytesOf(config_); }
  void OnActivated(uint64_t features) override;
  void OnDeactivated() override;
  // For each direction, rx_ and tx_: frames, bytes, waits and drops by reason.
  void AddCounters(Counters& counters) const override;

  // Carries out a driver's command. Loop of the control queue.
  bool Execute(const NetCommand& command);
  // Lets the first `count` pairs be used, and no others.
  void SetPairs(size_t count);
  bool SetOffloads(uint64_t features);
  void SetMac(const net::MacAddress& mac);

  const net::MacAddress mac_;  // before a driver sets its own
  NetConfigSpace config_;      // only ChangeConfig changes it
  NetShared shared_;
  std::vector<std::unique_ptr<Queues>> pairs_;
  std::unique_ptr<NetControlQueue> control_;
  // A driver that does not accept MQ has its control queue behind the first pair. [VIRTIO 1.2
  // §5.1.2]
  std::unique_ptr<NetControlQueue> control_without_mq_;
};

}  // namespace virtio

#endif  // VIRTIO_NET_NET_DEVICE_H_
