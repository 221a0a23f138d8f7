// Tests the rings of VIRTIO 1.2 §2.7: one test for each MUST that binds a device, and tests of what
// a hostile driver can do.
#include "virtio/queue/split_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

#include "virtio/queue/testing/split_queue_fixtures.h"

namespace virtio {
namespace {

TEST_F(SplitQueueTest, ChainIsPoppedUsedAndSeen) {
  Make(8);
  EXPECT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kEmpty);
  const auto bytes = Pattern(10);
  const uint16_t head = driver_->Chain().Readable(bytes).Writable(4).Offer();
  EXPECT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kEmpty) << "not published yet";
  driver_->Publish();
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  EXPECT_EQ(chain_.head(), head);
  std::vector<uint8_t> got(10);
  ASSERT_TRUE(chain_.PopReadable(got));
  EXPECT_EQ(got, bytes);
  EXPECT_EQ(chain_.PushWritable(*memory_, Pattern(9)), 4u);
  EXPECT_EQ(queue_->in_flight(), 1);
  queue_->PushUsed(chain_, 4);
  EXPECT_EQ(queue_->in_flight(), 0);
  EXPECT_FALSE(driver_->PopUsed()) << "not published yet";
  EXPECT_TRUE(queue_->Publish());
  EXPECT_FALSE(queue_->Publish()) << "there is nothing new to publish";
  const auto used = driver_->PopUsed();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->id, head);
  EXPECT_EQ(used->len, 4u);
  EXPECT_EQ(driver_->WritableBytes(head), Pattern(4));
}

TEST_F(SplitQueueTest, HeadOutOfRangeIsRefused) {
  for (const uint16_t head : {uint16_t{4}, uint16_t{0xffff}}) {
    Make(4);
    driver_->OfferRaw(head);
    EXPECT_EQ(PopError(), QueueError::kHeadOutOfRange);
  }
}

TEST_F(SplitQueueTest, HeadInFlightIsRefused) {
  Make(4);
  driver_->WriteDescriptor(1, {0x8000, 1, 0, 0});
  driver_->OfferRaw(1);
  driver_->OfferRaw(1);
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  EXPECT_EQ(PopError(), QueueError::kHeadInFlight);
}

TEST_F(SplitQueueTest, HeadMayBeReusedAfterCompletion) {
  Make(4);
  driver_->WriteDescriptor(1, {0x8000, 1, 0, 0});
  for (int i = 0; i < 10; ++i) {
    driver_->OfferRaw(1);
    ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
    queue_->PushUsed(chain_, 0);
    queue_->Publish();
  }
}

TEST_F(SplitQueueTest, UnpoppedChainsArePoppedAgain) {
  Make(4);
  driver_->StartAt(0xfffe);
  queue_->set_positions({0xfffe, 0xfffe});
  const uint16_t first = driver_->Chain().Writable(8).Offer();
  const uint16_t second = driver_->Chain().Writable(9).Offer();
  const uint16_t third = driver_->Chain().Writable(10).Offer();
  driver_->Publish();
  std::array<Chain, 3> chains;
  std::array<std::array<iovec, 4>, 3> storage;
  for (size_t i = 0; i < 3; ++i) {
    chains[i].SetStorage(storage[i]);
    ASSERT_EQ(queue_->Pop(chains[i]), SplitQueue::PopResult::kChain);
  }
  queue_->Unpop(chains[2]);
  queue_->Unpop(chains[1]);
  EXPECT_EQ(queue_->in_flight(), 1);
  EXPECT_TRUE(queue_->HasAvailable());
  queue_->PushUsed(chains[0], 1);
  queue_->Publish();
  EXPECT_EQ(driver_->PopUsed()->id, first);
  for (const uint16_t head : {second, third}) {
    ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
    EXPECT_EQ(chain_.head(), head);
    queue_->PushUsed(chain_, 1);
  }
  EXPECT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kEmpty);
  queue_->Publish();
  EXPECT_EQ(driver_->PopUsed()->id, second);
  EXPECT_EQ(driver_->PopUsed()->id, third);
}

// GUEST: the device checks a chain again after giving it back.
TEST_F(SplitQueueTest, UnpoppedChainIsCheckedAgain) {
  Make(4);
  const uint16_t head = driver_->Chain().Writable(8).Offer();
  driver_->Publish();
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  queue_->Unpop(chain_);
  driver_->WriteDescriptor(head, {.addr = kRamEnd, .len = 8, .flags = 2, .next = 0});
  EXPECT_EQ(PopError(), QueueError::kBufferNotInRam);
}

TEST_F(SplitQueueTest, AvailIndexJumpIsRefused) {
  for (const uint16_t index : {uint16_t{5}, uint16_t{0x8000}, uint16_t{0xffff}}) {
    Make(4);
    driver_->SetAvailIndex(index);
    EXPECT_EQ(PopError(), QueueError::kAvailIndexJump);
  }
}

TEST_F(SplitQueueTest, Queue_2_7_6_1_DecrementedAvailIndexIsRefused) {
  Make(4);
  UseOne();
  driver_->SetAvailIndex(0);
  EXPECT_EQ(PopError(), QueueError::kAvailIndexJump);
}

// --- Rings ---

TEST_F(SplitQueueTest, Queue_2_7_SizeMustBeAPowerOfTwo) {
  for (const int bad : {0, 3, 6, 32769, 65535}) {
    const auto size = static_cast<uint16_t>(bad);
    EXPECT_EQ(CreateError({size, 0x1000, 0x100000, 0x200000}), QueueError::kBadSize) << size;
  }
}

TEST_F(SplitQueueTest, Queue_2_7_RingsMustBeAligned) {
  EXPECT_EQ(CreateError({8, 0x1008, 0x2000, 0x3000}), QueueError::kRingMisaligned);
  EXPECT_EQ(CreateError({8, 0x1000, 0x2001, 0x3000}), QueueError::kRingMisaligned);
  EXPECT_EQ(CreateError({8, 0x1000, 0x2000, 0x3002}), QueueError::kRingMisaligned);
}

TEST_F(SplitQueueTest, Queue_2_7_RingsMustLieInRam) {
  const uint64_t last = ~uint64_t{0};
  for (const uint64_t bad : {kRamEnd - 16, kRamEnd, kHighRam - 16, kHighRamEnd, last - 15}) {
    EXPECT_EQ(CreateError({8, bad, 0x2000, 0x3000}), QueueError::kRingNotInRam) << bad;
    EXPECT_EQ(CreateError({8, 0x1000, bad, 0x3000}), QueueError::kRingNotInRam) << bad;
    EXPECT_EQ(CreateError({8, 0x1000, 0x2000, bad}), QueueError::kRingNotInRam) << bad;
  }
}

TEST_F(SplitQueueTest, LargestQueueMayEndAtTheEndOfRam) {
  const uint64_t used = kRamEnd - (6 + 8 * 32768 + 2);
  QueueError error;
  EXPECT_NE(SplitQueue::Create(*memory_, {32768, 0x1000, 0x100000, used}, {}, error), nullptr);
  EXPECT_EQ(CreateError({32768, 0x1000, 0x100000, used + 4}), QueueError::kRingNotInRam);
}

TEST_F(SplitQueueTest, IndicesWrap) {
  for (const bool event_idx : {false, true}) {
    Make(4, {.event_idx = event_idx, .indirect = true});
    driver_->StartAt(0xfff0);
    queue_->set_positions({0xfff0, 0xfff0});
    for (int i = 0; i < 100; ++i) {
      driver_->EnableInterrupts();
      EXPECT_TRUE(UseOne()) << i;
      ASSERT_TRUE(driver_->PopUsed());
    }
    EXPECT_EQ(queue_->positions().next_avail, static_cast<uint16_t>(0xfff0 + 100));
  }
}

// --- Notifications ---

// Without EVENT_IDX: "If flags is 1, the device SHOULD NOT send a notification. If flags is 0, the
// device MUST send a notification." and it "MUST ignore the used_event value".
TEST_F(SplitQueueTest, Queue_2_7_7_2_FlagsDecideWithoutEventIdx) {
  Make(4);
  driver_->SetUsedEvent(1000);
  EXPECT_TRUE(UseOne());
  driver_->SetAvailFlags(1);
  EXPECT_FALSE(UseOne());
  driver_->SetAvailFlags(0);
  EXPECT_TRUE(UseOne());
}

// With EVENT_IDX: "The device MUST ignore the lower bit of flags", and "If the idx field in the
// used ring was equal to used_event, the device MUST send a notification."
TEST_F(SplitQueueTest, Queue_2_7_7_2_UsedEventDecidesWithEventIdx) {
  Make(4, {.event_idx = true, .indirect = false});
  driver_->SetAvailFlags(1);
  driver_->SetUsedEvent(0);
  EXPECT_TRUE(UseOne());
  EXPECT_FALSE(UseOne());
  driver_->SetUsedEvent(3);
  driver_->PopUsed();
  driver_->PopUsed();
  EXPECT_FALSE(UseOne());
  EXPECT_TRUE(UseOne());
}

TEST_F(SplitQueueTest, Queue_2_7_7_2_BatchThatPassesUsedEventInterrupts) {
  for (const uint16_t start : {uint16_t{0}, uint16_t{0xfffe}}) {
    for (uint16_t event = 0; event < 8; ++event) {
      Make(8, {.event_idx = true, .indirect = false});
      driver_->StartAt(start);
      queue_->set_positions({start, start});
      driver_->SetUsedEvent(static_cast<uint16_t>(start + event));
      for (int i = 0; i < 5; ++i) driver_->Chain().Readable(1).Offer();
      driver_->Publish();
      for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
        queue_->PushUsed(chain_, 0);
      }
      EXPECT_EQ(queue_->Publish(), event < 5) << start << " " << event;
    }
  }
}

// "The device MUST set flags to 0 or 1."
TEST_F(SplitQueueTest, Queue_2_7_10_2_KicksAreSuppressedByFlags) {
  Make(4);
  queue_->SuppressKicks();
  EXPECT_EQ(driver_->UsedFlags(), 1);
  driver_->Chain().Readable(1).Offer();
  EXPECT_FALSE(driver_->Publish());
  EXPECT_TRUE(queue_->EnableKicks()) << "a chain was made available in the meantime";
  EXPECT_EQ(driver_->UsedFlags(), 0);
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  EXPECT_FALSE(queue_->EnableKicks());
  driver_->Chain().Readable(1).Offer();
  EXPECT_TRUE(driver_->Publish());
}

// With EVENT_IDX: "The device MUST set flags to 0."
TEST_F(SplitQueueTest, Queue_2_7_10_2_KicksAreSuppressedByAvailEvent) {
  Make(8, {.event_idx = true, .indirect = false});
  EXPECT_FALSE(queue_->EnableKicks());
  for (int i = 0; i < 3; ++i) {
    driver_->Chain().Readable(1).Offer();
    EXPECT_TRUE(driver_->Publish());
    queue_->SuppressKicks();
    EXPECT_EQ(driver_->UsedFlags(), 0);
    ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
    driver_->Chain().Readable(1).Offer();
    EXPECT_FALSE(driver_->Publish()) << "kicks are suppressed";
    EXPECT_TRUE(queue_->EnableKicks()) << "the device must see the chain without a kick";
    ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
    EXPECT_FALSE(queue_->EnableKicks());
  }
}

// "The device MUST set len prior to updating the used idx", and len counts only written bytes.
TEST_F(SplitQueueTest, Queue_2_7_8_2_LengthIsWrittenBeforeTheIndex) {
  Make(4);
  const uint16_t head = driver_->Chain().Readable(3).Writable(20).Offer();
  driver_->Publish();
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  queue_->PushUsed(chain_, 11);
  EXPECT_EQ(driver_->UsedIndex(), 0);
  EXPECT_EQ(driver_->UsedElement(0).id, head);
  EXPECT_EQ(driver_->UsedElement(0).len, 11u);
  queue_->Publish();
  EXPECT_EQ(driver_->UsedIndex(), 1);
}

// "The device MUST write at least len bytes to descriptor": the queue bounds len by the size of the
// writable buffers when the chain was made available, whatever the device passes.
TEST_F(SplitQueueTest, Queue_2_7_8_2_LengthIsAtMostTheBuffer) {
  Make(4);
  const uint16_t head = driver_->Chain().Readable(3).Writable(20).Offer();
  driver_->Publish();
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  driver_->WriteDescriptor(head, {0, 0xffffffff, 2, 0});
  chain_.PushWritable(*memory_, Pattern(15));
  queue_->PushUsed(chain_, 0xffffffff);
  queue_->Publish();
  EXPECT_EQ(driver_->UsedElement(0).len, 20u);
}

// The driver may let its rings overlap each other and a buffer: the memory belongs to the driver.
// What the device writes there changes what the device reads next. The walk must end in a chain or
// an error.
TEST_F(SplitQueueTest, OverlappingRingsEndInAChainOrAnError) {
  for (const uint64_t used :
       {uint64_t{0x1000}, uint64_t{0x1010}, uint64_t{0x2000}, uint64_t{0x2004}}) {
    QueueError error;
    auto queue = SplitQueue::Create(*memory_, {4, 0x1000, 0x2000, used}, {}, error);
    ASSERT_NE(queue, nullptr) << used;
    chain_.SetStorage(storage_);
    for (int i = 0; i < 100; ++i) {
      driver_ = nullptr;
      memory_->Store<base::Le16>(0x2002, static_cast<uint16_t>(i + 1));
      if (queue->Pop(chain_) == SplitQueue::PopResult::kChain) queue->PushUsed(chain_, 1);
      queue->Publish();
      queue->EnableKicks();
    }
    EXPECT_LE(queue->in_flight(), queue->size());
  }
}

}  // namespace
}  // namespace virtio
