// The driver of block_bench: just enough to keep a virtio-blk queue full of random reads.
#ifndef TESTS_BENCH_RING_DRIVER_H_
#define TESTS_BENCH_RING_DRIVER_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/guest_memory.h"
#include "base/unique_fd.h"
#include "virtio/device.h"

struct vring_desc;

namespace bench {

// Offsets of 4 KiB blocks, in the same sequence in every run.
class RandomBlocks {
 public:
  static constexpr uint32_t kBytes = 4096;
  explicit RandomBlocks(uint64_t disk_bytes) : blocks_(disk_bytes / kBytes) {}
  uint64_t NextOffset() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % blocks_ * kBytes;
  }

 private:
  const uint64_t blocks_;
  uint64_t state_ = 88172645463325252;
};

// All chains are prepared once: header, data, status. When a request ends, the interrupt, which is
// a call on the loop's thread here, makes it available again with another sector. If the device
// asks for a kick, the driver signals the doorbell as KVM would.
class RingDriver final : public virtio::DriverNotifier {
 public:
  static constexpr uint16_t kQueueSize = 128;
  static constexpr uint16_t kDepth = 32;

  // `running` says whether to continue. `on_idle` is called when `running` has returned false and
  // no request is in flight. `depth` is how many requests are kept in flight, at most kDepth. If
  // `latencies_us` is given, the time of each request is added to it.
  RingDriver(base::GuestMemory& memory, RandomBlocks blocks, std::function<bool()> running,
             std::function<void()> on_idle, uint16_t depth = kDepth,
             std::vector<double>* latencies_us = nullptr);

  virtio::QueueAddresses addresses() const;
  int doorbell() const { return doorbell_.get(); }
  // Makes the first requests available. Call it after the device has started the queue.
  void Start();

  void NotifyQueue(uint16_t index) override;
  absl::StatusOr<int> QueueInterruptFd(uint16_t /*index*/) override {
    return absl::UnimplementedError("a test");
  }
  void NeedsReset(absl::string_view why) override;

  uint64_t requests() const { return requests_; }
  uint64_t interrupts() const { return interrupts_; }
  uint64_t kicks() const { return kicks_; }

 private:
  uint8_t* At(uint64_t guest_address);
  void Prepare(uint16_t request);
  void Offer(uint16_t request);
  void Publish();

  base::GuestMemory& memory_;
  RandomBlocks blocks_;
  const std::function<bool()> running_;
  const std::function<void()> on_idle_;
  const uint16_t depth_;
  std::vector<double>* const latencies_us_;
  // used only if latencies are measured
  std::array<std::chrono::steady_clock::time_point, kDepth> offered_{};
  base::UniqueFd doorbell_;
  vring_desc* const descriptors_;
  uint16_t* const avail_;      // flags, idx, ring[size], used_event
  uint16_t* const used_;       // flags, idx
  uint32_t* const used_ring_;  // id, len
  uint16_t* const avail_event_;
  uint16_t next_avail_ = 0;  // includes requests that are offered but not published
  uint16_t published_ = 0;
  uint16_t next_used_ = 0;
  uint16_t in_flight_ = 0;
  uint64_t requests_ = 0;
  uint64_t interrupts_ = 0;
  uint64_t kicks_ = 0;
};

}  // namespace bench

#endif  // TESTS_BENCH_RING_DRIVER_H_
