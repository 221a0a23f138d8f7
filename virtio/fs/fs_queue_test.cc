#include "virtio/fs/fs_queue.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/fs/testing/fs_fixtures.h"

namespace virtio {
namespace {

using testing::UnorderedElementsAre;

TEST(FsQueue, Fs_2_7_4_1_FramingMeansNothing) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  const std::string content = RandomText(300'000);
  for (const uint32_t first : {1u, 7u, 15u, 16u, 17u, 100u}) {
    const Bytes request = fs.Request(FUSE_READ, big, FsHarness::ReadArguments(500, 40));
    auto builder = fs.driver().Chain();
    builder.Readable(std::span(request).first(13)).Readable(std::span(request).subspan(13));
    builder.Writable(first).Writable(5).Writable(3).Writable(64);
    fs.driver().EnableInterrupts();
    const uint16_t head = builder.Offer();
    fs.harness().Publish(FsHarness::kRequests);
    EXPECT_EQ(fs.Take(head).Text(), content.substr(500, 40)) << first;
    // The bytes behind the answer are not touched.
    const Bytes all = fs.driver().WritableBytes(head);
    EXPECT_EQ(Bytes(all.begin() + 16 + 40, all.end()), Bytes(all.size() - 56, 0xEE));
  }
}

TEST(FsQueue, RequestsWithoutRoomForAnAnswerDoNothing) {
  FsHarness fs(StoreOptions(), FillStore);
  Bytes name = {'1', '-', 'a', 'p', 'p', 0};
  for (const uint32_t room : {0u, 1u, 15u}) {
    auto builder = fs.driver().Chain();
    builder.Readable(fs.Request(FUSE_LOOKUP, 1, name));
    if (room > 0) builder.Writable(room);
    fs.driver().EnableInterrupts();
    builder.Offer();
    fs.harness().Publish(FsHarness::kRequests);
    EXPECT_EQ(fs.driver().PopUsed()->len, 0U);
  }
  EXPECT_EQ(fs.counter("requests_without_room"), 3U);
  for (const uint32_t room : {0u, 1u, 127u}) {
    EXPECT_EQ(fs.Do(FUSE_LOOKUP, 1, name, room).error, EINVAL);
  }
  EXPECT_EQ(fs.counter("nodes"), 1U);
  EXPECT_EQ(fs.Do(FUSE_GETATTR, 1, Bytes(16), 103).error, EINVAL);
}

TEST(FsQueue, ShortReadsAreContinued) {
  FsHarness::Options options = StoreOptions();
  options.harness.loop = {.seed = 5, .short_transfer_percent = 80, .short_transfer_unit_bytes = 1};
  FsHarness fs(options, FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  EXPECT_EQ(fs.Read(big, 0, 310'000).Text(), RandomText(300'000));
  EXPECT_GT(fs.counter("short_transfers"), 0U);
}

TEST(FsQueue, CachedDataAreReadWithoutAnOperation) {
  for (const FsCache cache : {FsCache::kAlways, FsCache::kAuto}) {
    FsHarness fs({.harness = {.loop = {.cached_percent = 100}, .queue_size = 64}, .cache = cache},
                 FillStore);
    const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
    const uint64_t handle =
        cache == FsCache::kAuto ? fs.Do(FUSE_OPEN, big, Bytes(8)).As<fuse_open_out>().fh : 0;
    const std::string text = RandomText(300'000);
    auto reads = [&fs, before = size_t{0}]() mutable {
      return fs.loop().cached_reads() - std::exchange(before, fs.loop().cached_reads());
    };
    EXPECT_EQ(fs.Read(big, 0, 4096, handle).Text(), text.substr(0, 4096));
    EXPECT_EQ(reads(), 1U);
    // In a share that never changes the end of the file is known: no read asks for it.
    EXPECT_EQ(fs.Read(big, 299'000, 4096, handle).Text(), text.substr(299'000));
    EXPECT_EQ(reads(), cache == FsCache::kAlways ? 1U : 2U);
    EXPECT_EQ(fs.Read(big, 300'000, 4096, handle).Text(), "");
    EXPECT_EQ(reads(), 1U);
    for (const auto& event : fs.loop().events()) {
      EXPECT_NE(event.kind, base::FakeEventLoop::Kind::kRead);
    }
    EXPECT_EQ(fs.counter("read_bytes"), 4096U + 1000U);
  }
}

TEST(FsQueue, PartlyCachedDataAreReadCompletely) {
  FsHarness fs({.harness = {.loop = {.seed = 7,
                                     .short_transfer_percent = 60,
                                     .short_transfer_unit_bytes = 1,
                                     .cached_percent = 50},
                            .queue_size = 64}},
               FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  const std::string text = RandomText(300'000);
  for (uint32_t at = 0; at < 300'000; at += 4096) {
    EXPECT_EQ(fs.Read(big, at, 4096).Text(), text.substr(at, 4096)) << at;
  }
  EXPECT_GT(fs.loop().cached_reads(), 0U);
  EXPECT_GT(fs.loop().events().size(), 0U);
}

TEST(FsQueue, HostErrorsReachTheGuest) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  fs.loop().FailNext(base::FakeEventLoop::Kind::kRead, EIO);
  EXPECT_EQ(fs.Read(big, 0, 100).error, EIO);
  fs.loop().FailNext(base::FakeEventLoop::Kind::kRead, EINTR, 3);
  EXPECT_EQ(fs.Read(big, 0, 100).error, 0);
  fs.loop().FailNext(base::FakeEventLoop::Kind::kRead, EAGAIN, 1000);
  EXPECT_EQ(fs.Read(big, 0, 100).error, EAGAIN);
}

TEST(FsQueue, ReadsOfMoreFilesThanMayBeOpenAllEnd) {
  FsHarness::Options options = StoreOptions();
  options.harness.loop.seed = 9;
  options.max_open_files = 2;
  FsHarness fs(options, FillStore);
  const uint64_t many = fs.Find(fs.Find(1, "1-app"), "many");
  std::vector<uint64_t> files(20);
  for (size_t i = 0; i < 20; ++i) files[i] = fs.Find(many, absl::StrCat("file-", i));
  fs.driver().EnableInterrupts();
  for (const uint64_t file : files) {
    fs.driver()
        .Chain()
        .Readable(fs.Request(FUSE_READ, file, FsHarness::ReadArguments(0, 10)))
        .Writable(26)
        .Offer();
  }
  fs.harness().Publish(FsHarness::kRequests);
  int ended = 0;
  while (const auto used = fs.driver().PopUsed()) {
    EXPECT_EQ(used->len, 17U);
    ++ended;
  }
  EXPECT_EQ(ended, 20);
  EXPECT_LE(fs.counter("open_files"), 2U);
}

TEST(FsQueue, ReadsInFlightHoldNoMoreFilesThanMayBeOpen) {
  FsHarness::Options options = StoreOptions();
  options.max_open_files = 8;
  FsHarness fs(options, FillStore);
  const uint64_t many = fs.Find(fs.Find(1, "1-app"), "many");
  std::vector<uint64_t> files(20);
  for (size_t i = 0; i < 20; ++i) files[i] = fs.Find(many, absl::StrCat("file-", i));
  for (const uint16_t queue : {FsHarness::kHighPriority, FsHarness::kRequests}) {
    fs.driver(queue).EnableInterrupts();
    for (const uint64_t file : files) {
      fs.driver(queue)
          .Chain()
          .Readable(fs.Request(FUSE_READ, file, FsHarness::ReadArguments(0, 10)))
          .Writable(26)
          .Offer();
    }
    if (fs.driver(queue).Publish()) fs.harness().Kick(queue);
  }
  fs.loop().RunTurn();
  EXPECT_GT(fs.loop().in_flight(base::FakeEventLoop::Kind::kRead), 0U);
  EXPECT_LE(fs.loop().in_flight(base::FakeEventLoop::Kind::kRead), 8U);
  EXPECT_LE(fs.counter("open_files"), 8U);
  fs.loop().RunUntilIdle();
  for (const uint16_t queue : {FsHarness::kHighPriority, FsHarness::kRequests}) {
    int ended = 0;
    while (fs.driver(queue).PopUsed()) ++ended;
    EXPECT_EQ(ended, 20);
  }
}

TEST(FsQueue, AStopEndsReadsInFlight) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  fs.driver().EnableInterrupts();
  for (int i = 0; i < 3; ++i) {
    fs.driver()
        .Chain()
        .Readable(fs.Request(FUSE_READ, big, FsHarness::ReadArguments(0, 100'000)))
        .Writable(100'016)
        .Offer();
  }
  // The reads are under way when the device is paused, resumed and stopped.
  if (fs.driver().Publish()) fs.harness().Kick(FsHarness::kRequests);
  fs.loop().RunTurn();
  EXPECT_GT(fs.loop().in_flight(base::FakeEventLoop::Kind::kRead), 0U);
  fs.device().Pause([] {});
  fs.device().Resume();
  EXPECT_TRUE(fs.Stop());
  EXPECT_EQ(fs.loop().in_flight(), 0U);
  EXPECT_EQ(fs.counter("open_files"), 0U);
  fs.Start();
  EXPECT_EQ(fs.Lookup(1, "1-app").error, 0);
}

TEST(FsQueue, ForgettingAFileBeingReadIsHarmless) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  fs.driver().EnableInterrupts();
  const uint16_t head = fs.driver()
                            .Chain()
                            .Readable(fs.Request(FUSE_READ, big, FsHarness::ReadArguments(0, 64)))
                            .Writable(80)
                            .Offer();
  const uint16_t forget = fs.driver()
                              .Chain()
                              .Readable(fs.Request(FUSE_FORGET, big, BytesOf(fuse_forget_in{1})))
                              .Offer();
  fs.harness().Publish(FsHarness::kRequests);
  std::set<uint32_t> ended;
  while (const auto used = fs.driver().PopUsed()) ended.insert(used->id);
  EXPECT_THAT(ended, UnorderedElementsAre(head, forget));
  EXPECT_EQ(fs.counter("open_files"), 0U);
  EXPECT_EQ(fs.counter("nodes"), 2U);
}

}  // namespace
}  // namespace virtio
