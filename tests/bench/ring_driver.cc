#include "tests/bench/ring_driver.h"

#define VIRTIO_RING_NO_LEGACY  // the legacy part is not C++
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cstring>
#include <ratio>
#include <utility>

#include "base/log.h"
#include "virtio/block/block_wire.h"

namespace bench {
namespace {

// The layout of guest memory.
constexpr uint64_t kDescriptors = 0x10000;
constexpr uint64_t kAvail = 0x11000;
constexpr uint64_t kUsed = 0x12000;
constexpr uint64_t kHeaders = 0x13000;
constexpr uint64_t kStatuses = 0x14000;
constexpr uint64_t kData = 0x100000;
constexpr uint16_t kChainDescriptors = 3;
constexpr uint8_t kNoStatus = 0xff;

constexpr uint32_t kIdx = 1;  // in both rings, as uint16_t[]
constexpr uint32_t kRing = 2;

uint16_t Load(uint16_t& field, std::memory_order order) {
  return std::atomic_ref(field).load(order);
}

}  // namespace

RingDriver::RingDriver(base::GuestMemory& memory, RandomBlocks blocks,
                       std::function<bool()> running, std::function<void()> on_idle, uint16_t depth,
                       std::vector<double>* latencies_us)
    : memory_(memory),
      blocks_(blocks),
      running_(std::move(running)),
      on_idle_(std::move(on_idle)),
      depth_(depth),
      latencies_us_(latencies_us),
      doorbell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      descriptors_(reinterpret_cast<vring_desc*>(At(kDescriptors))),
      avail_(reinterpret_cast<uint16_t*>(At(kAvail))),
      used_(reinterpret_cast<uint16_t*>(At(kUsed))),
      used_ring_(reinterpret_cast<uint32_t*>(At(kUsed + 4))),
      avail_event_(reinterpret_cast<uint16_t*>(At(kUsed + 4 + 8 * kQueueSize))) {
  CHECK(doorbell_.valid());
  CHECK(depth_ <= kDepth);
  for (uint16_t i = 0; i < depth_; ++i) Prepare(i);
}

uint8_t* RingDriver::At(uint64_t guest_address) {
  const auto iov = memory_.IoVec(*base::GuestRange::Create(guest_address, 1));
  CHECK(iov.has_value());
  return static_cast<uint8_t*>(iov->iov_base);
}

virtio::QueueAddresses RingDriver::addresses() const {
  return {kQueueSize, kDescriptors, kAvail, kUsed};
}

void RingDriver::Prepare(uint16_t request) {
  const auto head = static_cast<uint16_t>(request * kChainDescriptors);
  constexpr uint64_t kHeaderBytes = sizeof(virtio::BlockHeader);
  descriptors_[head] = {kHeaders + request * kHeaderBytes, kHeaderBytes, VRING_DESC_F_NEXT,
                        static_cast<uint16_t>(head + 1)};
  descriptors_[head + 1] = {kData + uint64_t{request} * RandomBlocks::kBytes, RandomBlocks::kBytes,
                            VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
                            static_cast<uint16_t>(head + 2)};
  descriptors_[head + 2] = {kStatuses + request, 1, VRING_DESC_F_WRITE, 0};
  // Touches the buffer now, so that no page is allocated while time is measured.
  std::memset(At(kData + uint64_t{request} * RandomBlocks::kBytes), 0, RandomBlocks::kBytes);
}

void RingDriver::Start() {
  for (uint16_t i = 0; i < depth_; ++i) Offer(i);
  Publish();
}

void RingDriver::Offer(uint16_t request) {
  const virtio::BlockHeader header = {VIRTIO_BLK_T_IN, 0,
                                      blocks_.NextOffset() / virtio::kSectorBytes};
  std::memcpy(At(kHeaders + request * sizeof(header)), &header, sizeof(header));
  *At(kStatuses + request) = kNoStatus;
  if (latencies_us_ != nullptr) offered_[request] = std::chrono::steady_clock::now();
  avail_[kRing + next_avail_++ % kQueueSize] = static_cast<uint16_t>(request * kChainDescriptors);
  ++in_flight_;
}

void RingDriver::Publish() {
  const uint16_t before = std::exchange(published_, next_avail_);
  if (before == next_avail_) return;
  // ORDERING: the release makes the device see the entries before the index. [VIRTIO 1.2
  // §2.7.13.3.1]
  std::atomic_ref(avail_[kIdx]).store(next_avail_, std::memory_order_release);
  // ORDERING: the store of the index must come before the load of avail_event. [VIRTIO 1.2
  // §2.7.13.4]
  base::FullFence();
  const uint16_t event = Load(*avail_event_, std::memory_order_relaxed);
  if (static_cast<uint16_t>(next_avail_ - event - 1) >=
      static_cast<uint16_t>(next_avail_ - before)) {
    return;
  }
  ++kicks_;
  CHECK(eventfd_write(doorbell_.get(), 1) == 0);
}

void RingDriver::NotifyQueue(uint16_t /*index*/) {
  ++interrupts_;
  const bool go_on = running_();
  do {
    while (next_used_ != Load(used_[kIdx], std::memory_order_acquire)) {
      const auto head = static_cast<uint16_t>(used_ring_[next_used_++ % kQueueSize * 2]);
      const auto request = static_cast<uint16_t>(head / kChainDescriptors);
      CHECK(*At(kStatuses + request) == VIRTIO_BLK_S_OK);
      if (latencies_us_ != nullptr) {
        const std::chrono::duration<double, std::micro> took =
            std::chrono::steady_clock::now() - offered_[request];
        latencies_us_->push_back(took.count());
      }
      --in_flight_;
      ++requests_;
      if (go_on) Offer(request);
    }
    std::atomic_ref(avail_[kRing + kQueueSize]).store(next_used_, std::memory_order_relaxed);
    // ORDERING: the store of used_event must come before the load of the index.
    base::FullFence();
  } while (next_used_ != Load(used_[kIdx], std::memory_order_relaxed));
  Publish();
  if (!go_on && in_flight_ == 0) on_idle_();
}

void RingDriver::NeedsReset(absl::string_view why) {
  LOG(Error) << "the device needs a reset: " << why;
  CHECK(false);
}

}  // namespace bench
