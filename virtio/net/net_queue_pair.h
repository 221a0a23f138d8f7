// A pair of queues of a network device, and who serves the pair.
#ifndef VIRTIO_NET_NET_QUEUE_PAIR_H_
#define VIRTIO_NET_NET_QUEUE_PAIR_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "net/port.h"
#include "net/vhost_net.h"
#include "virtio/device.h"
#include "virtio/net/net_queue.h"
#include "virtio/net/vhost_queue.h"
#include "virtio/queue/served_queue.h"

namespace virtio {

// Unless a comment says otherwise, functions are called on the loop of the pair.
class NetQueuePair {
 public:
  explicit NetQueuePair(std::unique_ptr<net::Port> port) : port_(std::move(port)) {}
  virtual ~NetQueuePair() = default;
  NetQueuePair(const NetQueuePair&) = delete;
  NetQueuePair& operator=(const NetQueuePair&) = delete;

  // Constant; any thread.
  virtual ServedQueue& receive() = 0;
  virtual ServedQueue& transmit() = 0;
  // Its SetOffloads may be called on any thread.
  net::Port& port() { return *port_; }

  // The driver has accepted `features`; no queue is started yet. Returns 0 or -errno. The device's
  // loop.
  virtual int32_t SetFeatures(uint64_t /*features*/) { return 0; }
  // Lets the host choose this pair for frames, or not. Returns 0 or -errno.
  virtual int32_t SetActive(bool active) = 0;
  virtual void SetLink(bool /*up*/) {}
  virtual void OnRateLimitChanged() {}
  // Adds what this pair has counted. Any thread.
  virtual void AddCounters(Counters& /*counters*/) const {}

 private:
  const std::unique_ptr<net::Port> port_;
};

// A pair that a loop of this process serves.
class LoopNetQueuePair final : public NetQueuePair {
 public:
  LoopNetQueuePair(std::unique_ptr<net::Port> port, base::LoopFile file, base::LoopFile send_file,
                   base::EventLoop& loop, NetShared& shared, base::GuestMemory& memory,
                   uint16_t first_index);

  ServedQueue& receive() override { return receive_; }
  ServedQueue& transmit() override { return transmit_; }
  int32_t SetActive(bool active) override;
  void OnRateLimitChanged() override;
  void AddCounters(Counters& counters) const override;

 private:
  NetPair pair_;
  NetReceiveQueue receive_;
  NetTransmitQueue transmit_;
};

// A pair that the host's kernel serves.
class VhostNetQueuePair final : public NetQueuePair {
 public:
  VhostNetQueuePair(std::unique_ptr<net::Port> port, std::unique_ptr<net::VhostNet> vhost,
                    base::EventLoop& loop, base::GuestMemory& memory, uint16_t first_index);

  ServedQueue& receive() override { return receive_; }
  ServedQueue& transmit() override { return transmit_; }
  int32_t SetFeatures(uint64_t features) override { return vhost_->SetFeatures(features); }
  int32_t SetActive(bool active) override;
  void SetLink(bool up) override;

 private:
  void Update();

  const std::unique_ptr<net::VhostNet> vhost_;
  VhostQueue receive_;
  VhostQueue transmit_;
  bool active_ = true;
  bool link_up_ = true;
};

}  // namespace virtio

#endif  // VIRTIO_NET_NET_QUEUE_PAIR_H_
