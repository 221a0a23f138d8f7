// Flushes, and other requests that keep a kernel worker busy: how many are in flight, which
// fdatasync covers which flush, and what happens to the flushes when an fdatasync fails or a queue
// is stopped.

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "virtio/block/testing/block_fixtures.h"

namespace virtio {
namespace {

using Kind = base::FakeEventLoop::Kind;
using Event = base::FakeEventLoop::Event;

// The image's file is the loop's first file: it is added with the device, before any doorbell.
const base::LoopFile kImageFile(0);

size_t Started(BlockHarness& disk, Kind kind) {
  size_t count = 0;
  for (const Event& event : disk.loop().events()) {
    if (event.what == Event::What::kStarted && event.kind == kind) ++count;
  }
  return count;
}

uint16_t OfferFlush(BlockHarness& disk, uint16_t queue = 0) {
  return disk.driver(queue)
      .Chain()
      .Readable(BlockHeaderBytes(VIRTIO_BLK_T_FLUSH, 0))
      .Writable(1)
      .Offer();
}

uint16_t OfferDiscard(BlockHarness& disk, uint64_t sector) {
  Bytes bytes = BlockHeaderBytes(VIRTIO_BLK_T_DISCARD, 0);
  const Bytes range = BytesOf(BlockRange{sector, 8, 0});
  bytes.insert(bytes.end(), range.begin(), range.end());
  return disk.driver().Chain().Readable(bytes).Writable(1).Offer();
}

// Returns the status of each used chain of `queue`.
std::map<uint16_t, uint8_t> TakeStatuses(BlockHarness& disk, uint16_t queue = 0) {
  std::map<uint16_t, uint8_t> statuses;
  while (const auto used = disk.driver(queue).PopUsed()) {
    const auto head = static_cast<uint16_t>(used->id);
    statuses[head] = disk.driver(queue).WritableBytes(head).back();
  }
  return statuses;
}

BlockHarness::Options InMemory() {
  BlockHarness::Options options;
  if (access("/dev/shm", W_OK) == 0)
    options.directory = "/dev/shm";  // a folder where fdatasync costs nothing
  return options;
}

BlockHarness::Options TwoQueues() {
  BlockHarness::Options options = InMemory();
  options.device.num_queues = 2;
  return options;
}

TEST(BlockFlushTest, FlushesThatComeDuringASyncShareTheNext) {
  BlockHarness disk(InMemory());
  disk.loop().Hold(kImageFile);
  OfferFlush(disk);
  disk.harness().Publish(0);
  for (int i = 0; i < 3; ++i) OfferFlush(disk);
  disk.harness().Publish(0);
  EXPECT_EQ(disk.loop().in_flight(Kind::kFdatasync), 1u);
  disk.loop().Release(kImageFile);
  disk.loop().RunUntilIdle();
  const auto statuses = TakeStatuses(disk);
  EXPECT_EQ(statuses.size(), 4u);
  for (const auto& [head, status] : statuses) EXPECT_EQ(status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(Started(disk, Kind::kFdatasync), 2u);
  EXPECT_EQ(disk.counter("syncs"), 2u);
  EXPECT_EQ(disk.counter("flush_ops"), 4u);
}

// fdatasync and fallocate occupy kernel workers, and a loop has few of them.
TEST(BlockFlushTest, AHungDiskLeavesWorkersForOthers) {
  BlockHarness::Options options = InMemory();
  options.harness.queue_size = options.device.queue_size = 64;
  BlockHarness disk(options);
  disk.loop().Hold(kImageFile);
  for (uint64_t i = 0; i < 10; ++i) {
    OfferDiscard(disk, i * 8);
    OfferFlush(disk);
  }
  disk.harness().Publish(0);
  EXPECT_EQ(disk.loop().in_flight(Kind::kFallocate), BlockShared::kMaxRangesInFlight);
  EXPECT_EQ(disk.loop().in_flight(Kind::kFdatasync), 1u);
  disk.loop().Release(kImageFile);
  disk.loop().RunUntilIdle();
  const auto statuses = TakeStatuses(disk);
  EXPECT_EQ(statuses.size(), 20u);
  for (const auto& [head, status] : statuses) EXPECT_EQ(status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(Started(disk, Kind::kFallocate), 10u);
  // They are started in the order in which they came.
  uint64_t next = 0;
  for (const Event& event : disk.loop().events()) {
    if (event.what != Event::What::kStarted || event.kind != Kind::kFallocate) continue;
    EXPECT_EQ(event.offset, next++ * 4096);
  }
}

TEST(BlockFlushTest, StopEndsWaitingRequests) {
  BlockHarness::Options options = InMemory();
  options.harness.queue_size = options.device.queue_size = 64;
  BlockHarness disk(options);
  for (int round = 0; round < 2; ++round) {
    disk.loop().Hold(kImageFile);
    for (uint64_t i = 0; i < 10; ++i) {
      OfferDiscard(disk, i * 8);
      OfferFlush(disk);
    }
    disk.harness().Publish(0);
    bool stopped = false;
    disk.device().StopQueue(0, [&] { stopped = true; });
    disk.loop().RunUntilIdle();
    EXPECT_FALSE(stopped) << "four requests are in the kernel";
    const size_t syncs = Started(disk, Kind::kFdatasync);
    const size_t ranges = Started(disk, Kind::kFallocate);
    disk.loop().Release(kImageFile);
    disk.loop().RunUntilIdle();
    EXPECT_TRUE(stopped);
    EXPECT_EQ(Started(disk, Kind::kFdatasync), syncs);
    EXPECT_EQ(Started(disk, Kind::kFallocate), ranges);
    disk.device().Deactivate();
    disk.Start();
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
    EXPECT_EQ(disk.DoRanges(VIRTIO_BLK_T_DISCARD, {{0, 8, 0}}), VIRTIO_BLK_S_OK);
  }
}

TEST(BlockFlushTest, PauseWaitsForWaitingFlushes) {
  BlockHarness disk(InMemory());
  disk.loop().Hold(kImageFile);
  for (int i = 0; i < 3; ++i) OfferFlush(disk);
  disk.harness().Publish(0);
  bool paused = false;
  disk.device().Pause([&] { paused = true; });
  disk.loop().RunUntilIdle();
  EXPECT_FALSE(paused);
  disk.loop().Release(kImageFile);
  disk.loop().RunUntilIdle();
  EXPECT_TRUE(paused);
  EXPECT_EQ(TakeStatuses(disk).size(), 3u);
  disk.device().Resume();
}

// The fdatasync of one queue covers flushes of another queue. Stopping one queue must not fail the
// flushes of the other.
TEST(BlockFlushTest, StopOfOneQueueKeepsTheFlushesOfAnother) {
  for (const bool shared : {false, true}) {
    BlockHarness disk(TwoQueues());
    disk.loop().Hold(kImageFile);
    OfferFlush(disk, shared ? 1 : 0);
    disk.harness().Publish(shared ? 1 : 0);
    OfferFlush(disk, 0);
    disk.harness().Publish(0);
    OfferFlush(disk, 1);
    disk.harness().Publish(1);
    if (shared) {  // the first fdatasync ends; the second, of queue 0, covers the third flush, of
                   // queue 1
      disk.loop().Release(kImageFile);
      while (Started(disk, Kind::kFdatasync) < 2) ASSERT_TRUE(disk.loop().RunTurn());
      disk.loop().Hold(kImageFile);
    }
    bool stopped = false;
    disk.device().StopQueue(0, [&] { stopped = true; });
    disk.loop().Release(kImageFile);
    disk.loop().RunUntilIdle();
    EXPECT_TRUE(stopped);
    const auto statuses = TakeStatuses(disk, 1);
    EXPECT_EQ(statuses.size(), shared ? 2u : 1u);
    for (const auto& [head, status] : statuses) EXPECT_EQ(status, VIRTIO_BLK_S_OK);
    disk.harness().StartQueue(disk.device(), 0);
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
  }
}

// A stop does not wait for the fdatasync of another queue, which may never end.
TEST(BlockFlushTest, StopDoesNotWaitForTheSyncOfAnotherQueue) {
  BlockHarness disk(TwoQueues());
  disk.loop().Hold(kImageFile);
  OfferFlush(disk, 1);
  disk.harness().Publish(1);
  OfferFlush(disk, 1);
  disk.harness().Publish(1);
  OfferFlush(disk, 0);
  disk.harness().Publish(0);
  disk.loop().Release(kImageFile);
  while (Started(disk, Kind::kFdatasync) < 2) ASSERT_TRUE(disk.loop().RunTurn());
  // The second fdatasync belongs to queue 1 and covers the flush of queue 0.
  disk.loop().Hold(kImageFile);
  bool stopped = false;
  disk.device().StopQueue(0, [&] { stopped = true; });
  disk.loop().RunUntilIdle();
  EXPECT_TRUE(stopped);
  disk.loop().Release(kImageFile);
  disk.loop().RunUntilIdle();
  EXPECT_EQ(TakeStatuses(disk, 1).size(), 2u);
}

TEST(BlockFlushTest, StoppedQueueBeginsNoSyncForALateWrite) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    BlockHarness::Options options = InMemory();
    options.harness.loop.seed = seed;
    options.features_off = uint64_t{1} << VIRTIO_BLK_F_FLUSH;  // each write needs a sync
    BlockHarness disk(options);
    disk.loop().Hold(kImageFile);
    disk.driver()
        .Chain()
        .Readable(BlockHeaderBytes(VIRTIO_BLK_T_OUT, 0))
        .Readable(Bytes(512))
        .Writable(1)
        .Offer();
    disk.harness().Publish(0);
    bool stopped = false;
    disk.device().StopQueue(0, [&] { stopped = true; });
    disk.loop().Release(kImageFile);
    disk.loop().RunUntilIdle();
    EXPECT_TRUE(stopped);
    EXPECT_EQ(Started(disk, Kind::kFdatasync), 0u) << seed;
  }
}

TEST(BlockFlushTest, FailedSyncFailsAllFlushesThatShareIt) {
  BlockHarness disk(TwoQueues());
  disk.loop().Hold(kImageFile);
  OfferFlush(disk);
  disk.harness().Publish(0);
  for (const uint16_t queue : {uint16_t{0}, uint16_t{1}}) {
    OfferFlush(disk, queue);
    OfferFlush(disk, queue);
    disk.harness().Publish(queue);
  }
  disk.loop().Release(kImageFile);
  while (Started(disk, Kind::kFdatasync) < 2) ASSERT_TRUE(disk.loop().RunTurn());
  disk.loop().FailNext(Kind::kFdatasync, EIO);
  disk.loop().RunUntilIdle();
  int failed = 0;
  for (const uint16_t queue : {uint16_t{0}, uint16_t{1}}) {
    for (const auto& [head, status] : TakeStatuses(disk, queue)) {
      failed += status == VIRTIO_BLK_S_IOERR ? 1 : 0;
    }
  }
  EXPECT_EQ(failed, 4);
  EXPECT_EQ(disk.counter("host_errors"), 4u);
}

// If an fdatasync fails, flushes that wait for the next one must fail, too, since the next one
// would succeed.
TEST(BlockFlushTest, FailedSyncFailsAllWaitingFlushes) {
  BlockHarness disk(InMemory());
  disk.loop().Hold(kImageFile);
  for (int i = 0; i < 4; ++i) OfferFlush(disk);
  disk.harness().Publish(0);
  disk.loop().FailNext(Kind::kFdatasync, EIO);
  disk.loop().Release(kImageFile);
  disk.loop().RunUntilIdle();
  const auto statuses = TakeStatuses(disk);
  EXPECT_EQ(statuses.size(), 4u);
  for (const auto& [head, status] : statuses) EXPECT_EQ(status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(Started(disk, Kind::kFdatasync), 1u);
}

// EAGAIN and EINTR do not mean that a write was lost: the flush fails, and the next flush tries
// again.
TEST(BlockFlushTest, SyncThatDidNotRunFailsOnlyItsFlush) {
  for (const int error : {EAGAIN, EINTR}) {
    BlockHarness disk(InMemory());
    disk.loop().FailNext(Kind::kFdatasync, error, 17);  // the first call and all its repetitions
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(disk.counter("retries"), 16u);
    EXPECT_EQ(disk.counter("host_errors"), 1u);
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
    disk.loop().FailNext(Kind::kFdatasync, EIO);
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR) << "an EIO must be remembered";
  }
}

// Nothing was ever written, so all data are on stable storage. erofs would return EINVAL.
TEST(BlockFlushTest, AFlushOfAReadonlyDiskNeedsNoSync) {
  BlockHarness::Options options = InMemory();
  options.readonly = true;
  BlockHarness disk(options);
  disk.loop().FailNext(Kind::kFdatasync, EINVAL, 2);
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
  EXPECT_EQ(Started(disk, Kind::kFdatasync), 0u);
  EXPECT_EQ(disk.counter("flush_ops"), 2u);
  EXPECT_EQ(disk.device().lost_writes_error(), 0);
}

// EROFS is what ext4 returns once its journal has been aborted; EINVAL is what a file returns that
// cannot be synced.
TEST(BlockFlushTest, FlushesKeepFailingAfterAFailedSync) {
  for (const int error : {EIO, ENOSPC, EDQUOT, EROFS, EINVAL}) {
    BlockHarness disk(InMemory());
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_OK);
    EXPECT_EQ(disk.device().lost_writes_error(), 0);
    disk.loop().FailNext(Kind::kFdatasync, error);
    testing::internal::CaptureStderr();
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(disk.device().lost_writes_error(), error);
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR) << "a second fdatasync would succeed";
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_NE(log.find(disk.image().path() + ": fdatasync failed"), std::string::npos) << log;
    ASSERT_TRUE(disk.Stop());
    disk.Start();
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(disk.device().lost_writes_error(), error);
  }
}

TEST(BlockFlushTest, SyncThatTheKernelDidNotRunLosesNoWrites) {
  for (const int error : {EAGAIN, EINTR, ECANCELED}) {
    BlockHarness disk(InMemory());
    disk.loop().FailNext(Kind::kFdatasync, error, 17);
    EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(disk.device().lost_writes_error(), 0);
  }
}

// With direct I/O a file system may have fallen back to its page cache.
TEST(BlockFlushTest, FailedSyncIsRememberedForDirectIo) {
  if (!HasDirectIo(".")) GTEST_SKIP() << "no O_DIRECT here";
  BlockHarness disk({.direct = true, .directory = "."});
  disk.loop().FailNext(Kind::kFdatasync, EIO);
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(disk.device().lost_writes_error(), EIO);
}

// The same while the queue is being stopped: flushes of another queue that shared the fdatasync
// share the next one.
TEST(BlockFlushTest, StopAtAnEagainKeepsTheFlushesOfAnotherQueue) {
  int given_up = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    BlockHarness::Options options = TwoQueues();
    options.harness.loop.seed = seed;
    BlockHarness disk(options);
    disk.loop().Hold(kImageFile);
    OfferFlush(disk, 1);
    disk.harness().Publish(1);
    OfferFlush(disk, 0);
    disk.harness().Publish(0);
    OfferFlush(disk, 1);
    disk.harness().Publish(1);
    disk.loop().Release(kImageFile);
    while (Started(disk, Kind::kFdatasync) < 2) ASSERT_TRUE(disk.loop().RunTurn());
    // The second fdatasync belongs to queue 0 and covers a flush of queue 1.
    disk.loop().Hold(kImageFile);
    disk.loop().FailNext(Kind::kFdatasync, EAGAIN);
    disk.device().StopQueue(0, [] {});  // in half of the seeds the kernel has begun
    disk.loop().Release(kImageFile);
    disk.loop().RunUntilIdle();
    const auto statuses = TakeStatuses(disk, 1);
    EXPECT_EQ(statuses.size(), 2u);
    for (const auto& [head, status] : statuses) EXPECT_EQ(status, VIRTIO_BLK_S_OK) << seed;
    given_up += disk.counter("retries") == 0 ? 1 : 0;
  }
  EXPECT_GT(given_up, 0);
}

// The kernel reports only once that a write was lost. A reset at that moment must not lose the
// report.
TEST(BlockFlushTest, FailedSyncIsRememberedThroughAReset) {
  int failed = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    BlockHarness::Options options = InMemory();
    options.harness.loop.seed = seed;
    BlockHarness disk(options);
    disk.loop().Hold(kImageFile);
    OfferFlush(disk);
    disk.harness().Publish(0);
    disk.loop().FailNext(Kind::kFdatasync, EIO);
    disk.device().StopQueue(0, [] {});  // in half of the seeds the kernel has begun
    disk.loop().Release(kImageFile);
    disk.loop().RunUntilIdle();
    disk.device().Deactivate();
    bool error = false;
    for (const Event& event : disk.loop().events()) {
      error |= event.what == Event::What::kCompleted && event.result == -EIO;
    }
    disk.Start();
    if (error) {
      EXPECT_EQ(disk.Flush(), VIRTIO_BLK_S_IOERR) << seed;
    }
    failed += error ? 1 : 0;
  }
  EXPECT_GT(failed, 0);
}

// --- Order, under random seeds ---

struct Load {
  BlockHarness& disk;
  std::mt19937_64 random;
  uint64_t flushes = 0;
  std::map<std::pair<uint16_t, uint16_t>, uint64_t>
      in_flight;  // number of the flush by queue and head; 0: another request

  void Offer(uint16_t queue) {
    uint64_t flush = 0;
    const uint64_t sector = random() % 16 * 8;
    auto builder = disk.driver(queue).Chain();
    switch (random() % 5) {
      case 0:
      case 1:
        flush = ++flushes;
        builder.Readable(BlockHeaderBytes(VIRTIO_BLK_T_FLUSH, 0));
        break;
      case 2: {
        Bytes bytes = BlockHeaderBytes(VIRTIO_BLK_T_WRITE_ZEROES, 0);
        const Bytes range = BytesOf(BlockRange{sector, 8, 0});
        bytes.insert(bytes.end(), range.begin(), range.end());
        builder.Readable(bytes);
        break;
      }
      default:
        builder.Readable(BlockHeaderBytes(VIRTIO_BLK_T_OUT, sector)).Readable(Bytes(4096));
    }
    in_flight[{queue, builder.Writable(1).Offer()}] = flush;
    if (flush != 0) disk.loop().NoteFlushSubmitted(flush);
  }

  void Take(uint16_t queue) {
    for (const auto& [head, status] : TakeStatuses(disk, queue)) {
      const auto request = in_flight.extract({queue, head});
      ASSERT_FALSE(request.empty());
      if (request.mapped() != 0 && status == VIRTIO_BLK_S_OK) {
        disk.loop().NoteFlushAcknowledged(request.mapped());
      }
    }
  }
};

// Returns true if an fdatasync was tried after one had failed for good: its success would mean
// nothing.
bool SyncedAfterFailure(const std::vector<Event>& events) {
  bool failed = false;
  for (const Event& event : events) {
    if (event.kind != Kind::kFdatasync) continue;
    if (event.what == Event::What::kStarted && failed) return true;
    failed |= event.what == Event::What::kCompleted && event.result == -EIO;
  }
  return false;
}

void RunFlushes(uint64_t seed) {
  BlockHarness::Options options = seed % 2 == 0 ? TwoQueues() : InMemory();
  options.harness.loop = {.seed = seed,
                          .short_transfer_percent = 20,
                          .error_percent = seed % 3 == 0 ? 3 : 0,
                          .errors = {EAGAIN, EINTR, EIO}};
  if (seed % 7 == 0) options.features_off = uint64_t{1} << VIRTIO_BLK_F_FLUSH;
  options.disk_bytes = 64 << 10;
  BlockHarness disk(options);
  Load load = {disk, std::mt19937_64(seed), 0, {}};
  const uint16_t queues = options.device.num_queues;
  for (int step = 0; step < 25; ++step) {
    for (uint16_t queue = 0; queue < queues; ++queue) {
      while (disk.driver(queue).free_descriptors() >= 3 && load.random() % 3 != 0) {
        load.Offer(queue);
      }
      if (disk.driver(queue).Publish()) disk.harness().Kick(queue);
    }
    for (uint64_t turns = load.random() % 4; turns > 0; --turns) disk.loop().RunTurn();
    for (uint16_t queue = 0; queue < queues; ++queue) load.Take(queue);
  }
  disk.loop().RunUntilIdle();
  for (uint16_t queue = 0; queue < queues; ++queue) load.Take(queue);
  ASSERT_TRUE(load.in_flight.empty()) << "some requests did not complete";
  ASSERT_EQ(disk.loop().CheckFlushes(), "");
  ASSERT_FALSE(SyncedAfterFailure(disk.loop().events()));
}

TEST(BlockFlushTest, EachAcknowledgedFlushFollowsASyncOfEveryWriteBeforeIt) {
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    SCOPED_TRACE(seed);
    RunFlushes(seed);
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace virtio
