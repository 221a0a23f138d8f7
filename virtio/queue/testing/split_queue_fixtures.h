// A split queue on guest memory with a hole, and a driver that fills the queue.
#ifndef VIRTIO_QUEUE_TESTING_SPLIT_QUEUE_FIXTURES_H_
#define VIRTIO_QUEUE_TESTING_SPLIT_QUEUE_FIXTURES_H_

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "base/guest_memory.h"
#include "base/log.h"
#include "tests/fakes/fake_driver.h"
#include "virtio/queue/chain.h"
#include "virtio/queue/split_queue.h"

namespace virtio {

inline constexpr uint64_t kRamEnd = 0x2000000;     // 32 MiB, then a hole
inline constexpr uint64_t kHighRam = 0x100000000;  // 1 MiB above the hole
inline constexpr uint64_t kHighRamEnd = kHighRam + 0x100000;

inline std::unique_ptr<base::GuestMemory> MakeMemory() {
  auto memory = base::GuestMemory::Create({.thp = false},
                                          {{0, kRamEnd, nullptr}, {kHighRam, 0x100000, nullptr}});
  CHECK(memory.ok());
  return std::move(memory).value();
}

inline std::vector<uint8_t> Pattern(size_t bytes, uint8_t first = 1) {
  std::vector<uint8_t> pattern(bytes);
  std::iota(pattern.begin(), pattern.end(), first);
  return pattern;
}

inline QueueAddresses AddressesOf(const FakeDriver& driver) {
  return {driver.size(), driver.descriptor_table(), driver.driver_area(), driver.device_area()};
}

class SplitQueueTest : public testing::Test {
 protected:
  void Make(uint16_t size, RingFeatures features = {.event_idx = false, .indirect = true}) {
    driver_ = std::make_unique<FakeDriver>(
        *memory_, FakeDriver::Options{.size = size, .event_idx = features.event_idx});
    QueueError error;
    queue_ = SplitQueue::Create(*memory_, AddressesOf(*driver_), features, error);
    ASSERT_EQ(error, QueueError::kNone);
    chain_.SetStorage(storage_);
  }
  QueueError PopError() {
    EXPECT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kBroken);
    EXPECT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kBroken) << "broken for good";
    return queue_->error();
  }
  QueueError CreateError(const QueueAddresses& addresses) {
    QueueError error;
    EXPECT_EQ(SplitQueue::Create(*memory_, addresses, {}, error), nullptr);
    return error;
  }
  // Makes a chain of one writable byte available, pops it, uses it and publishes.
  bool UseOne() {
    driver_->Chain().Writable(1).Offer();
    driver_->Publish();
    EXPECT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
    queue_->PushUsed(chain_, 1);
    return queue_->Publish();
  }

  std::unique_ptr<base::GuestMemory> memory_ = MakeMemory();
  std::unique_ptr<FakeDriver> driver_;
  std::unique_ptr<SplitQueue> queue_;
  std::array<iovec, 64> storage_;
  Chain chain_;
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_TESTING_SPLIT_QUEUE_FIXTURES_H_
