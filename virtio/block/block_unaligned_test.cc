// A guest with sectors of 512 bytes on a host that takes blocks of 4096 bytes: what each request
// does to the image, and that writes of parts of one block do not undo each other.
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>

#include <algorithm>
#include <map>
#include <random>
#include <span>
#include <string>
#include <utility>

#include "virtio/block/testing/block_fixtures.h"

namespace virtio {
namespace {

using Kind = base::FakeEventLoop::Kind;
using Event = base::FakeEventLoop::Event;

constexpr uint32_t kBlock = 4096;
// The image's file is the loop's first file: it is added with the device, before any doorbell.
const base::LoopFile kImageFile(0);

// Returns a folder with O_DIRECT, in memory if Linux supports O_DIRECT there (since 6.6).
std::string Folder() {
  const bool in_memory = access("/dev/shm", W_OK) == 0 && HasDirectIo("/dev/shm");
  return in_memory ? "/dev/shm" : testing::TempDir();
}

BlockHarness::Options Blocks(uint64_t seed = 0) {
  BlockHarness::Options options;
  options.directory = Folder();
  options.harness.loop.seed = seed;
  options.harness.loop.short_transfer_unit_bytes = 512;  // smaller than the host's unit
  options.direct = true;
  options.least_direct_alignment = kBlock;
  options.disk_bytes = 64 * kBlock;
  return options;
}

uint16_t OfferWrite(BlockHarness& disk, uint64_t sector, const Bytes& data, uint16_t queue = 0) {
  return disk.driver(queue)
      .Chain()
      .Readable(BlockHeaderBytes(VIRTIO_BLK_T_OUT, sector))
      .Readable(data)
      .Writable(1)
      .Offer();
}

uint16_t OfferWriteZeroes(BlockHarness& disk, uint64_t sector, uint32_t sectors, uint32_t flags,
                          uint16_t queue = 0) {
  Bytes bytes = BlockHeaderBytes(VIRTIO_BLK_T_WRITE_ZEROES, 0);
  const Bytes range = BytesOf(BlockRange{sector, sectors, flags});
  bytes.insert(bytes.end(), range.begin(), range.end());
  return disk.driver(queue).Chain().Readable(bytes).Writable(1).Offer();
}

// Checks that the host was asked only for whole blocks.
void ExpectWholeBlocks(BlockHarness& disk) {
  for (const Event& event : disk.loop().events()) {
    const bool transfer =
        event.kind == Kind::kRead || event.kind == Kind::kWrite || event.kind == Kind::kFallocate;
    if (event.what != Event::What::kStarted || !transfer) continue;
    EXPECT_EQ(event.offset % kBlock, 0u);
    EXPECT_EQ(event.length_bytes % kBlock, 0u);
  }
}

struct Written {
  uint64_t start = ~uint64_t{0};
  uint64_t end = 0;
};

// Returns the range of the image that was written, from the first to the last byte.
Written WrittenBy(BlockHarness& disk) {
  Written written;
  for (const Event& event : disk.loop().events()) {
    if (event.what != Event::What::kStarted ||
        (event.kind != Kind::kWrite && event.kind != Kind::kFallocate)) {
      continue;
    }
    written.start = std::min(written.start, event.offset);
    written.end = std::max(written.end, event.offset + event.length_bytes);
  }
  return written;
}

class BlockUnalignedTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HasDirectIo(Folder())) GTEST_SKIP() << "no O_DIRECT in " << Folder();
  }
};

TEST_F(BlockUnalignedTest, GuestSectorSizeComesFromTheConfig) {
  for (const uint32_t logical : {512u, 1024u, 4096u}) {
    BlockHarness::Options options = Blocks();
    options.logical_block_bytes = logical;
    BlockHarness disk(options);
    BlockConfigSpace config;
    disk.device().ReadConfig(0, std::span(reinterpret_cast<uint8_t*>(&config), sizeof(config)));
    EXPECT_EQ(config.blk_size.value(), logical);
    EXPECT_EQ(config.blk_size.value() << config.physical_block_exp, kBlock);
    EXPECT_EQ(config.min_io_size.value() * logical, kBlock) << "the size that is fast";
    EXPECT_EQ(config.discard_sector_alignment.value(), kBlock / 512);
    EXPECT_EQ(config.capacity_sectors.value(), options.disk_bytes / 512);
  }
}

TEST_F(BlockUnalignedTest, EveryRangeOfSectorsIsReadAndWritten) {
  for (uint64_t start = 0; start < 17; ++start) {
    for (uint64_t count = 1; count < 20; ++count) {
      BlockHarness disk(Blocks());
      Bytes content = RandomBytes(64 * kBlock, start * 100 + count);
      disk.image().Write(0, content);
      const Bytes data = RandomBytes(count * 512, 5);
      ASSERT_EQ(disk.Write(start, data), VIRTIO_BLK_S_OK);
      std::copy(data.begin(), data.end(), content.begin() + static_cast<ptrdiff_t>(start * 512));
      ASSERT_EQ(disk.image().Read(0, content.size()), content) << start << " " << count;
      const auto read = disk.Read(start, static_cast<uint32_t>(count * 512));
      ASSERT_EQ(read.status, VIRTIO_BLK_S_OK);
      ASSERT_EQ(read.data, data);
      ExpectWholeBlocks(disk);
      const Written written = WrittenBy(disk);
      EXPECT_EQ(written.start, start * 512 / kBlock * kBlock)
          << "only the blocks that the write touches";
      EXPECT_EQ(written.end, (start + count + 7) / 8 * kBlock);
    }
  }
}

TEST_F(BlockUnalignedTest, WritesMayBeLargerThanABuffer) {
  BlockHarness::Options options = Blocks();
  options.disk_bytes = 1 << 20;
  BlockHarness disk(options);
  Bytes content = RandomBytes(1 << 20, 1);
  disk.image().Write(0, content);
  const Bytes data = RandomBytes(400 << 10, 2);
  const uint64_t guest = 0x900200;
  ASSERT_TRUE(disk.harness().memory().Write(guest, data));
  auto write = disk.driver().Chain();
  write.Readable(BlockHeaderBytes(VIRTIO_BLK_T_OUT, 3))
      .ReadableAt(guest, static_cast<uint32_t>(data.size()))
      .Writable(1);
  disk.driver().EnableInterrupts();
  EXPECT_EQ(disk.Finish(write.Offer()).status, VIRTIO_BLK_S_OK);
  std::copy(data.begin(), data.end(), content.begin() + 3 * 512);
  EXPECT_EQ(disk.image().Read(0, content.size()), content);
  ExpectWholeBlocks(disk);
}

TEST_F(BlockUnalignedTest, WriteZeroesKeepsTheRestOfABlock) {
  for (const uint32_t unmap : {0u, 1u}) {
    for (const bool host_has_fallocate : {true, false}) {
      for (uint64_t start = 0; start < 9; ++start) {
        for (uint32_t count = 1; count < 27; count += 3) {
          BlockHarness disk(Blocks());
          Bytes content = RandomBytes(64 * kBlock, 3);
          disk.image().Write(0, content);
          if (!host_has_fallocate) disk.loop().FailNext(Kind::kFallocate, EOPNOTSUPP, 2);
          ASSERT_EQ(disk.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES,
                                  {{start, count, unmap}, {100 + start, count, unmap}}),
                    VIRTIO_BLK_S_OK);
          for (const uint64_t first : {start, 100 + start}) {
            std::fill_n(content.begin() + static_cast<ptrdiff_t>(first * 512), count * 512,
                        uint8_t{0});
          }
          ASSERT_EQ(disk.image().Read(0, content.size()), content) << start << " " << count;
          ExpectWholeBlocks(disk);
        }
      }
    }
  }
}

TEST_F(BlockUnalignedTest, DiscardKeepsPartsOfBlocks) {
  BlockHarness disk(Blocks());
  Bytes content = RandomBytes(64 * kBlock, 3);
  disk.image().Write(0, content);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{1, 6, 0}, {12, 8, 0}, {30, 20, 0}}),
            VIRTIO_BLK_S_OK);
  std::fill_n(content.begin() + 4 * kBlock, 2 * kBlock, uint8_t{0});  // sectors 32 to 47
  EXPECT_EQ(disk.image().Read(0, content.size()), content);
  EXPECT_EQ(disk.counter("discard_ops"), 1u);
}

// Eight sectors of one block are written at once. No write is undone by the read-modify-write of
// another.
TEST_F(BlockUnalignedTest, ConcurrentWritesToOneBlockAreAllKept) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    BlockHarness::Options options = Blocks(seed);
    options.device.num_queues = 2;
    options.harness.queue_size = options.device.queue_size = 64;
    BlockHarness disk(options);
    Bytes want;
    for (uint64_t sector = 0; sector < 16; ++sector) {
      const Bytes data = RandomBytes(512, seed * 100 + sector);
      want.insert(want.end(), data.begin(), data.end());
      OfferWrite(disk, sector, data, static_cast<uint16_t>(sector % 2));
    }
    disk.harness().Publish(0);
    disk.harness().Publish(1);
    disk.loop().RunUntilIdle();
    ASSERT_EQ(disk.image().Read(0, want.size()), want) << seed;
  }
}

TEST_F(BlockUnalignedTest, PartialWriteDoesNotUndoAWriteOfTheWholeBlock) {
  for (const bool whole_first : {true, false}) {
    BlockHarness disk(Blocks());
    const Bytes whole = RandomBytes(kBlock, 1), part = RandomBytes(512, 2);
    disk.loop().Hold(kImageFile);
    if (whole_first) OfferWrite(disk, 0, whole);
    OfferWrite(disk, 3, part);
    if (!whole_first) OfferWrite(disk, 0, whole);
    disk.harness().Publish(0);
    EXPECT_EQ(disk.loop().in_flight(Kind::kRead) + disk.loop().in_flight(Kind::kWrite), 1u);
    disk.loop().Release(kImageFile);
    disk.loop().RunUntilIdle();
    Bytes want = whole;
    if (whole_first) std::copy(part.begin(), part.end(), want.begin() + 3 * 512);
    EXPECT_EQ(disk.image().Read(0, kBlock), want);
    EXPECT_EQ(disk.counter("write_ops"), 2u);
    EXPECT_EQ(disk.counter("unaligned_writes"), 1u);
  }
}

TEST_F(BlockUnalignedTest, WritesOfOtherBlocksDoNotWait) {
  BlockHarness disk(Blocks());
  disk.loop().Hold(kImageFile);
  OfferWrite(disk, 3, RandomBytes(512, 1));
  OfferWrite(disk, 8, RandomBytes(kBlock, 2));
  OfferWrite(disk, 16, RandomBytes(kBlock, 3));
  disk.harness().Publish(0);
  EXPECT_EQ(disk.loop().in_flight(Kind::kRead), 1u);
  EXPECT_EQ(disk.loop().in_flight(Kind::kWrite), 2u);
  disk.loop().Release(kImageFile);
  disk.loop().RunUntilIdle();
}

TEST_F(BlockUnalignedTest, BufferedWritesReadNoBlocks) {
  BlockHarness::Options options = Blocks();
  options.direct = false;  // the page cache can write single sectors
  BlockHarness disk(options);
  EXPECT_EQ(disk.Write(3, RandomBytes(512, 1)), VIRTIO_BLK_S_OK);
  size_t reads = 0;
  for (const Event& event : disk.loop().events()) reads += event.kind == Kind::kRead ? 1 : 0;
  EXPECT_EQ(reads, 0u);
}

TEST_F(BlockUnalignedTest, FailedReadOfTheBlocksWritesNothing) {
  BlockHarness disk(Blocks());
  const Bytes content = RandomBytes(kBlock, 1);
  disk.image().Write(0, content);
  disk.loop().FailNext(Kind::kRead, EIO);
  EXPECT_EQ(disk.Write(3, RandomBytes(512, 2)), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.image().Read(0, kBlock), content);
  EXPECT_EQ(disk.Write(4, RandomBytes(512, 2)), VIRTIO_BLK_S_OK) << "the next write gets its turn";
}

// If a file is truncated inside a block, the request ends although each call makes a little
// progress.
TEST_F(BlockUnalignedTest, TruncatedBlockIsAnIoError) {
  BlockHarness disk(Blocks());
  disk.image().Resize(kBlock + 512);
  EXPECT_EQ(disk.Write(9, RandomBytes(512, 2)), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.Read(9, 512).status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.Write(1, RandomBytes(512, 2)), VIRTIO_BLK_S_OK);
}

TEST_F(BlockUnalignedTest, StopEndsWritesThatWaitForTheirTurn) {
  for (uint64_t seed = 0; seed <= 20; ++seed) {
    BlockHarness::Options options = Blocks(seed);
    options.device.num_queues = 2;
    options.harness.queue_size = options.device.queue_size = 64;
    BlockHarness disk(options);
    disk.loop().Hold(kImageFile);
    Bytes want(16 * 512);
    for (uint64_t sector = 0; sector < 16; ++sector) {
      const Bytes data = RandomBytes(512, sector + 1);
      const auto queue = static_cast<uint16_t>(sector % 2);
      OfferWrite(disk, sector, data, queue);
      if (queue == 1) {
        std::copy(data.begin(), data.end(), want.begin() + static_cast<ptrdiff_t>(sector * 512));
      }
    }
    OfferWriteZeroes(disk, 99, 20, 0, 0);
    disk.harness().Publish(0);
    disk.harness().Publish(1);
    bool stopped = false;
    disk.device().StopQueue(0, [&] { stopped = true; });
    disk.loop().Release(kImageFile);
    disk.loop().RunUntilIdle();
    EXPECT_TRUE(stopped);
    size_t served = 0;
    while (const auto used = disk.driver(1).PopUsed()) {
      EXPECT_EQ(disk.driver(1).WritableBytes(static_cast<uint16_t>(used->id)).back(),
                VIRTIO_BLK_S_OK);
      ++served;
    }
    EXPECT_EQ(served, 8u) << "the requests of the other queue are served";
    const Bytes got = disk.image().Read(0, want.size());
    for (size_t sector = 1; sector < 16; sector += 2) {
      EXPECT_TRUE(std::equal(want.begin() + static_cast<ptrdiff_t>(sector * 512),
                             want.begin() + static_cast<ptrdiff_t>(sector * 512 + 512),
                             got.begin() + static_cast<ptrdiff_t>(sector * 512)))
          << sector;
    }
    disk.harness().StartQueue(disk.device(), 0);
    EXPECT_EQ(disk.Write(5, RandomBytes(512, 7)), VIRTIO_BLK_S_OK);
  }
}

TEST_F(BlockUnalignedTest, WritesAreStableWithoutFlushFeature) {
  BlockHarness::Options options = Blocks();
  options.features_off = uint64_t{1} << VIRTIO_BLK_F_FLUSH;
  BlockHarness disk(options);
  EXPECT_EQ(disk.Write(3, RandomBytes(512, 1)), VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.loop().events().back().kind, Kind::kFdatasync);
}

// Requests of random kinds on disjoint sectors that share blocks. No request disturbs another,
// whatever order, lengths and errors the host produces.
void RunRandomLoad(uint64_t seed) {
  constexpr uint64_t kUnits = 48;  // of 5 sectors, so each unit shares a block with a neighbour
  constexpr uint64_t kUnitSectors = 5;
  BlockHarness::Options options = Blocks(seed);
  options.harness.loop.short_transfer_percent = 20;
  options.harness.loop.error_percent = seed % 3 == 0 ? 4 : 0;
  options.harness.loop.errors = {EAGAIN, EINTR, EIO};
  options.harness.queue_size = options.device.queue_size = 64;
  options.device.num_queues = 2;
  BlockHarness disk(options);
  std::mt19937_64 random(seed);
  struct Request {
    uint64_t unit;
    bool read;
    Bytes data;  // after a write
  };
  std::map<std::pair<uint16_t, uint16_t>, Request> in_flight;
  std::map<uint64_t, Bytes> content;  // by unit; absent: unknown
  std::map<uint64_t, bool> busy;
  for (uint64_t unit = 0; unit < kUnits; ++unit) content[unit] = Bytes(kUnitSectors * 512);
  for (int step = 0; step < 120; ++step) {
    for (const uint16_t queue : {uint16_t{0}, uint16_t{1}}) {
      while (step < 119 && disk.driver(queue).free_descriptors() >= 3 && random() % 5 != 0) {
        const uint64_t unit = random() % kUnits;
        if (busy[unit]) continue;
        busy[unit] = true;
        const uint64_t sector = unit * kUnitSectors;
        Request request = {unit, false, Bytes(kUnitSectors * 512)};
        uint16_t head = 0;
        switch (random() % 4) {
          case 0:
            request.read = true;
            head = disk.driver(queue)
                       .Chain()
                       .Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, sector))
                       .Writable(kUnitSectors * 512)
                       .Writable(1)
                       .Offer();
            break;
          case 1:
            head = OfferWriteZeroes(disk, sector, kUnitSectors, static_cast<uint32_t>(random() % 2),
                                    queue);
            break;
          default:
            request.data = RandomBytes(kUnitSectors * 512, random());
            head = OfferWrite(disk, sector, request.data, queue);
        }
        in_flight[{queue, head}] = std::move(request);
      }
      if (disk.driver(queue).Publish()) disk.harness().Kick(queue);
    }
    for (uint64_t turns = random() % 8; turns > 0; --turns) disk.loop().RunTurn();
    if (step == 119) disk.loop().RunUntilIdle();
    for (const uint16_t queue : {uint16_t{0}, uint16_t{1}}) {
      while (const auto used = disk.driver(queue).PopUsed()) {
        const auto head = static_cast<uint16_t>(used->id);
        const Request request = std::move(in_flight.at({queue, head}));
        in_flight.erase({queue, head});
        busy[request.unit] = false;
        Bytes data = disk.driver(queue).WritableBytes(head);
        const bool ok = data.back() == VIRTIO_BLK_S_OK;
        data.pop_back();
        if (request.read) {
          const auto known = content.find(request.unit);
          if (ok && known != content.end()) {
            ASSERT_EQ(data, known->second) << request.unit;
          }
        } else if (ok) {
          content[request.unit] = request.data;
        } else {
          ASSERT_GT(options.harness.loop.error_percent, 0);
          content.erase(request.unit);
        }
      }
    }
  }
  ASSERT_TRUE(in_flight.empty()) << "some requests did not complete";
  for (const auto& [unit, bytes] : content) {
    ASSERT_EQ(disk.image().Read(unit * kUnitSectors * 512, bytes.size()), bytes) << unit;
  }
  ExpectWholeBlocks(disk);
}

TEST_F(BlockUnalignedTest, RandomRequestsMatchACopyOfTheDisk) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    RunRandomLoad(seed);
    if (HasFailure()) return;
  }
}

// --- A real device with sectors of 4096 bytes ---

std::string OutputOf(const std::string& command) {
  FILE* const pipe = popen(command.c_str(), "r");
  std::string output;
  char buffer[256];
  while (pipe != nullptr && fgets(buffer, sizeof(buffer), pipe) != nullptr) output += buffer;
  if (pipe != nullptr) pclose(pipe);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

TEST_F(BlockUnalignedTest, DeviceWith4096ByteSectorsServesAGuestWith512) {
  const TemporaryImage below(testing::TempDir(), 1 << 20);
  const std::string device = OutputOf("losetup --show -f -b 4096 " + below.path() + " 2>/dev/null");
  if (device.empty()) GTEST_SKIP() << "no loop device with sectors of 4096 bytes";
  struct Detach {
    ~Detach() { OutputOf("losetup -d " + device); }
    std::string device;
  } detach{device};
  for (const bool direct : {true, false}) {
    BlockHarness::Options options;
    options.direct = direct;
    options.path = device;
    options.disk_bytes = 1 << 20;
    BlockHarness disk(options);
    BlockConfigSpace config;
    disk.device().ReadConfig(0, std::span(reinterpret_cast<uint8_t*>(&config), sizeof(config)));
    EXPECT_EQ(config.blk_size.value(), 512u);
    EXPECT_EQ(config.physical_block_exp, 3);
    const auto whole = [&] { return disk.Read(0, 64 * kBlock); };
    ASSERT_EQ(disk.Write(0, RandomBytes(64 * kBlock, direct ? 1 : 2)), VIRTIO_BLK_S_OK);
    Bytes content = RandomBytes(64 * kBlock, direct ? 1 : 2);
    const Bytes data = RandomBytes(9 * 512, 3);
    ASSERT_EQ(disk.Write(13, data), VIRTIO_BLK_S_OK);
    std::copy(data.begin(), data.end(), content.begin() + 13 * 512);
    EXPECT_EQ(whole().data, content);
    EXPECT_EQ(disk.Read(13, 9 * 512).data, data);
    ASSERT_EQ(disk.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{5, 30, 0}, {61, 1, 1}}), VIRTIO_BLK_S_OK);
    std::fill_n(content.begin() + 5 * 512, 30 * 512, uint8_t{0});
    std::fill_n(content.begin() + 61 * 512, 512, uint8_t{0});
    EXPECT_EQ(whole().data, content);
    EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{1, 2, 0}, {33, 30, 0}}), VIRTIO_BLK_S_OK);
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
    EXPECT_EQ(disk.counter("host_errors"), 0u);
  }
}

}  // namespace
}  // namespace virtio
