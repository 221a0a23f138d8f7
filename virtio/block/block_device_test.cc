// The block device as its driver sees it: one test for each MUST of VIRTIO 1.2 §5.2, configuration
// and life cycle. block_fault_test.cc has the faults of the host.
#include "virtio/block/block_device.h"

#include <gtest/gtest.h>
#include <linux/virtio_ids.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "virtio/block/testing/block_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t Bit(int feature) { return uint64_t{1} << feature; }

BlockConfigSpace ConfigOf(BlockDevice& device) {
  BlockConfigSpace config;
  device.ReadConfig(0, std::span(reinterpret_cast<uint8_t*>(&config), sizeof(config)));
  return config;
}

TEST(BlockDeviceTest, ReadsAndWrites) {
  BlockHarness disk;
  const Bytes data = RandomBytes(8192, 1);
  EXPECT_EQ(disk.Write(3, data), VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.image().Read(3 * 512, 8192), data);
  const auto read = disk.Read(3, 8192);
  EXPECT_EQ(read.status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(read.data, data);
  EXPECT_EQ(read.used_bytes, 8193u);
  EXPECT_EQ(disk.counter("read_ops"), 1u);
  EXPECT_EQ(disk.counter("read_bytes"), 8192u);
  EXPECT_EQ(disk.counter("write_ops"), 1u);
  EXPECT_EQ(disk.counter("write_bytes"), 8192u);
}

TEST(BlockDeviceTest, Queue_2_7_4_1_ReadsInAnyFramingAreServed) {
  BlockHarness disk;
  const Bytes data = RandomBytes(1024, 2);
  disk.image().Write(512, data);
  const Bytes header = BlockHeaderBytes(VIRTIO_BLK_T_IN, 1);
  for (const uint32_t cut : {1u, 7u, 15u}) {
    for (const uint32_t data_cut : {1u, 511u, 512u, 1000u, 1023u}) {
      auto builder = disk.driver().Chain();
      builder.Readable(std::span(header).first(cut)).Readable(std::span(header).subspan(cut));
      // The status is in the same buffer as the end of the data.
      builder.Writable(data_cut).Writable(1024 - data_cut + 1);
      const auto result = disk.Finish(builder.Offer());
      EXPECT_EQ(result.status, VIRTIO_BLK_S_OK);
      EXPECT_EQ(result.data, data);
      EXPECT_EQ(result.used_bytes, 1025u);
    }
  }
}

TEST(BlockDeviceTest, Queue_2_7_4_1_WritesInAnyFramingAreServed) {
  BlockHarness disk;
  const Bytes data = RandomBytes(1024, 3);
  Bytes all = BlockHeaderBytes(VIRTIO_BLK_T_OUT, 5);
  all.insert(all.end(), data.begin(), data.end());
  for (const size_t cut : {1u, 15u, 17u, 528u, 1039u}) {
    auto builder = disk.driver().Chain();
    builder.Readable(std::span(all).first(cut)).Readable(std::span(all).subspan(cut)).Writable(1);
    EXPECT_EQ(disk.Finish(builder.Offer()).status, VIRTIO_BLK_S_OK);
    EXPECT_EQ(disk.image().Read(5 * 512, 1024), data);
    disk.image().Write(5 * 512, Bytes(1024));
  }
}

TEST(BlockDeviceTest, IndirectChainIsServed) {
  BlockHarness disk;
  auto builder = disk.driver().Chain();
  builder.Indirect().Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, 0));
  for (int i = 0; i < 8; ++i) builder.Writable(512);
  builder.Writable(1);
  EXPECT_EQ(disk.Finish(builder.Offer()).used_bytes, 8u * 512 + 1);
}

// "A device MUST set the status byte to VIRTIO_BLK_S_IOERR for a write request if the
// VIRTIO_BLK_F_RO feature if offered, and MUST NOT write any data."
TEST(BlockDeviceTest, Blk_5_2_6_2_WriteToReadonlyIsAnErrorAndWritesNothing) {
  BlockHarness disk({.readonly = true});
  EXPECT_NE(disk.device().features() & Bit(VIRTIO_BLK_F_RO), 0u);
  EXPECT_EQ(disk.Write(0, RandomBytes(512, 4)), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 1, 0}}), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{0, 1, 0}}), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.image().Read(0, 512), Bytes(512));
  EXPECT_EQ(disk.Read(0, 512).status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.counter("invalid_requests"), 3u);
}

TEST(BlockDeviceTest, Blk_5_2_6_2_UnknownFlagsAreUnsupportedAndTouchNothing) {
  BlockHarness disk;
  const Bytes data = RandomBytes(1024, 5);
  disk.image().Write(0, data);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{0, 1, 0}, {1, 1, 2}}), VIRTIO_BLK_S_UNSUPP);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 2, 1}}), VIRTIO_BLK_S_UNSUPP);
  EXPECT_EQ(disk.image().Read(0, 1024), data);
}

TEST(BlockDeviceTest, UnknownTypeIsUnsupported) {
  BlockHarness disk;
  const auto result = disk.Do(BlockHeaderBytes(99, 0), 1);
  EXPECT_EQ(result.status, VIRTIO_BLK_S_UNSUPP);
  EXPECT_EQ(result.used_bytes, 1u);
  EXPECT_EQ(disk.counter("unsupported_requests"), 1u);
}

// "After a write zeroes command is completed, reads of the specified ranges of sectors MUST return
// zeroes. This is true independent of whether unmap was set or clear."
TEST(BlockDeviceTest, Blk_5_2_6_2_WriteZeroesReadsAsZeros) {
  for (const bool sparse : {true, false}) {
    for (const uint32_t unmap : {0u, 1u}) {
      BlockHarness disk({.sparse = sparse});
      const Bytes data = RandomBytes(BlockHarness::kDiskBytes, 6);
      disk.image().Write(0, data);
      EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{1, 100, unmap}, {1000, 64, unmap}}),
                VIRTIO_BLK_S_OK);
      Bytes want = data;
      std::fill_n(want.begin() + 512, 100 * 512, uint8_t{0});
      std::fill_n(want.begin() + 1000 * 512, 64 * 512, uint8_t{0});
      EXPECT_EQ(disk.image().Read(0, BlockHarness::kDiskBytes), want);
    }
  }
}

TEST(BlockDeviceTest, DiscardFreesSpace) {
  BlockHarness disk;
  disk.image().Write(0, RandomBytes(BlockHarness::kDiskBytes, 7));
  struct stat before;
  stat(disk.image().path().c_str(), &before);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 1024, 0}, {1024, 512, 0}}), VIRTIO_BLK_S_OK);
  struct stat after;
  stat(disk.image().path().c_str(), &after);
  EXPECT_LT(after.st_blocks, before.st_blocks);
  EXPECT_EQ(after.st_size, before.st_size);
  EXPECT_EQ(disk.counter("discard_ops"), 1u);
}

TEST(BlockDeviceTest, DiscardIsNotOfferedForAPreallocatedImage) {
  BlockHarness disk({.sparse = false});
  EXPECT_EQ(disk.device().features() & Bit(VIRTIO_BLK_F_DISCARD), 0u);
  EXPECT_EQ(ConfigOf(disk.device()).write_zeroes_may_unmap, 0);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 8, 0}}), VIRTIO_BLK_S_UNSUPP);
}

TEST(BlockDeviceTest, GetIdFitsAnyBuffer) {
  BlockHarness disk;
  Bytes want(20);
  std::memcpy(want.data(), "S3R14L", 6);
  const auto exact = disk.Do(BlockHeaderBytes(VIRTIO_BLK_T_GET_ID, 0), 21);
  EXPECT_EQ(exact.data, want);
  EXPECT_EQ(exact.used_bytes, 21u);
  const auto small = disk.Do(BlockHeaderBytes(VIRTIO_BLK_T_GET_ID, 0), 4);
  EXPECT_EQ(small.data, Bytes(want.begin(), want.begin() + 3));
  EXPECT_EQ(small.used_bytes, 4u);
  const auto large = disk.Do(BlockHeaderBytes(VIRTIO_BLK_T_GET_ID, 0), 100);
  EXPECT_EQ(Bytes(large.data.begin(), large.data.begin() + 20), want);
  EXPECT_EQ(large.used_bytes, 20u) << "the used length is a prefix: the rest was not written";
}

TEST(BlockDeviceTest, LongSerialHasNoTerminator) {
  BlockHarness disk({.device = {.id = "d", .serial = "0123456789012345678901", .queue_size = 16}});
  const auto id = disk.Do(BlockHeaderBytes(VIRTIO_BLK_T_GET_ID, 0), 21);
  EXPECT_EQ(std::string(id.data.begin(), id.data.end()), "01234567890123456789");
}

// A used length never covers bytes that were not written. [VIRTIO 1.2 §2.7.8.2]
TEST(BlockDeviceTest, Queue_2_7_8_2_UsedLengthIsAWrittenPrefix) {
  BlockHarness disk;
  EXPECT_EQ(disk.Read(1 << 20, 512).used_bytes, 0u)
      << "the data before the status were not written";
  EXPECT_EQ(disk.Do(BlockHeaderBytes(VIRTIO_BLK_T_FLUSH, 0), 1).used_bytes, 1u);
  EXPECT_EQ(disk.Do(BlockHeaderBytes(VIRTIO_BLK_T_FLUSH, 0), 10).used_bytes, 0u);
}

TEST(BlockDeviceTest, RequestWithoutStatusIsCompleted) {
  BlockHarness disk;
  const auto result = disk.Do(BlockHeaderBytes(VIRTIO_BLK_T_IN, 0), 0);
  EXPECT_EQ(result.used_bytes, 0u);
  EXPECT_EQ(disk.counter("requests_without_status"), 1u);
}

TEST(BlockDeviceTest, MalformedRequestsAreErrors) {
  BlockHarness disk;
  EXPECT_EQ(disk.Do(Bytes(15), 513).status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.Do({}, 513).status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.Read(0, 513).status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.Read(BlockHarness::kDiskBytes / 512, 512).status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.counter("invalid_requests"), 4u);
  EXPECT_EQ(disk.Read(0, 512).status, VIRTIO_BLK_S_OK) << "the device must still work";
}

// "A write becomes stable once it is completed and [...] neither VIRTIO_BLK_F_CONFIG_WCE nor
// VIRTIO_BLK_F_FLUSH feature were negotiated, but VIRTIO_BLK_F_FLUSH was offered".
TEST(BlockDeviceTest, Blk_5_2_6_2_WritesAreStableWithoutFlushFeature) {
  BlockHarness disk({.features_off = Bit(VIRTIO_BLK_F_FLUSH)});
  using Event = base::FakeEventLoop::Event;
  uint64_t flush = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(disk.Write(0, RandomBytes(512, 8)), VIRTIO_BLK_S_OK);
    disk.loop().NoteFlushSubmitted(++flush);  // each completed write counts as flushed
    disk.loop().NoteFlushAcknowledged(flush);
  }
  EXPECT_EQ(disk.loop().CheckFlushes(), "");
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{0, 8, 0}}), VIRTIO_BLK_S_OK);
  const Event& last = disk.loop().events().back();
  EXPECT_EQ(last.kind, base::FakeEventLoop::Kind::kFdatasync);
}

TEST(BlockDeviceTest, Blk_5_2_6_2_WritesAreNotSyncedWithFlushFeature) {
  BlockHarness disk;
  EXPECT_EQ(disk.Write(0, RandomBytes(512, 8)), VIRTIO_BLK_S_OK);
  for (const auto& event : disk.loop().events()) {
    EXPECT_NE(event.kind, base::FakeEventLoop::Kind::kFdatasync);
  }
}

// --- Configuration ---

TEST(BlockDeviceTest, Blk_5_2_5_2_FlushIsOfferedAndPaddingIsZero) {
  BlockHarness disk;
  EXPECT_NE(disk.device().features() & Bit(VIRTIO_BLK_F_FLUSH), 0u);
  const BlockConfigSpace config = ConfigOf(disk.device());
  EXPECT_EQ(config.unused0, 0);
  for (const uint8_t byte : config.unused1) EXPECT_EQ(byte, 0);
}

TEST(BlockDeviceTest, ConfigurationDescribesTheImage) {
  BlockHarness disk({.device = {.id = "d", .num_queues = 2, .queue_size = 16}});
  BlockDevice& device = disk.device();
  EXPECT_EQ(device.type(), VIRTIO_ID_BLOCK);
  EXPECT_EQ(device.queue_sizes().size(), 2u);
  EXPECT_NE(device.features() & Bit(VIRTIO_BLK_F_MQ), 0u);
  const BlockConfigSpace config = ConfigOf(device);
  EXPECT_EQ(config.capacity_sectors.value(), BlockHarness::kDiskBytes / 512);
  EXPECT_EQ(config.seg_max.value(), 14u);
  EXPECT_EQ(config.blk_size.value(), 512u);
  EXPECT_EQ(config.physical_block_exp, 3);
  EXPECT_EQ(config.num_queues.value(), 2);
  EXPECT_EQ(config.max_discard_seg.value(), kMaxBlockRanges);
}

TEST(BlockDeviceTest, ConfigReadsBehindItsEndAreZero) {
  BlockHarness disk;
  for (const uint32_t offset : {57u, 60u, 4000u, 0xffffffffu}) {
    uint8_t bytes[8];
    std::fill_n(bytes, 8, uint8_t{0xaa});
    disk.device().ReadConfig(offset, bytes);
    for (size_t i = offset >= 60 ? 0 : 60 - offset; i < 8; ++i) EXPECT_EQ(bytes[i], 0) << offset;
  }
}

TEST(BlockDeviceTest, RequestsOfFeaturesThatAreNotAcceptedAreUnsupported) {
  BlockHarness no_write_zeroes({.features_off = Bit(VIRTIO_BLK_F_WRITE_ZEROES)});
  EXPECT_EQ(no_write_zeroes.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{0, 1, 0}}), VIRTIO_BLK_S_UNSUPP);
  EXPECT_EQ(no_write_zeroes.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 1, 0}}), VIRTIO_BLK_S_OK);
  BlockHarness no_discard({.features_off = Bit(VIRTIO_BLK_F_DISCARD)});
  EXPECT_EQ(no_discard.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{0, 1, 0}}), VIRTIO_BLK_S_OK);
  EXPECT_EQ(no_discard.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 1, 0}}), VIRTIO_BLK_S_UNSUPP);
}

TEST(BlockDeviceTest, GrownImageRaisesCapacity) {
  BlockHarness disk;
  disk.device().Resize(disk.image().size());
  EXPECT_EQ(disk.harness().notifier().config_changes, 0u);
  disk.image().Resize(2 * BlockHarness::kDiskBytes);
  const uint64_t new_sector = BlockHarness::kDiskBytes / 512;
  EXPECT_EQ(disk.Read(new_sector, 512).status, VIRTIO_BLK_S_IOERR);
  disk.device().Resize(disk.image().size());
  EXPECT_EQ(disk.harness().notifier().config_changes, 1u);
  EXPECT_EQ(ConfigOf(disk.device()).capacity_sectors.value(), 2 * new_sector);
  EXPECT_EQ(disk.Read(new_sector, 512).status, VIRTIO_BLK_S_OK);
  disk.image().Resize(4096);
  disk.device().Resize(disk.image().size());
  EXPECT_EQ(ConfigOf(disk.device()).capacity_sectors.value(), 2 * new_sector)
      << "the capacity must never shrink";
}

// --- Life cycle ---

TEST(BlockDeviceTest, QueuesAreServedIndependently) {
  BlockHarness disk({.device = {.id = "d", .num_queues = 4, .queue_size = 16}});
  for (uint16_t queue = 0; queue < 4; ++queue) {
    disk.driver(queue)
        .Chain()
        .Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, queue))
        .Writable(512)
        .Writable(1)
        .Offer();
    disk.harness().Publish(queue);
    EXPECT_TRUE(disk.driver(queue).PopUsed());
  }
  EXPECT_EQ(disk.counter("read_ops"), 4u);
}

TEST(BlockDeviceTest, DeviceWorksAfterEveryReset) {
  BlockHarness disk;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(disk.Write(0, RandomBytes(512, 9)), VIRTIO_BLK_S_OK);
    ASSERT_TRUE(disk.Stop());
    EXPECT_EQ(disk.loop().in_flight(), 0u);
    disk.Start();
  }
}

TEST(BlockDeviceTest, OneQueueCanBeResetAlone) {
  BlockHarness disk({.device = {.id = "d", .num_queues = 2, .queue_size = 16}});
  ASSERT_TRUE(disk.harness().StopQueue(disk.device(), 0));
  disk.driver(1).Chain().Readable(BlockHeaderBytes(VIRTIO_BLK_T_FLUSH, 0)).Writable(1).Offer();
  disk.harness().Publish(1);
  EXPECT_TRUE(disk.driver(1).PopUsed());
  disk.harness().StartQueue(disk.device(), 0);
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
}

TEST(BlockDeviceTest, PauseAndResumeUnderLoadLoseNothing) {
  BlockHarness disk;
  for (int i = 0; i < 100; ++i) {
    std::vector<uint16_t> heads;
    for (uint64_t request = 0; request < 4; ++request) {
      heads.push_back(disk.driver()
                          .Chain()
                          .Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, request))
                          .Writable(512)
                          .Writable(1)
                          .Offer());
    }
    disk.driver().Publish();
    disk.harness().Kick(0);
    disk.loop().RunTurn();
    ASSERT_TRUE(disk.harness().Pause(disk.device()));
    EXPECT_EQ(disk.loop().in_flight(base::FakeEventLoop::Kind::kRead), 0u);
    disk.device().Resume();
    disk.loop().RunUntilIdle();
    for (const uint16_t head : heads) EXPECT_EQ(disk.TakeResult(head).status, VIRTIO_BLK_S_OK);
  }
}

// A file that leaves a ring's table costs kernel memory as long as the ring lives. Therefore
// actions that a guest can repeat must neither add files to the table nor remove them (the fake
// loop fails the test at a removal).
TEST(BlockDeviceTest, ResetsDoNotChangeTheLoopsFiles) {
  BlockHarness disk;
  const uint64_t files = disk.loop().files_added();
  EXPECT_EQ(files, 2u) << "the image and a doorbell";
  for (int i = 0; i < 300; ++i) {  // more than the table holds
    ASSERT_TRUE(disk.harness().StopQueue(disk.device(), 0));
    disk.harness().StartQueue(disk.device(), 0);
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
    ASSERT_TRUE(disk.Stop());
    disk.Start();
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
  }
  EXPECT_EQ(disk.loop().files_added(), files);
}

TEST(BlockDeviceTest, FullFileTableIsAnErrorAtStart) {
  const TemporaryImage file(testing::TempDir(), BlockHarness::kDiskBytes);
  auto memory = *base::GuestMemory::Create({.thp = false}, {{0, 1 << 20, nullptr}});
  base::FakeEventLoop loop({.max_files = 0});
  auto image = BlockImage::Open({.name = "disk", .path = file.path()});
  ASSERT_TRUE(image.ok()) << image.status();
  const auto device = BlockDevice::Create({.id = "d"}, *std::move(image), loop, *memory);
  EXPECT_EQ(device.status().message(), "d: event loop: more than 0 files");
}

}  // namespace
}  // namespace virtio
