// Tests the descriptor chains of VIRTIO 1.2 §2.7: which chains a queue accepts, and which it
// refuses.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "virtio/queue/split_queue.h"
#include "virtio/queue/testing/split_queue_fixtures.h"

namespace virtio {
namespace {

// "The device MUST NOT make assumptions about the particular arrangement of descriptors."
TEST_F(SplitQueueTest, Queue_2_7_4_1_FramingHasNoMeaning) {
  Make(64);
  const auto bytes = Pattern(16);
  auto builder = driver_->Chain();
  for (const uint8_t& byte : bytes) builder.Readable(std::span(&byte, 1));
  for (int i = 0; i < 8; ++i) builder.Writable(1);
  const uint16_t head = builder.Offer();
  driver_->Publish();
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  EXPECT_EQ(chain_.readable_bytes(), 16u);
  std::vector<uint8_t> got(16);
  ASSERT_TRUE(chain_.PopReadable(got));
  EXPECT_EQ(got, bytes);
  ASSERT_TRUE(chain_.SplitStatusByte());
  EXPECT_EQ(chain_.PushWritable(*memory_, Pattern(9)), 7u);
  chain_.StoreStatus(*memory_, 42);
  auto want = Pattern(7);
  want.push_back(42);
  EXPECT_EQ(driver_->WritableBytes(head), want);
}

// "The device MUST ignore the write-only flag in the descriptor that refers to an indirect table."
TEST_F(SplitQueueTest, Queue_2_7_5_3_2_WriteFlagOnIndirectIsIgnored) {
  Make(8);
  const uint64_t table = driver_->Allocate(32);
  driver_->WriteDescriptorAt(table, {driver_->Allocate(4), 4, 1, 1});
  driver_->WriteDescriptorAt(table + 16, {driver_->Allocate(8), 8, 2, 0});
  driver_->WriteDescriptor(3, {table, 32, 4 | 2, 0});
  driver_->OfferRaw(3);
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  EXPECT_EQ(chain_.readable_bytes(), 4u);
  EXPECT_EQ(chain_.writable_bytes(), 8u);
}

// "The device MUST handle the case of zero or more normal chained descriptors followed by a single
// descriptor with flags&VIRTQ_DESC_F_INDIRECT."
TEST_F(SplitQueueTest, Queue_2_7_5_3_2_NormalDescriptorsThenIndirect) {
  Make(8);
  for (int normal = 0; normal <= 4; ++normal) {
    auto builder = driver_->Chain();
    for (int i = 0; i < normal; ++i) builder.Readable(2);
    builder.Indirect().Readable(3).Writable(5);
    const uint16_t head = builder.Offer();
    driver_->Publish();
    ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
    EXPECT_EQ(chain_.head(), head);
    EXPECT_EQ(chain_.readable_bytes(), 2u * static_cast<uint32_t>(normal) + 3);
    EXPECT_EQ(chain_.writable_bytes(), 5u);
    queue_->PushUsed(chain_, 0);
    queue_->Publish();
    ASSERT_TRUE(driver_->PopUsed());
  }
}

// A full indirect table is accepted: the descriptor that refers to it is not part of the chain.
TEST_F(SplitQueueTest, Queue_2_7_5_3_1_IndirectTableOfQueueSizeIsAccepted) {
  Make(4);
  driver_->Chain().Indirect().Readable(1).Readable(1).Readable(1).Writable(1).Offer();
  driver_->Publish();
  EXPECT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
}

TEST_F(SplitQueueTest, Queue_2_7_5_3_1_ChainLongerThanQueueSizeIsRefused) {
  Make(4);
  driver_->Chain().Indirect().Readable(1).Readable(1).Readable(1).Readable(1).Writable(1).Offer();
  driver_->Publish();
  EXPECT_EQ(PopError(), QueueError::kChainTooLong);
}

TEST_F(SplitQueueTest, Queue_2_7_5_3_1_IndirectWithoutFeatureIsRefused) {
  Make(4, {.event_idx = false, .indirect = false});
  driver_->Chain().Indirect().Readable(1).Offer();
  driver_->Publish();
  EXPECT_EQ(PopError(), QueueError::kIndirectNotNegotiated);
}

TEST_F(SplitQueueTest, Queue_2_7_5_3_1_IndirectInIndirectIsRefused) {
  Make(4);
  const uint64_t table = driver_->Allocate(16);
  driver_->WriteDescriptorAt(table, {table, 16, 4, 0});
  driver_->WriteDescriptor(0, {table, 16, 4, 0});
  driver_->OfferRaw(0);
  EXPECT_EQ(PopError(), QueueError::kIndirectNested);
}

TEST_F(SplitQueueTest, Queue_2_7_5_3_1_IndirectWithNextIsRefused) {
  Make(4);
  const uint64_t table = driver_->Allocate(16);
  driver_->WriteDescriptorAt(table, {table, 16, 0, 0});
  driver_->WriteDescriptor(0, {table, 16, 4 | 1, 1});
  driver_->OfferRaw(0);
  EXPECT_EQ(PopError(), QueueError::kIndirectWithNext);
}

TEST_F(SplitQueueTest, IndirectLengthMustBeAMultipleOf16) {
  for (const uint32_t len : {0u, 1u, 15u, 17u, 0xffffffffu}) {
    Make(4);
    driver_->WriteDescriptor(0, {driver_->Allocate(64), len, 4, 0});
    driver_->OfferRaw(0);
    EXPECT_EQ(PopError(), QueueError::kIndirectBadLength) << len;
  }
}

TEST_F(SplitQueueTest, IndirectTableMustLieInRam) {
  for (const uint64_t addr :
       {kRamEnd - 16, kRamEnd, kHighRam - 16, kHighRamEnd - 16, ~uint64_t{0} - 15}) {
    Make(4);
    driver_->WriteDescriptor(0, {addr, 32, 4, 0});
    driver_->OfferRaw(0);
    EXPECT_EQ(PopError(), QueueError::kIndirectNotInRam) << addr;
  }
}

TEST_F(SplitQueueTest, UnalignedIndirectTableIsAccepted) {
  Make(4);
  const uint64_t table = driver_->Allocate(64) + 3;
  driver_->WriteDescriptorAt(table, {driver_->Allocate(4), 4, 2, 0});
  driver_->WriteDescriptor(0, {table, 16, 4, 0});
  driver_->OfferRaw(0);
  EXPECT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
}

TEST_F(SplitQueueTest, Queue_2_7_5_LoopIsRefused) {
  Make(4);
  for (uint16_t i = 0; i < 4; ++i) {
    driver_->WriteDescriptor(i, {0x8000, 1, 1, static_cast<uint16_t>((i + 1) % 4)});
  }
  driver_->OfferRaw(0);
  EXPECT_EQ(PopError(), QueueError::kChainTooLong);
}

TEST_F(SplitQueueTest, Queue_2_7_5_LoopOfEmptyDescriptorsIsRefused) {
  Make(4);
  driver_->WriteDescriptor(2, {0, 0, 1, 2});
  driver_->OfferRaw(2);
  EXPECT_EQ(PopError(), QueueError::kChainTooLong);
}

TEST_F(SplitQueueTest, Queue_2_7_5_LoopInIndirectTableIsRefused) {
  Make(4);
  const uint64_t table = driver_->Allocate(16);
  driver_->WriteDescriptorAt(table, {0x8000, 1, 1, 0});
  driver_->WriteDescriptor(0, {table, 16, 4, 0});
  driver_->OfferRaw(0);
  EXPECT_EQ(PopError(), QueueError::kChainTooLong);
}

TEST_F(SplitQueueTest, NextOutOfRangeIsRefused) {
  for (const uint16_t next : {uint16_t{4}, uint16_t{0x8000}, uint16_t{0xffff}}) {
    Make(4);
    driver_->WriteDescriptor(1, {0x8000, 1, 1, next});
    driver_->OfferRaw(1);
    EXPECT_EQ(PopError(), QueueError::kNextOutOfRange);
  }
}

TEST_F(SplitQueueTest, NextOutOfIndirectTableIsRefused) {
  Make(4);
  const uint64_t table = driver_->Allocate(16);
  driver_->WriteDescriptorAt(table, {0x8000, 1, 1, 1});
  driver_->WriteDescriptor(0, {table, 16, 4, 0});
  driver_->OfferRaw(0);
  EXPECT_EQ(PopError(), QueueError::kNextOutOfRange);
}

TEST_F(SplitQueueTest, ReadableAfterWritableIsRefused) {
  Make(4);
  driver_->Chain().Writable(1).Readable(1).Offer();
  driver_->Publish();
  EXPECT_EQ(PopError(), QueueError::kReadableAfterWritable);
}

TEST_F(SplitQueueTest, ReadableAfterEmptyWritableIsRefused) {
  Make(4);
  driver_->Chain().WritableAt(0, 0).Readable(1).Offer();
  driver_->Publish();
  EXPECT_EQ(PopError(), QueueError::kReadableAfterWritable);
}

TEST_F(SplitQueueTest, ReadableAfterWritableAcrossIndirectIsRefused) {
  Make(4);
  driver_->Chain().Writable(1).Indirect().Readable(1).Offer();
  driver_->Publish();
  EXPECT_EQ(PopError(), QueueError::kReadableAfterWritable);
}

TEST_F(SplitQueueTest, BufferMustLieCompletelyInRam) {
  const FakeDriver::Buffer bad[] = {{kRamEnd - 1, 2},           {kRamEnd, 1},
                                    {kHighRam - 1, 2},          {kHighRamEnd - 10, 11},
                                    {~uint64_t{0}, 1},          {~uint64_t{0}, 2},
                                    {0, uint32_t{kRamEnd} + 1}, {~uint64_t{0} - 10, 0xffffffff}};
  for (const auto& [addr, len] : bad) {
    Make(4);
    driver_->Chain().WritableAt(addr, len).Offer();
    driver_->Publish();
    EXPECT_EQ(PopError(), QueueError::kBufferNotInRam) << addr << "+" << len;
  }
}

TEST_F(SplitQueueTest, BufferAtTheEdgesOfRamIsAccepted) {
  Make(4);
  driver_->Chain()
      .ReadableAt(kRamEnd - 8, 8)
      .WritableAt(kHighRam, 8)
      .WritableAt(kHighRamEnd - 1, 1)
      .Offer();
  driver_->Publish();
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  EXPECT_EQ(chain_.writable_bytes(), 9u);
}

TEST_F(SplitQueueTest, EmptyDescriptorsAreSkippedWhateverTheirAddress) {
  Make(8);
  driver_->Chain()
      .ReadableAt(~uint64_t{0}, 0)
      .Readable(3)
      .WritableAt(kRamEnd, 0)
      .Writable(2)
      .Offer();
  driver_->Publish();
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  EXPECT_EQ(chain_.readable().size(), 1u);
  EXPECT_EQ(chain_.writable().size(), 1u);
}

TEST_F(SplitQueueTest, ChainWithoutAnyByteIsStillAChain) {
  Make(4);
  driver_->Chain().WritableAt(0, 0).Offer();
  driver_->Publish();
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  EXPECT_FALSE(chain_.SplitStatusByte());
  chain_.StoreStatus(*memory_, 1);
  queue_->PushUsed(chain_, 7);
  queue_->Publish();
  EXPECT_EQ(driver_->PopUsed()->len, 0u) << "the used length exceeds the writable bytes";
}

// The total length is at most 2^32 - 1, since a used length has 32 bits. [VIRTIO 1.2 §2.7.5.2]
TEST_F(SplitQueueTest, Queue_2_7_5_2_TooManyBytesAreRefused) {
  Make(256);
  std::array<iovec, 256> storage;
  chain_.SetStorage(storage);
  const uint32_t all = uint32_t{kRamEnd};  // 128 times 32 MiB is 4 GiB
  auto builder = driver_->Chain();
  for (int i = 0; i < 127; ++i) builder.WritableAt(0, all);
  builder.WritableAt(0, all - 1);
  builder.Offer();
  driver_->Publish();
  ASSERT_EQ(queue_->Pop(chain_), SplitQueue::PopResult::kChain);
  EXPECT_EQ(chain_.writable_bytes(), UINT32_MAX);
  auto one_more = driver_->Chain();
  for (int i = 0; i < 128; ++i) one_more.WritableAt(0, all);
  one_more.Offer();
  driver_->Publish();
  EXPECT_EQ(PopError(), QueueError::kChainTooManyBytes);
}

TEST_F(SplitQueueTest, ChainLongerThanTheStorageIsRefused) {
  Make(64);
  chain_.SetStorage(std::span(storage_).first(2));
  driver_->Chain().Readable(1).Readable(1).Writable(1).Offer();
  driver_->Publish();
  EXPECT_EQ(PopError(), QueueError::kChainTooLong);
}

}  // namespace
}  // namespace virtio
