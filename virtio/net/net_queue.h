// The data path of virtio-net: a receive and a transmit queue for each pair. [VIRTIO 1.2 §5.1.6]
//
// Frames go between the guest's buffers and the host by one readv or writev each, without a copy of
// our own: the kernel copies from or to guest memory. Interrupts and used-ring updates are batched
// by DeviceQueue. All calls are on the loop of the pair.
#ifndef VIRTIO_NET_NET_QUEUE_H_
#define VIRTIO_NET_NET_QUEUE_H_

#include <limits.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "base/mutex.h"
#include "net/port.h"
#include "net/rate_limiter.h"
#include "virtio/net/net_filter.h"
#include "virtio/net/net_header.h"
#include "virtio/net/net_wire.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/device_queue.h"

namespace virtio {

// What all queues of a device use.
struct NetShared {
  explicit NetShared(const net::RateLimiter::Limits& limits)
      : receive_limiter(limits), transmit_limiter(limits) {}

  std::string id;         // of the device, for the log
  uint64_t features = 0;  // that the driver has accepted; changes only while all queues are stopped
  uint16_t mtu = 0;       // what the driver reads; constant
  std::atomic<uint8_t> link_down = 0;  // NetDevice::LinkSource of those who say so
  bool is_link_up() const { return link_down.load(std::memory_order_relaxed) == 0; }
  net::RateLimiter receive_limiter;
  net::RateLimiter transmit_limiter;
  base::Mutex mutex;
  NetFilter filter ABSL_GUARDED_BY(mutex);
};

// What both queues of a pair use.
struct NetPair {
  NetShared& shared;
  net::Port& port;
  base::LoopFile file;  // the port's, with the pair's loop
  // What to poll before sending again.
  base::LoopFile send_file;
  uint32_t send_events = 0;
};

// Counters of one queue. One thread increments them, any thread may read them.
struct NetCounters {
  QueueCounter frames;
  QueueCounter bytes;              // without NetHeader
  QueueCounter wakeups;            // the host had frames or room again
  QueueCounter throttled;          // waits for the rate limit
  QueueCounter dropped_malformed;  // what the driver made available cannot be used
  QueueCounter dropped_host;       // the host refused the frame
  QueueCounter dropped_link_down;  // see NetDevice::SetLink
  QueueCounter dropped_no_room;    // the driver's buffers were too small
  QueueCounter dropped_too_long;   // longer than the MTU
  QueueCounter dropped_filter;     // the driver does not want the frame
};

// Receives frames into the buffers that the driver has made available. The queue keeps buffers for
// at least one frame of the largest size, so that it can read before it knows a frame's size, and
// returns those that a frame did not need when it stops or pauses. A frame that is larger than
// these buffers waits for others, but not for long. Such frames come when the driver is slow:
// the peer would send a dropped frame again, at a time when there is as little room.
class NetReceiveQueue final : public DeviceQueue {
 public:
  NetReceiveQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index, NetPair& pair);

  // Begins or ceases to receive: a pair that the driver does not use has an inactive port.
  void SetActive(bool active);
  // Ends a wait for the rate limit, which has changed, and begins another if necessary.
  void OnRateLimitChanged();
  const NetCounters& net_counters() const { return counters_; }

 private:
  static constexpr uint32_t kMaxBuffers = 64;
  struct Buffer : Chain {
    uint32_t end = 0;  // in iovecs_: behind the last one of this buffer
  };
  class Wait final : public base::Operation {
   public:
    explicit Wait(NetReceiveQueue& queue) : queue_(queue) {}
    void OnComplete(int32_t result) override { queue_.OnWaited(result); }

   private:
    NetReceiveQueue& queue_;
  };

  Chain* AcquireChain() override;
  void ReleaseChain(Chain& /*chain*/) override {}
  void Start(Chain& chain) override;
  bool WantsChains() const override;
  void OnServed() override;
  void CancelRequests() override;
  void PauseRequests() override;
  bool HasOperations() const override { return wait_.pending(); }

  bool mergeable() const;
  void OnWaited(int32_t result);
  // Returns whether the rate limit lets a frame through. Otherwise waits until it does.
  bool MayReceive();
  void ReceiveFrame() ABSL_EXCLUSIVE_LOCKS_REQUIRED(pair_.shared.mutex);
  void TakeStart();
  // Returns whether the driver gets the frame that was received; counts it if not.
  bool IsWanted(uint32_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(pair_.shared.mutex);
  // Delivers a frame of which what lies behind iovecs_[begin_, end) is in excess_.
  void DeliverOrWait(uint32_t bytes, uint32_t end);
  // Delivers the frame whose excess is in excess_, or drops the frame if the driver cannot add
  // buffers. Returns false if the frame waits for buffers.
  bool DeliverWithExcess();
  void Deliver(uint32_t bytes);
  // Forgets the oldest `count` buffers.
  void Drop(uint32_t count);
  void GiveBuffersBack();
  Buffer& at(uint32_t i) { return buffers_[(first_ + i) % kMaxBuffers]; }

  NetPair& pair_;
  NetCounters counters_;
  Wait wait_;
  net::RateReservation reservation_;  // for the next frame, whose length is not known yet
  bool active_ = true;
  bool ready_ = true;  // the port may have a frame, and the rate limit lets it through
  // Buffers that no frame has used yet, oldest first. Their iovecs lie behind each other in
  // iovecs_[begin_, end_), so that they are the argument of one readv. There is always room for one
  // iovec before them and one behind.
  std::array<Buffer, kMaxBuffers> buffers_;
  uint32_t first_ = 0;
  uint32_t count_ = 0;
  uint64_t bytes_ = 0;
  // Of a frame in one readv, besides those of start_ and excess_. The queue takes no further buffer
  // if it holds more.
  static constexpr uint32_t kMaxIovecs = IOV_MAX - 2;
  static constexpr uint32_t kIovecs = kMaxIovecs + kMaxChainSegments;
  uint32_t begin_ = 1;
  uint32_t end_ = 1;
  // A header and the beginning of a frame are received here, since the header is not complete
  // before the frame has been received and the filter must see what the guest cannot change.
  struct FrameStart {
    NetHeader header;
    std::array<uint8_t, NetFilter::kFrameBytes> frame;
  };
  static_assert(base::WireType<FrameStart>);
  FrameStart start_;
  // Where start_ goes: in the oldest buffer, and not in iovecs_.
  std::array<iovec, sizeof(FrameStart)> start_target_;
  uint32_t start_pieces_ = 0;
  uint32_t start_bytes_ = 0;
  std::array<iovec, 1 + kIovecs + 1> iovecs_;
  // The end of a frame that is larger than the buffers were, and where this end goes in iovecs_,
  // counted from begin_. A frame waits for buffers if excess_bytes_ is not 0.
  std::array<uint8_t, sizeof(NetHeader) + net::kMaxFrameBytes> excess_;
  uint32_t excess_bytes_ = 0;
  uint32_t excess_offset_ = 0;
  uint32_t frame_bytes_ = 0;
};

// Sends the frames that the driver has made available.
class NetTransmitQueue final : public DeviceQueue {
 public:
  NetTransmitQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index, NetPair& pair);

  // Ends a wait for the rate limit, which has changed, and begins another if necessary.
  void OnRateLimitChanged();
  const NetCounters& net_counters() const { return counters_; }

 private:
  class Wait final : public base::Operation {
   public:
    explicit Wait(NetTransmitQueue& queue) : queue_(queue) {}
    void OnComplete(int32_t result) override { queue_.OnWaited(result); }

   private:
    NetTransmitQueue& queue_;
  };

  Chain* AcquireChain() override;
  void ReleaseChain(Chain& /*chain*/) override { in_use_ = false; }
  void Start(Chain& chain) override;
  void CancelRequests() override;
  void PauseRequests() override;
  bool HasOperations() const override { return wait_.pending(); }

  // Sends the frame now or when the rate limit lets it through, unless the link is down then.
  void BeginSend();
  void Send();
  void OnWaited(int32_t result);
  // Gives a frame that waits back to the ring.
  void GiveFrameBack();

  NetPair& pair_;
  NetCounters counters_;
  Wait wait_;
  net::RateReservation reservation_;  // for the frame in chain_
  // The single chain that the queue works on. Its iovecs have room for one before them.
  Chain chain_;
  bool in_use_ = false;
  NetHeader header_;
  std::array<iovec, 1 + kMaxChainSegments> iovecs_;
};

}  // namespace virtio

#endif  // VIRTIO_NET_NET_QUEUE_H_
