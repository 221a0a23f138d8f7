// How much of a loop's turn the queues may take, counted in descriptors and in time on the loop's
// clock.
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "base/turn_budget.h"
#include "tests/fakes/device_fixtures.h"
#include "virtio/queue/device_queue.h"
#include "virtio/queue/request_slab.h"

namespace virtio {
namespace {

constexpr uint32_t kMost = base::TurnBudget::kSteps;

struct PlainChain : Chain {
  explicit PlainChain(DeviceQueue& /*owner*/) {}
};

// Calls `on_start` and completes each chain at once.
class InstantQueue final : public DeviceQueue {
 public:
  InstantQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index, uint16_t size)
      : DeviceQueue(loop, memory, index), slab_(*RequestSlab<PlainChain>::Create(size)) {}

  uint64_t chains = 0;
  uint64_t descriptors = 0;
  std::function<void()> on_start = [] {};

 private:
  Chain* AcquireChain() override { return slab_.Acquire(*this); }
  void ReleaseChain(Chain& chain) override { slab_.Release(static_cast<PlainChain&>(chain)); }
  void Start(Chain& chain) override {
    ++chains;
    descriptors += chain.descriptors();
    on_start();
    Complete(chain, 0);
  }
  RequestSlab<PlainChain> slab_;
};

class DeviceQueueTurn : public testing::Test {
 protected:
  // A queue of `size` chains. Each chain has one descriptor that refers to a table of `length`
  // descriptors, which all chains share.
  struct Guest {
    std::unique_ptr<FakeDriver> driver;
    base::UniqueFd doorbell;
    std::unique_ptr<InstantQueue> queue;
  };

  ~DeviceQueueTurn() override {
    for (Guest& guest : guests_) {
      guest.queue->on_start = [] {};
      guest.queue->Stop([] {});
    }
    loop_.RunUntilIdle();
    EXPECT_EQ(notifier_.needs_reset, 0u);
  }

  Guest& AddQueue(uint16_t size, uint32_t length) {
    const auto index = static_cast<uint16_t>(guests_.size());
    Guest& guest = guests_.emplace_back();
    const uint64_t base = 0x10000 + uint64_t{index} * 0x400000;
    guest.driver = std::make_unique<FakeDriver>(
        *memory_, FakeDriver::Options{.size = size, .base = base, .data = base + 0x200000});
    FakeDriver& driver = *guest.driver;
    const uint64_t table = driver.Allocate(uint64_t{length} * 16);
    const uint64_t buffer = driver.Allocate(1);
    for (uint32_t i = 0; i < length; ++i) {
      const bool last = i + 1 == length;
      driver.WriteDescriptorAt(table + uint64_t{i} * 16,
                               {buffer, 1, static_cast<uint16_t>(last ? 0 : 1),
                                static_cast<uint16_t>(last ? 0 : i + 1)});
    }
    for (uint16_t i = 0; i < size; ++i) {
      driver.WriteDescriptor(i, {table, length * 16, 4 /*VRING_DESC_F_INDIRECT*/, 0});
      driver.SetAvailEntry(i, i);
    }
    guest.doorbell.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    guest.queue = std::make_unique<InstantQueue>(loop_, *memory_, index, size);
    QueueError error;
    auto ring = SplitQueue::Create(
        *memory_, {size, driver.descriptor_table(), driver.driver_area(), driver.device_area()},
        {.indirect = true}, error);
    guest.queue->StartServing({index, std::move(ring), loop_.AddFile(guest.doorbell.get()).value()},
                              notifier_);
    loop_.RunUntilIdle();
    return guest;
  }
  static void OfferAll(Guest& guest) {
    guest.driver->SetAvailIndex(guest.driver->size());
    eventfd_write(guest.doorbell.get(), 1);
  }

  std::unique_ptr<base::GuestMemory> memory_ =
      *base::GuestMemory::Create({.thp = false}, {{0, 64 << 20, nullptr}});
  base::FakeEventLoop loop_;
  FakeNotifier notifier_;
  std::deque<Guest> guests_;
};

// 1024 chains of 1024 descriptors would take 17 ms.
TEST_F(DeviceQueueTurn, IsBoundedInDescriptorsNotInChains) {
  Guest& guest = AddQueue(1024, 1023);
  OfferAll(guest);
  uint64_t turns = 0;
  while (guest.queue->chains < 1024) {
    const uint64_t before = guest.queue->descriptors;
    bool posted = false;
    loop_.Post([&] { posted = true; });
    loop_.RunTurn();
    EXPECT_TRUE(posted);
    EXPECT_GT(guest.queue->descriptors, before) << "no progress";
    EXPECT_LE(guest.queue->descriptors, before + kMost);
    ++turns;
  }
  EXPECT_EQ(turns, 1024u * 1024 / kMost);
}

TEST_F(DeviceQueueTurn, IsBoundedInTime) {
  Guest& guest = AddQueue(1024, 1);
  guest.queue->on_start = [&] {
    loop_.turn_budget().SpendHostCall();
    loop_.Elapse(std::chrono::microseconds(300));
  };
  OfferAll(guest);
  loop_.RunTurn();
  EXPECT_EQ(guest.queue->chains, 7u) << "7 chains take 2.1 ms";
  loop_.RunTurn();
  EXPECT_EQ(guest.queue->chains, 14u);
}

// Chains that cost only descriptors are timed, too, because a slow host makes them slow.
TEST_F(DeviceQueueTurn, IsBoundedInTimeWithoutHostCalls) {
  Guest& guest = AddQueue(1024, 1);
  guest.queue->on_start = [&] { loop_.Elapse(std::chrono::microseconds(100)); };
  OfferAll(guest);
  loop_.RunTurn();
  EXPECT_LE(guest.queue->chains, 2 * base::TurnBudget::kStepsPerLook);
}

TEST_F(DeviceQueueTurn, BudgetIsSharedByAllQueuesOfALoop) {
  for (int i = 0; i < 8; ++i) AddQueue(256, 255);
  for (Guest& guest : guests_) OfferAll(guest);
  const auto total = [&] {
    uint64_t sum = 0;
    for (Guest& guest : guests_) sum += guest.queue->descriptors;
    return sum;
  };
  for (int turn = 0; turn < 8 * 256 * 256 / int{kMost} + 8; ++turn) {
    const uint64_t before = total();
    loop_.RunTurn();
    EXPECT_LE(total(), before + kMost);
  }
  EXPECT_EQ(total(), 8u * 256 * 256);
}

TEST_F(DeviceQueueTurn, EachQueueIsServedAfterAtMostOneTurnOfEachOther) {
  for (int i = 0; i < 4; ++i) AddQueue(1024, 1023);
  for (Guest& guest : guests_) OfferAll(guest);
  for (int turn = 0; turn < 5; ++turn)
    loop_.RunTurn();  // one more for the turn in which the doorbells are seen
  for (Guest& guest : guests_) EXPECT_GT(guest.queue->chains, 0u);
  // Queues that always have more chains share the turns evenly.
  for (int turn = 0; turn < 40; ++turn) loop_.RunTurn();
  for (Guest& guest : guests_) EXPECT_GE(guest.queue->descriptors, 10u * kMost);
}

// A queue that spends little is served in each turn, beside a queue that takes all it can get.
TEST_F(DeviceQueueTurn, ServesAQueueThatAlwaysFindsTheBudgetSpent) {
  Guest& greedy = AddQueue(1024, 1023);
  Guest& modest = AddQueue(1024, 1);
  greedy.queue->on_start = [&] { loop_.turn_budget().Spend(kMost); };
  OfferAll(greedy);
  OfferAll(modest);
  for (int turn = 0; turn < 6; ++turn) loop_.RunTurn();
  EXPECT_EQ(modest.queue->chains, 1024u);
}

}  // namespace
}  // namespace virtio
