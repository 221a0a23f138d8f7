// Tests the parser alone: it accepts any bytes, and the result stays inside the limits.
#include "virtio/block/block_command.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "base/log.h"
#include "tests/fakes/fake_driver.h"
#include "virtio/block/block_wire.h"
#include "virtio/queue/split_queue.h"

namespace virtio {
namespace {

constexpr uint64_t kCapacity = 1000;

class BlockRequestTest : public testing::Test {
 protected:
  BlockRequestTest() { chain_.SetStorage(storage_); }

  static std::vector<uint8_t> Header(uint32_t type, uint64_t sector) {
    const BlockHeader header{type, 0, sector};
    std::vector<uint8_t> bytes(sizeof(header));
    std::memcpy(bytes.data(), &header, sizeof(header));
    return bytes;
  }
  static std::vector<uint8_t> Ranges(const std::vector<BlockRange>& ranges) {
    std::vector<uint8_t> bytes(ranges.size() * sizeof(BlockRange));
    if (!ranges.empty()) std::memcpy(bytes.data(), ranges.data(), bytes.size());
    return bytes;
  }
  // Parses a chain of one readable buffer and one writable buffer.
  BlockCommand Parse(std::vector<uint8_t> readable, uint32_t writable) {
    auto builder = driver_.Chain();
    if (!readable.empty()) builder.Readable(readable);
    if (writable > 0) builder.Writable(writable);
    builder.Offer();
    driver_.Publish();
    CHECK(queue_->Pop(chain_) == SplitQueue::PopResult::kChain);
    BlockCommand command;
    ParseBlockRequest(chain_, limits_, command);
    queue_->PushUsed(chain_, 0);
    queue_->Publish();
    driver_.PopUsed();
    return command;
  }
  BlockKind ParseRead(uint64_t sector, uint32_t bytes) {
    return Parse(Header(VIRTIO_BLK_T_IN, sector), bytes + 1).kind;
  }
  BlockKind ParseRanges(uint32_t type, const std::vector<BlockRange>& ranges) {
    auto bytes = Header(type, 0);
    const auto more = Ranges(ranges);
    bytes.insert(bytes.end(), more.begin(), more.end());
    return Parse(bytes, 1).kind;
  }

  BlockLimits limits_ = {.capacity_sectors = kCapacity, .discard = true, .write_zeroes = true};
  std::unique_ptr<base::GuestMemory> memory_ =
      *base::GuestMemory::Create({.thp = false}, {{0, 32 << 20, nullptr}});
  FakeDriver driver_{*memory_, {.size = 8}};
  QueueError error_;
  std::unique_ptr<SplitQueue> queue_ = SplitQueue::Create(
      *memory_, {8, driver_.descriptor_table(), driver_.driver_area(), driver_.device_area()}, {},
      error_);
  std::array<iovec, 8> storage_;
  Chain chain_;
};

TEST_F(BlockRequestTest, ReadsAndWritesInsideTheDisk) {
  const BlockCommand read = Parse(Header(VIRTIO_BLK_T_IN, 7), 1024 + 1);
  EXPECT_EQ(read.kind, BlockKind::kRead);
  EXPECT_EQ(read.offset_bytes, 7u * 512);
  EXPECT_EQ(read.data_bytes, 1024u);
  auto bytes = Header(VIRTIO_BLK_T_OUT, 999);
  bytes.resize(16 + 512);
  const BlockCommand write = Parse(bytes, 1);
  EXPECT_EQ(write.kind, BlockKind::kWrite);
  EXPECT_EQ(write.offset_bytes, 999u * 512);
  EXPECT_EQ(write.data_bytes, 512u);
}

TEST_F(BlockRequestTest, TransfersBehindTheEndAreInvalid) {
  EXPECT_EQ(ParseRead(kCapacity - 1, 512), BlockKind::kRead);
  EXPECT_EQ(ParseRead(kCapacity, 0), BlockKind::kRead);
  EXPECT_EQ(ParseRead(kCapacity - 1, 1024), BlockKind::kInvalid);
  EXPECT_EQ(ParseRead(kCapacity, 512), BlockKind::kInvalid);
  EXPECT_EQ(ParseRead(kCapacity + 1, 0), BlockKind::kInvalid);
  EXPECT_EQ(ParseRead(~uint64_t{0}, 512), BlockKind::kInvalid);
  EXPECT_EQ(ParseRead(uint64_t{1} << 55, 512), BlockKind::kInvalid)
      << "the offset in bytes would wrap";
}

TEST_F(BlockRequestTest, PartialSectorsAreInvalid) {
  for (const uint32_t bytes : {1u, 511u, 513u, 1023u}) {
    EXPECT_EQ(ParseRead(0, bytes), BlockKind::kInvalid) << bytes;
  }
}

TEST_F(BlockRequestTest, HeaderMustBeWhole) {
  for (size_t bytes = 0; bytes < 16; ++bytes) {
    EXPECT_EQ(Parse(std::vector<uint8_t>(bytes), 513).kind, BlockKind::kInvalid) << bytes;
  }
}

TEST_F(BlockRequestTest, StatusNeedsAByte) {
  EXPECT_EQ(Parse(Header(VIRTIO_BLK_T_FLUSH, 0), 0).kind, BlockKind::kNoStatus);
  EXPECT_EQ(Parse(Header(VIRTIO_BLK_T_FLUSH, 0), 1).kind, BlockKind::kFlush);
}

TEST_F(BlockRequestTest, EveryOtherTypeIsUnsupported) {
  for (uint32_t type = 0; type < 64; ++type) {
    if (type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_FLUSH ||
        type == VIRTIO_BLK_T_GET_ID || type == VIRTIO_BLK_T_DISCARD ||
        type == VIRTIO_BLK_T_WRITE_ZEROES) {
      continue;
    }
    EXPECT_EQ(Parse(Header(type, 0), 1).kind, BlockKind::kUnsupported) << type;
  }
  EXPECT_EQ(Parse(Header(VIRTIO_BLK_T_BARRIER, 0), 1).kind, BlockKind::kUnsupported);
  EXPECT_EQ(Parse(Header(0xffffffff, 0), 1).kind, BlockKind::kUnsupported);
}

TEST_F(BlockRequestTest, RangesInsideTheDisk) {
  auto bytes = Header(VIRTIO_BLK_T_WRITE_ZEROES, 0);
  const auto more = Ranges({{0, 1, 0}, {10, 0, 0}, {999, 1, 1}});
  bytes.insert(bytes.end(), more.begin(), more.end());
  const BlockCommand command = Parse(bytes, 1);
  ASSERT_EQ(command.kind, BlockKind::kWriteZeroes);
  ASSERT_EQ(command.range_count, 2u) << "the empty range must be left out";
  EXPECT_EQ(command.ranges[1].offset_bytes, 999u * 512);
  EXPECT_EQ(command.ranges[1].length_bytes, 512u);
  EXPECT_TRUE(command.ranges[1].unmap);
}

TEST_F(BlockRequestTest, BadRangesAreInvalid) {
  for (const uint32_t type : {11u, 13u}) {  // discard, write zeroes
    EXPECT_EQ(ParseRanges(type, {}), BlockKind::kInvalid);
    EXPECT_EQ(ParseRanges(type, {{1000, 1, 0}}), BlockKind::kInvalid);
    EXPECT_EQ(ParseRanges(type, {{0, 1, 0}, {999, 2, 0}}), BlockKind::kInvalid);
    EXPECT_EQ(ParseRanges(type, {{~uint64_t{0}, 2, 0}}), BlockKind::kInvalid);
    EXPECT_EQ(ParseRanges(type, {{0, 0xffffffff, 0}}), BlockKind::kInvalid);
    EXPECT_EQ(ParseRanges(type, std::vector<BlockRange>(kMaxBlockRanges, {0, 1, 0})),
              type == VIRTIO_BLK_T_DISCARD ? BlockKind::kDiscard : BlockKind::kWriteZeroes);
    EXPECT_EQ(ParseRanges(type, std::vector<BlockRange>(kMaxBlockRanges + 1, {0, 1, 0})),
              BlockKind::kInvalid);
    auto half = Header(type, 0);
    half.resize(16 + 24);
    EXPECT_EQ(Parse(half, 1).kind, BlockKind::kInvalid);
  }
}

TEST_F(BlockRequestTest, RangeLargerThanTheLimitIsInvalid) {
  limits_.capacity_sectors = uint64_t{1} << 40;
  EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_DISCARD, {{0, kMaxBlockRangeSectors, 0}}),
            BlockKind::kDiscard);
  EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_DISCARD, {{0, kMaxBlockRangeSectors + 1, 0}}),
            BlockKind::kInvalid);
}

// "MUST set the status byte to VIRTIO_BLK_S_UNSUPP for discard, secure erase and write zeroes
// commands if any unknown flag is set. Furthermore [...] for discard commands if the unmap flag is
// set."
TEST_F(BlockRequestTest, Blk_5_2_6_2_UnknownRangeFlagsAreUnsupported) {
  for (int bit = 1; bit < 32; ++bit) {
    const uint32_t flag = uint32_t{1} << bit;
    EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_DISCARD, {{0, 1, flag}}), BlockKind::kUnsupported);
    EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{0, 1, flag}}), BlockKind::kUnsupported);
    EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{5000, 1, 0}, {0, 1, flag}}),
              BlockKind::kUnsupported);
  }
  EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_DISCARD, {{0, 1, 1}}), BlockKind::kUnsupported);
  EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{0, 1, 1}}), BlockKind::kWriteZeroes);
}

TEST_F(BlockRequestTest, Blk_5_2_6_2_ReadonlyRefusesRequestsThatWrite) {
  limits_.readonly = true;
  auto bytes = Header(VIRTIO_BLK_T_OUT, 0);
  bytes.resize(16 + 512);
  EXPECT_EQ(Parse(bytes, 1).kind, BlockKind::kInvalid);
  EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_DISCARD, {{0, 1, 0}}), BlockKind::kInvalid);
  EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{0, 1, 0}}), BlockKind::kInvalid);
  EXPECT_EQ(ParseRead(0, 512), BlockKind::kRead);
}

TEST_F(BlockRequestTest, RequestsThatAreNotOfferedAreUnsupported) {
  limits_.discard = limits_.write_zeroes = false;
  EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_DISCARD, {{0, 1, 0}}), BlockKind::kUnsupported);
  EXPECT_EQ(ParseRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{0, 1, 0}}), BlockKind::kUnsupported);
}

}  // namespace
}  // namespace virtio
