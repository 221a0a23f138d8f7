// The device-normative MUSTs of VIRTIO 1.2 that block_device_test.cc does not cover, and a hostile
// driver. tests/conformance lists the clauses.
#include <gtest/gtest.h>
#define VIRTIO_RING_NO_LEGACY  // the legacy part is not C++
#include <linux/virtio_ring.h>

#include <algorithm>
#include <span>

#include "tests/fakes/hostile_driver.h"
#include "virtio/block/testing/block_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t Bit(int feature) { return uint64_t{1} << feature; }

template <typename T>
T ConfigField(BlockDevice& device, uint32_t offset) {
  T value = {};
  device.ReadConfig(offset, std::span(reinterpret_cast<uint8_t*>(&value), sizeof(value)));
  return value;
}

// "The device MUST NOT offer feature bits corresponding to features it would not support if
// accepted by the driver."
TEST(BlockConformanceTest, Blk_2_2_2_OnlySupportedFeaturesAreOffered) {
  const uint64_t always = Bit(VIRTIO_RING_F_EVENT_IDX) | Bit(VIRTIO_RING_F_INDIRECT_DESC) |
                          Bit(VIRTIO_BLK_F_SEG_MAX) | Bit(VIRTIO_BLK_F_BLK_SIZE) |
                          Bit(VIRTIO_BLK_F_TOPOLOGY) | Bit(VIRTIO_BLK_F_FLUSH);
  EXPECT_EQ(BlockHarness().device().features(),
            always | Bit(VIRTIO_BLK_F_WRITE_ZEROES) | Bit(VIRTIO_BLK_F_DISCARD));
  EXPECT_EQ(BlockHarness({.sparse = false}).device().features(),
            always | Bit(VIRTIO_BLK_F_WRITE_ZEROES));
  EXPECT_EQ(BlockHarness({.readonly = true}).device().features(), always | Bit(VIRTIO_BLK_F_RO));
  BlockHarness two({.device = {.id = "d", .num_queues = 2, .queue_size = 16}});
  EXPECT_NE(two.device().features() & Bit(VIRTIO_BLK_F_MQ), 0u);
}

// "The device MUST NOT offer a feature which requires another feature which was not offered": only
// CONFIG_WCE requires another feature, and CONFIG_WCE is never offered. So any other feature may be
// masked or not be accepted.
TEST(BlockConformanceTest, Blk_2_2_2_NoOfferedFeatureRequiresAnotherOne) {
  for (int bit = 0; bit < 64; ++bit) {
    BlockHarness disk({.features_off = Bit(bit)});
    EXPECT_EQ(disk.device().features() & Bit(VIRTIO_BLK_F_CONFIG_WCE), 0u);
    EXPECT_EQ(disk.Read(0, 512).status, VIRTIO_BLK_S_OK) << bit;
  }
}

// "The device MUST allow reading of any device-specific configuration field before FEATURES_OK is
// set by the driver. This includes fields which are conditional on feature bits."
TEST(BlockConformanceTest, Blk_2_5_2_FieldsOfOfferedFeaturesAreThereFromTheStart) {
  BlockHarness disk;
  ASSERT_TRUE(disk.Stop());
  BlockDevice& device = disk.device();
  EXPECT_EQ(ConfigField<uint64_t>(device, offsetof(virtio_blk_config, capacity)),
            BlockHarness::kDiskBytes / 512);
  EXPECT_NE(ConfigField<uint32_t>(device, offsetof(virtio_blk_config, seg_max)), 0u);
  EXPECT_NE(ConfigField<uint32_t>(device, offsetof(virtio_blk_config, blk_size)), 0u);
  EXPECT_NE(ConfigField<uint32_t>(device, offsetof(virtio_blk_config, max_discard_sectors)), 0u);
  EXPECT_NE(ConfigField<uint32_t>(device, offsetof(virtio_blk_config, max_write_zeroes_sectors)),
            0u);
}

// "For 64-bit device configuration fields, the device MUST allow driver independent access to high
// and low 32-bit parts of the field."
TEST(BlockConformanceTest, Blk_4_1_3_2_HalvesOfTheCapacity) {
  const uint64_t sectors = (uint64_t{1} << 32) + 8;
  BlockHarness disk({.disk_bytes = sectors * 512});  // sparse
  EXPECT_EQ(ConfigField<uint32_t>(disk.device(), 0), 8u);
  EXPECT_EQ(ConfigField<uint32_t>(disk.device(), 4), 1u);
}

// "The device MUST NOT make assumptions about the particular arrangement of descriptors": the
// header is cut at every place, and into one descriptor for every byte.
TEST(BlockConformanceTest, Blk_2_7_4_1_FramingDoesNotChangeARequest) {
  BlockHarness disk(
      {.harness = {.loop = {}, .queue_size = 32}, .device = {.id = "d", .queue_size = 32}});
  const Bytes data = RandomBytes(512, 2);
  disk.image().Write(512, data);
  const Bytes header = BlockHeaderBytes(VIRTIO_BLK_T_IN, 1);
  for (size_t cut = 1; cut <= header.size(); ++cut) {
    auto builder = disk.driver().Chain();
    for (size_t at = 0; at < header.size(); at += cut) {
      builder.Readable(std::span(header).subspan(at, std::min(cut, header.size() - at)));
    }
    const auto result = disk.Finish(builder.Writable(511).Writable(1).Writable(1).Offer());
    EXPECT_EQ(result.status, VIRTIO_BLK_S_OK) << cut;
    EXPECT_EQ(result.data, data) << cut;
    EXPECT_EQ(result.used_bytes, 513u) << cut;
  }
}

// "A device MUST NOT write to a device-readable buffer."
TEST(BlockConformanceTest, Blk_2_7_5_1_ReadableBuffersAreNotWritten) {
  BlockHarness disk;
  constexpr uint64_t kBuffer = 0x200000;
  for (const uint32_t type :
       {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID,
        VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, 77}) {
    Bytes before = BlockHeaderBytes(static_cast<uint32_t>(type), 0);
    before.resize(16 + 512, 0x77);
    ASSERT_TRUE(disk.harness().memory().Write(kBuffer, before));
    disk.Finish(disk.driver().Chain().ReadableAt(kBuffer, 16 + 512).Writable(513).Offer());
    Bytes after(before.size());
    ASSERT_TRUE(disk.harness().memory().Read(kBuffer, after));
    EXPECT_EQ(after, before) << type;
  }
}

// VIRTIO_BLK_F_CONFIG_WCE is not offered, so "MUST offer [FLUSH] if they offer
// VIRTIO_BLK_F_CONFIG_WCE" holds, and writes to `writeback` change nothing.
TEST(BlockConformanceTest, Blk_5_2_5_2_WritebackCannotBeConfigured) {
  BlockHarness disk;
  EXPECT_EQ(disk.device().features() & Bit(VIRTIO_BLK_F_CONFIG_WCE), 0u);
  const uint32_t offset = offsetof(virtio_blk_config, wce);
  const auto before = ConfigField<uint8_t>(disk.device(), offset);
  const uint8_t other = before ^ 1;
  disk.device().WriteConfig(offset, std::span(&other, 1));
  EXPECT_EQ(ConfigField<uint8_t>(disk.device(), offset), before);
}

// "The device MUST set the status byte to VIRTIO_BLK_S_UNSUPP for discard commands if the unmap
// flag is set."
TEST(BlockConformanceTest, Blk_5_2_6_2_DiscardWithUnmapIsUnsupported) {
  BlockHarness disk;
  const Bytes data = RandomBytes(4096, 3);
  disk.image().Write(0, data);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 8, 0}, {0, 8, 1}}), VIRTIO_BLK_S_UNSUPP);
  EXPECT_EQ(disk.image().Read(0, 4096), data);
}

TEST(BlockConformanceTest, Blk_5_2_6_2_SecureEraseIsUnsupported) {
  BlockHarness disk;
  EXPECT_EQ(disk.device().features() & Bit(16 /* VIRTIO_BLK_F_SECURE_ERASE */), 0u);
  const Bytes data = RandomBytes(4096, 4);
  disk.image().Write(0, data);
  for (const uint32_t flags : {0u, 1u, 2u}) {
    EXPECT_EQ(disk.DoRanges(14 /* VIRTIO_BLK_T_SECURE_ERASE */, {{0, 8, flags}}),
              VIRTIO_BLK_S_UNSUPP);
  }
  EXPECT_EQ(disk.image().Read(0, 4096), data);
}

// "the device MUST ensure that stable writes are committed to it, before reporting completion of
// [...] the flush": this holds in any order in which the host completes requests.
TEST(BlockConformanceTest, Blk_5_2_6_2_FlushCommitsEarlierCompletedWrites) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    BlockHarness disk({.harness = {.loop = {.seed = seed}, .queue_size = 16}});
    for (uint64_t flush = 1; flush <= 5; ++flush) {
      ASSERT_EQ(disk.Write(flush, RandomBytes(1024, seed)), VIRTIO_BLK_S_OK);
      ASSERT_EQ(disk.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{100 + flush, 8, 0}}), VIRTIO_BLK_S_OK);
      disk.loop().NoteFlushSubmitted(flush);
      ASSERT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
      disk.loop().NoteFlushAcknowledged(flush);
    }
    EXPECT_EQ(disk.loop().CheckFlushes(), "") << seed;
  }
}

// "The flag MUST NOT be offered if the device is backed by storage for which the lifetime metrics
// described in this document cannot be obtained."
TEST(BlockConformanceTest, Blk_5_2_6_2_LifetimeIsNotOffered) {
  BlockHarness disk;
  EXPECT_EQ(disk.device().features() & Bit(15 /* VIRTIO_BLK_F_LIFETIME */), 0u);
  const auto result = disk.Do(BlockHeaderBytes(10 /* VIRTIO_BLK_T_GET_LIFETIME */, 0), 6 + 1);
  EXPECT_EQ(result.status, VIRTIO_BLK_S_UNSUPP);
  EXPECT_EQ(result.data, Bytes(6, 0xee));
}

// --- A hostile driver ---

HostileTarget TargetOf(BlockHarness& disk) {
  return {.harness = disk.harness(),
          .device = disk.device(),
          .queue = 0,
          .writable = false,
          .offer_good =
              [&disk] {
                disk.driver()
                    .Chain()
                    .Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, 0))
                    .Writable(513)
                    .Offer();
              },
          .expect_good = [&disk] { EXPECT_EQ(disk.Read(0, 512).status, VIRTIO_BLK_S_OK); }};
}

BlockHarness::Options Hostile(uint64_t seed = 0) {
  return {.harness = {.loop = {.seed = seed}, .queue_size = 8},
          .device = {.id = "d", .queue_size = 8}};
}

TEST(BlockHostileTest, EveryAttackEndsInAResetOrAnAnswer) {
  for (const Attack& attack : Attacks()) {
    BlockHarness disk(Hostile());
    RunAttack(attack, TargetOf(disk), disk.device().features());
  }
}

TEST(BlockHostileTest, ResetsInEveryState) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    BlockHarness disk(Hostile(seed));
    ResetInEveryState(TargetOf(disk), disk.device().features());
  }
}

TEST(BlockHostileTest, ServesRequestsWithAnyFeatures) {
  BlockHarness disk(Hostile());
  ExpectServiceWithAnyFeatures(TargetOf(disk));
}

// The guest rewrites the header, descriptors and ring while the request is in flight. The device
// must use what it has fetched.
TEST(BlockHostileTest, RequestsChangedInFlightAreServedAsFetched) {
  BlockHarness disk(Hostile());
  const Bytes data = RandomBytes(512, 5);
  disk.image().Write(0, data);
  constexpr uint64_t kHeader = 0x200000;
  constexpr uint64_t kData = 0x201000;
  ASSERT_TRUE(disk.harness().memory().Write(kHeader, BlockHeaderBytes(VIRTIO_BLK_T_IN, 0)));
  FakeDriver& driver = disk.driver();
  driver.WriteDescriptor(0, {kHeader, 16, 1, 1});
  driver.WriteDescriptor(1, {kData, 513, 2, 0});
  driver.OfferRaw(0);
  disk.harness().Kick(0);
  while (disk.loop().in_flight(base::FakeEventLoop::Kind::kRead) == 0) disk.loop().RunTurn();
  ASSERT_TRUE(disk.harness().memory().Write(kHeader, BlockHeaderBytes(VIRTIO_BLK_T_OUT, 7)));
  driver.WriteDescriptor(0, {0, 0xffffffff, 7, 9});
  driver.WriteDescriptor(1, {0xc000'0000, 1, 0, 1});
  driver.SetAvailEntry(0, 5);
  disk.loop().RunUntilIdle();
  EXPECT_EQ(driver.UsedElement(0).id, 0u);
  EXPECT_EQ(driver.UsedElement(0).len, 513u);
  Bytes got(513);
  ASSERT_TRUE(disk.harness().memory().Read(kData, got));
  EXPECT_EQ(got.back(), VIRTIO_BLK_S_OK);
  got.pop_back();
  EXPECT_EQ(got, data);
  EXPECT_EQ(disk.image().Read(7 * 512, 512), Bytes(512));
}

// Headers whose sector and length overflow every computation with them.
TEST(BlockHostileTest, OverflowingSectorsAreErrors) {
  BlockHarness disk;
  for (const uint64_t sector :
       {~uint64_t{0}, ~uint64_t{0} / 512, ~uint64_t{0} / 512 + 1, uint64_t{1} << 55,
        uint64_t{1} << 63, BlockHarness::kDiskBytes / 512}) {
    EXPECT_EQ(disk.Read(sector, 512).status, VIRTIO_BLK_S_IOERR) << sector;
    EXPECT_EQ(disk.Write(sector, Bytes(512)), VIRTIO_BLK_S_IOERR) << sector;
    for (const uint32_t count : {1u, 0x7fffffffu, 0xffffffffu}) {
      for (const uint32_t type : {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES}) {
        EXPECT_EQ(disk.DoRanges(type, {{sector, count, 0}}), VIRTIO_BLK_S_IOERR) << sector;
      }
    }
  }
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{1, 0xffffffff, 0}}), VIRTIO_BLK_S_IOERR);
}

}  // namespace
}  // namespace virtio
