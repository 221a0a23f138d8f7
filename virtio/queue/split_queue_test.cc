// One test for each MUST of VIRTIO 1.2 §2.7 that binds a device, and tests of what a hostile driver
// can do.
#include "virtio/queue/split_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <span>
#include <utility>

#include "base/log.h"
#include "tests/fakes/fake_driver.h"

namespace virtio {
namespace {

constexpr uint64_t kRamEnd = 0x2000000;     // 32 MiB, then a hole
constexpr uint64_t kHighRam = 0x100000000;  // 1 MiB above the hole
constexpr uint64_t kHighRamEnd = kHighRam + 0x100000;

std::unique_ptr<base::GuestMemory> MakeMemory() {
  auto memory = base::GuestMemory::Create({.thp = false},
                                          {{0, kRamEnd, nullptr}, {kHighRam, 0x100000, nullptr}});
  CHECK(memory.ok());
  return std::move(memory).value();
}

std::vector<uint8_t> Pattern(size_t bytes, uint8_t first = 1) {
  std::vector<uint8_t> pattern(bytes);
  std::iota(pattern.begin(), pattern.end(), first);
  return pattern;
}

QueueAddresses AddressesOf(const FakeDriver& driver) {
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
