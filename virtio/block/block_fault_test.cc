// Faults of the host: short transfers, interruptions, errors, hangs; direct I/O on buffers that are
// not aligned; and random loads.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "virtio/block/testing/block_fixtures.h"

namespace virtio {
namespace {

using Kind = base::FakeEventLoop::Kind;

constexpr uint64_t Bit(int feature) { return uint64_t{1} << feature; }

// The image's file is the loop's first file: it is added with the device, before any doorbell.
const base::LoopFile kImageFile(0);

TEST(BlockFaultTest, ShortTransfersAreContinued) {
  BlockHarness disk;
  const Bytes data = RandomBytes(4096, 1);
  disk.loop().ShortenNext(Kind::kWrite, 512);
  disk.loop().ShortenNext(Kind::kWrite, 1);
  EXPECT_EQ(disk.Write(0, data), VIRTIO_BLK_S_OK);
  disk.loop().ShortenNext(Kind::kRead, 1000);
  disk.loop().ShortenNext(Kind::kRead, 3000);
  EXPECT_EQ(disk.Read(0, 4096).data, data);
  EXPECT_EQ(disk.counter("short_transfers"), 4u);
}

TEST(BlockFaultTest, InterruptedCallsAreRetriedABoundedNumberOfTimes) {
  BlockHarness disk;
  for (const int error : {EINTR, EAGAIN}) {
    disk.loop().FailNext(Kind::kRead, error, 10);
    EXPECT_EQ(disk.Read(0, 512).status, VIRTIO_BLK_S_OK);
    disk.loop().FailNext(Kind::kFdatasync, error, 10);
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
  }
  disk.loop().FailNext(Kind::kRead, EAGAIN, 17);
  EXPECT_EQ(disk.Read(0, 512).status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.counter("host_errors"), 1u);
}

TEST(BlockFaultTest, HostErrorsAreIoErrors) {
  BlockHarness disk;
  uint64_t errors = 0;
  for (const int error : {EIO, ENOSPC, EFAULT, EINVAL, EDQUOT, ECANCELED}) {
    disk.loop().FailNext(Kind::kWrite, error);
    EXPECT_EQ(disk.Write(0, RandomBytes(512, 2)), VIRTIO_BLK_S_IOERR);
    disk.loop().FailNext(Kind::kRead, error);
    const auto read = disk.Read(0, 512);
    EXPECT_EQ(read.status, VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(read.used_bytes, 0u);
    disk.loop().FailNext(Kind::kFallocate, error);
    EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 8, 0}}), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(disk.counter("host_errors"), errors += 3);
  }
  EXPECT_EQ(disk.Read(0, 512).status, VIRTIO_BLK_S_OK) << "the device must still work";
}

size_t CountLines(const std::string& text, const std::string& what) {
  size_t lines = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++lines;
  return lines;
}

// The limit of log lines counts for each disk: errors of one disk do not hide those of another.
TEST(BlockFaultTest, ErrorsOfEachDiskAreRateLimitedSeparately) {
  for (const char* id : {"_disk7", "_disk8"}) {
    BlockHarness disk({.device = {.id = id, .queue_size = 16}});
    testing::internal::CaptureStderr();
    for (int i = 0; i < 5; ++i) {
      disk.loop().FailNext(Kind::kRead, EIO);
      EXPECT_EQ(disk.Read(8, 512).status, VIRTIO_BLK_S_IOERR);
    }
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_EQ(CountLines(log, absl::StrCat("disk ", id,
                                           ": read failed at byte 4096: "
                                           "Input/output error (EIO)")),
              1u)
        << log;
    EXPECT_EQ(CountLines(log, "\n"), 1u) << log;
    EXPECT_EQ(disk.counter("host_errors"), 5u);
  }
}

// An interrupted call is repeated, but never runs twice at once, and each repetition waits for a
// turn of the loop.
TEST(BlockFaultTest, InterruptedCallsAreRepeatedOnceATurn) {
  BlockHarness disk;
  for (const int error : {EINTR, EAGAIN}) {
    for (const Kind kind : {Kind::kWrite, Kind::kFallocate, Kind::kFdatasync}) {
      disk.loop().FailNext(kind, error, 3);
      const uint64_t retries = disk.counter("retries");
      const size_t before = disk.loop().events().size();
      EXPECT_EQ(kind == Kind::kWrite       ? disk.Write(0, RandomBytes(512, 1))
                : kind == Kind::kFallocate ? disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{8, 8, 0}})
                                           : disk.Flush(),
                VIRTIO_BLK_S_OK);
      EXPECT_EQ(disk.counter("retries") - retries, 3u);
      size_t started = 0;
      for (size_t i = before; i < disk.loop().events().size(); ++i) {
        const auto& event = disk.loop().events()[i];
        if (event.kind != kind) continue;
        // Started, completed, started and so on: a second call never runs beside the first.
        const bool start = event.what == base::FakeEventLoop::Event::What::kStarted;
        EXPECT_EQ(start, started % 2 == 0);
        ++started;
      }
      EXPECT_EQ(started, 8u);
    }
  }
  EXPECT_EQ(disk.counter("host_errors"), 0u);
}

TEST(BlockFaultTest, ReadsBehindATruncatedEndAreIoErrors) {
  BlockHarness disk;
  disk.image().Resize(4096);
  EXPECT_EQ(disk.Read(0, 4096).status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.Read(7, 1024).status, VIRTIO_BLK_S_IOERR) << "half of the range is behind the end";
  EXPECT_EQ(disk.Read(100, 512).status, VIRTIO_BLK_S_IOERR);
}

// After a failure the kernel forgets which pages it could not write, so a later fdatasync would
// succeed.
TEST(BlockFaultTest, FlushesFailAfterOneFailed) {
  BlockHarness disk;
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
  disk.loop().FailNext(Kind::kFdatasync, EIO);
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR);
  ASSERT_TRUE(disk.Stop());
  disk.Start();
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR) << "a reset by the guest must not clear the error";
}

TEST(BlockFaultTest, FailedSyncFailsTheWriteWithoutFlushFeature) {
  BlockHarness disk({.features_off = Bit(VIRTIO_BLK_F_FLUSH)});
  disk.loop().FailNext(Kind::kFdatasync, EIO);
  EXPECT_EQ(disk.Write(0, RandomBytes(512, 3)), VIRTIO_BLK_S_IOERR);
}

TEST(BlockFaultTest, DiscardSucceedsIfTheHostCannotDiscard) {
  BlockHarness disk;
  disk.loop().FailNext(Kind::kFallocate, EOPNOTSUPP);
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 8, 0}, {8, 8, 0}}), VIRTIO_BLK_S_OK);
  const size_t events = disk.loop().events().size();
  EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 8, 0}}), VIRTIO_BLK_S_OK);
  for (size_t i = events; i < disk.loop().events().size(); ++i) {
    EXPECT_NE(disk.loop().events()[i].kind, Kind::kFallocate)
        << "the device must not ask the host again";
  }
}

TEST(BlockFaultTest, ZerosAreWrittenIfFallocateIsUnsupported) {
  for (const uint32_t unmap : {0u, 1u}) {
    BlockHarness disk;
    const Bytes data = RandomBytes(BlockHarness::kDiskBytes, 4);
    disk.image().Write(0, data);
    disk.loop().FailNext(Kind::kFallocate, EOPNOTSUPP, 1 + static_cast<int>(unmap));
    disk.loop().ShortenNext(Kind::kWrite, 4096 + 512);
    // The second range is larger than the device writes in one call.
    EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_WRITE_ZEROES, {{2, 10, unmap}, {100, 1500, unmap}}),
              VIRTIO_BLK_S_OK);
    Bytes want = data;
    std::fill_n(want.begin() + 2 * 512, 10 * 512, uint8_t{0});
    std::fill_n(want.begin() + 100 * 512, 1500 * 512, uint8_t{0});
    EXPECT_EQ(disk.image().Read(0, BlockHarness::kDiskBytes), want);
  }
}

// --- Hangs ---

TEST(BlockFaultTest, StopWaitsForAHungDisk) {
  BlockHarness disk;
  disk.driver()
      .Chain()
      .Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, 0))
      .Writable(4096)
      .Writable(1)
      .Offer();
  disk.loop().Hold(kImageFile);
  disk.harness().Publish(0);
  bool stopped = false;
  disk.device().StopQueue(0, [&] { stopped = true; });
  disk.loop().RunUntilIdle();
  EXPECT_FALSE(stopped) << "the kernel may still write to the guest's buffer";
  disk.loop().Release(kImageFile);
  disk.loop().RunUntilIdle();
  EXPECT_TRUE(stopped);
}

TEST(BlockFaultTest, PauseWaitsForAHungDiskAndLosesNothing) {
  BlockHarness disk;
  const Bytes data = RandomBytes(512, 5);
  Bytes bytes = BlockHeaderBytes(VIRTIO_BLK_T_OUT, 9);
  bytes.insert(bytes.end(), data.begin(), data.end());
  const uint16_t head = disk.driver().Chain().Readable(bytes).Writable(1).Offer();
  disk.loop().Hold(kImageFile);
  disk.harness().Publish(0);
  bool paused = false;
  disk.device().Pause([&] { paused = true; });
  disk.loop().RunUntilIdle();
  EXPECT_FALSE(paused);
  disk.loop().Release(kImageFile);
  disk.loop().RunUntilIdle();
  EXPECT_TRUE(paused);
  EXPECT_EQ(disk.TakeResult(head).status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.image().Read(9 * 512, 512), data);
  disk.device().Resume();
}

TEST(BlockFaultTest, StopEndsRequestsOfManySteps) {
  BlockHarness disk;
  disk.loop().FailNext(Kind::kFallocate, EOPNOTSUPP);
  Bytes bytes = BlockHeaderBytes(VIRTIO_BLK_T_WRITE_ZEROES, 0);
  const Bytes range = BytesOf(BlockRange{0, 2048, 0});
  bytes.insert(bytes.end(), range.begin(), range.end());
  disk.driver().Chain().Readable(bytes).Writable(1).Offer();
  disk.driver().Publish();
  disk.harness().Kick(0);
  while (disk.loop().in_flight(Kind::kWrite) == 0) ASSERT_TRUE(disk.loop().RunTurn());
  EXPECT_TRUE(disk.Stop());
}

// --- Random loads: the seed decides order, short transfers and errors ---

struct Expected {
  uint8_t kind;  // VIRTIO_BLK_T_*
  uint64_t sector;
  Bytes data;
  uint64_t flush;
};

// Random requests in flight on disjoint blocks, checked against a copy of the disk. A failed write
// leaves its block unknown until the block is written again.
void RunRandomLoad(uint64_t seed, int error_percent, bool direct) {
  constexpr uint32_t kBlocks = 64;
  constexpr uint32_t kBlockBytes = 16 << 10;
  BlockHarness::Options options;
  options.harness.loop = {.seed = seed,
                          .short_transfer_percent = 20,
                          .error_percent = error_percent,
                          .errors = {EAGAIN, EINTR, EIO, ENOSPC}};
  options.direct = direct;
  if (!direct && access("/dev/shm", W_OK) == 0)
    options.directory = "/dev/shm";  // a folder where fdatasync costs nothing
  BlockHarness disk(options);
  std::mt19937_64 random(seed);
  std::map<uint64_t, Bytes> content;  // by block; absent: unknown
  for (uint64_t block = 0; block < kBlocks; ++block) content[block] = Bytes(kBlockBytes);
  std::map<uint16_t, Expected> in_flight;
  std::map<uint64_t, bool> busy;
  uint64_t flushes = 0;
  for (int step = 0; step < 300; ++step) {
    disk.driver().EnableInterrupts();
    while (disk.driver().free_descriptors() >= 4 && random() % 4 != 0) {
      const uint64_t block = random() % kBlocks;
      const uint64_t sector = block * kBlockBytes / 512;
      const int what = static_cast<int>(random() % 5);
      auto builder = disk.driver().Chain();
      Expected expected = {VIRTIO_BLK_T_FLUSH, block, {}, 0};
      if (what == 0) {
        expected.flush = ++flushes;
        builder.Readable(BlockHeaderBytes(VIRTIO_BLK_T_FLUSH, 0));
      } else if (busy[block]) {
        continue;
      } else if (what <= 2) {
        expected.kind = VIRTIO_BLK_T_IN;
        builder.Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, sector));
        const auto cut = static_cast<uint32_t>(1 + random() % (kBlockBytes - 1));
        builder.Writable(cut).Writable(kBlockBytes - cut);
      } else {
        expected.kind = VIRTIO_BLK_T_OUT;
        expected.data = RandomBytes(kBlockBytes, random());
        builder.Readable(BlockHeaderBytes(VIRTIO_BLK_T_OUT, sector)).Readable(expected.data);
        content.erase(block);
      }
      const uint16_t head = builder.Writable(1).Offer();
      if (what != 0) busy[block] = true;
      if (expected.flush != 0) disk.loop().NoteFlushSubmitted(expected.flush);
      in_flight[head] = std::move(expected);
    }
    if (disk.driver().Publish()) disk.harness().Kick(0);
    for (uint64_t turns = random() % 8; turns > 0; --turns) disk.loop().RunTurn();
    if (step == 299) disk.loop().RunUntilIdle();
    while (const auto used = disk.driver().PopUsed()) {
      const auto head = static_cast<uint16_t>(used->id);
      const Expected expected = std::move(in_flight.at(head));
      in_flight.erase(head);
      Bytes data = disk.driver().WritableBytes(head);
      const bool ok = data.back() == VIRTIO_BLK_S_OK;
      ASSERT_TRUE(ok || data.back() == VIRTIO_BLK_S_IOERR);
      ASSERT_TRUE(ok || error_percent > 0);
      data.pop_back();
      if (expected.kind == VIRTIO_BLK_T_FLUSH) {
        if (ok) disk.loop().NoteFlushAcknowledged(expected.flush);
        continue;
      }
      busy[expected.sector] = false;
      if (!ok) continue;
      if (expected.kind == VIRTIO_BLK_T_OUT) {
        content[expected.sector] = expected.data;
      } else if (const auto it = content.find(expected.sector); it != content.end()) {
        ASSERT_EQ(data, it->second) << "block " << expected.sector;
      }
    }
  }
  ASSERT_TRUE(in_flight.empty()) << "some requests did not complete";
  EXPECT_EQ(disk.loop().CheckFlushes(), "");
  for (const auto& [block, bytes] : content) {
    ASSERT_EQ(disk.image().Read(block * kBlockBytes, kBlockBytes), bytes) << "block " << block;
  }
}

TEST(BlockFaultTest, RandomRequestsMatchACopyOfTheDisk) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    RunRandomLoad(seed, 0, false);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(BlockFaultTest, RandomRequestsMatchACopyOfTheDiskWithErrors) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    RunRandomLoad(seed, 5, false);
    if (testing::Test::HasFailure()) return;
  }
}

bool CanBeDirect() { return HasDirectIo(testing::TempDir()); }

TEST(BlockFaultTest, RandomRequestsMatchACopyOfTheDiskDirect) {
  if (!CanBeDirect()) GTEST_SKIP() << "no O_DIRECT on the file system of " << testing::TempDir();
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    RunRandomLoad(seed, static_cast<int>(seed % 2 * 5), true);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(BlockFaultTest, DirectCopiesUnalignedBuffers) {
  if (!CanBeDirect()) GTEST_SKIP() << "no O_DIRECT on the file system of " << testing::TempDir();
  BlockHarness disk({.direct = true});
  const uint64_t guest = 0x900001;        // odd
  constexpr uint32_t kBytes = 400 << 10;  // more than one buffer
  const Bytes data = RandomBytes(kBytes, 7);
  ASSERT_TRUE(disk.harness().memory().Write(guest, data));
  auto write = disk.driver().Chain();
  write.Readable(BlockHeaderBytes(VIRTIO_BLK_T_OUT, 8)).ReadableAt(guest, kBytes).Writable(1);
  EXPECT_EQ(disk.Finish(write.Offer()).status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.image().Read(8 * 512, kBytes), data);
  ASSERT_TRUE(disk.harness().memory().Write(guest, Bytes(kBytes)));
  auto read = disk.driver().Chain();
  read.Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, 8))
      .WritableAt(guest, 100)
      .WritableAt(guest + 100, kBytes - 100)
      .Writable(1);
  disk.driver().EnableInterrupts();
  const auto result = disk.Finish(read.Offer());
  EXPECT_EQ(result.status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(result.data, data);
  EXPECT_EQ(result.used_bytes, kBytes + 1);
  EXPECT_EQ(disk.counter("bounced_requests"), 2u);
}

TEST(BlockFaultTest, DirectRequestsWaitForABuffer) {
  if (!CanBeDirect()) GTEST_SKIP() << "no O_DIRECT on the file system of " << testing::TempDir();
  for (const bool stop : {false, true}) {
    BlockHarness::Options options;
    options.harness.queue_size = 64;
    options.device.queue_size = 64;
    options.direct = true;
    BlockHarness disk(options);
    disk.image().Write(0, RandomBytes(BlockHarness::kDiskBytes, 8));
    std::vector<uint16_t> heads;
    for (uint64_t i = 0; i < 16; ++i) {
      heads.push_back(disk.driver()
                          .Chain()
                          .Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, i))
                          .WritableAt(0x900001 + i * 1024, 512)
                          .Writable(1)
                          .Offer());
    }
    disk.loop().Hold(kImageFile);
    disk.harness().Publish(0);
    EXPECT_EQ(disk.loop().in_flight(Kind::kRead), BouncePool::kBuffers);
    disk.loop().Release(kImageFile);
    if (stop) {
      EXPECT_TRUE(disk.Stop());
      continue;
    }
    disk.loop().RunUntilIdle();
    for (uint64_t i = 0; i < 16; ++i) {
      const auto result = disk.TakeResult(heads[i]);
      EXPECT_EQ(result.status, VIRTIO_BLK_S_OK);
      EXPECT_EQ(result.data, disk.image().Read(i * 512, 512));
    }
  }
}

TEST(BlockFaultTest, AlignedDirectBuffersAreNotCopied) {
  if (!CanBeDirect()) GTEST_SKIP() << "no O_DIRECT on the file system of " << testing::TempDir();
  BlockHarness disk({.direct = true});
  auto read = disk.driver().Chain();
  read.Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, 8)).WritableAt(0x900000, 8192).Writable(1);
  EXPECT_EQ(disk.Finish(read.Offer()).status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.counter("bounced_requests"), 0u);
}

}  // namespace
}  // namespace virtio
