// The virtio network device: features, configuration, queue pairs. [VIRTIO 1.2 §5.1]
#ifndef VIRTIO_NET_NET_DEVICE_H_
#define VIRTIO_NET_NET_DEVICE_H_

#include <atomic>
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
#include "virtio/net/net_queue_pair.h"
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
    // Whether the device sees the frames, so that it can filter them. Pairs of the host's kernel
    // need false.
    bool has_filters = true;
    // The host's interface, whose counters are shown with the device's; empty: none.
    std::string host_interface = {};
    // Of each direction: of what all pairs receive, and of what all pairs send.
    net::RateLimiter::Limits rate_limits = {};
  };
  // A queue pair, and the loop that serves it. With `vhost` the host's kernel serves the pair, and
  // the loop must be the same for all pairs.
  struct Pair {
    std::unique_ptr<net::Port> port;
    base::EventLoop& loop;
    std::unique_ptr<net::VhostNet> vhost = nullptr;
  };

  // `pairs` is not empty; the transport calls the device on the loop of the first. The loops and
  // `memory` must outlive the device. Call it before the loops run. Errors: ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<NetDevice>> Create(const Options& options,
                                                           std::vector<Pair> pairs,
                                                           base::GuestMemory& memory);

  // Who says that the link is down. The link is up when nobody does.
  enum class LinkSource : uint8_t { kUser = 1, kPort = 2 };
  // Connects or disconnects the guest, as if a cable was plugged in or out. While disconnected,
  // frames in both directions are dropped and counted. Any thread.
  void SetLink(LinkSource source, bool up);
  // Sets other limits for each direction. Frames that wait are tried again. Any thread.
  void SetRateLimits(const net::RateLimiter::Limits& limits);
  // How often the guest is asked. Linux 6.1 and 6.12 look at the link after the request, and set
  // the interface up later still, so that what they send meanwhile is lost.
  static constexpr int kAnnouncements = 5;
  // Asks the guest to announce its address to the network, after it has moved there. When the guest
  // has acknowledged a request, the next one follows. Any thread.
  void Announce();

 private:
  NetDevice(const Options& options, size_t pairs, base::EventLoop& loop);
  std::unique_ptr<NetControlQueue> MakeControlQueue(base::EventLoop& loop,
                                                    base::GuestMemory& memory, size_t index);

  std::span<const uint8_t> config_bytes() const override { return base::BytesOf(config_); }
  void OnActivated(uint64_t features) override;
  void OnDeactivated() override;
  // For each direction, rx_ and tx_: frames, bytes, waits and drops by reason.
  void AddCounters(Counters& counters) const override;

  void RequestAnnouncement();
  // Carries out a driver's command. Loop of the control queue.
  bool Execute(const NetCommand& command);
  // Lets the first `count` pairs be used, and no others.
  void SetPairs(size_t count);
  bool SetOffloads(uint64_t features);
  void SetMac(const net::MacAddress& mac);

  // Makes the next pair.
  absl::Status AddPair(Pair pair, base::GuestMemory& memory, uint16_t queue_size);

  const std::string host_interface_;
  const net::MacAddress mac_;  // before a driver sets its own
  NetConfigSpace config_;      // only ChangeConfig changes it
  std::atomic<int> announcements_left_ = 0;
  NetShared shared_;
  std::vector<std::unique_ptr<NetQueuePair>> pairs_;
  std::unique_ptr<NetControlQueue> control_;
  // A driver that does not accept MQ has its control queue behind the first pair. [VIRTIO 1.2
  // §5.1.2]
  std::unique_ptr<NetControlQueue> control_without_mq_;
};

}  // namespace virtio

#endif  // VIRTIO_NET_NET_DEVICE_H_
