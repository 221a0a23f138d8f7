// The data path of the 9P device.

#include "virtio/p9/p9_queue.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

constexpr uint32_t kRoot = P9Harness::kRoot;

TEST(P9Queue, P9_read_ReturnsNothingBehindTheEnd) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t tool = p9.Opened({"1-app", "bin", "tool"});
  EXPECT_EQ(p9.ReadText(tool, 0, 4096), "content of tool");
  EXPECT_EQ(p9.ReadText(tool, 11, 2), "to");
  EXPECT_EQ(p9.ReadText(tool, 15, 10), "");
  EXPECT_EQ(p9.ReadText(tool, 1 << 20, 10), "");
  EXPECT_EQ(p9.ReadText(tool, 0, 0), "");
  EXPECT_EQ(p9.ReadText(p9.Opened({"1-app", "big"}), 1000, 200'000),
            RandomText(300'000).substr(1000, 200'000));
  EXPECT_EQ(p9.Read(p9.Opened({"1-app"}), 0, 10).error, EISDIR);
  EXPECT_EQ(p9.Read(tool, UINT64_MAX, 10).error, EINVAL);
  EXPECT_EQ(p9.Read(tool, INT64_MAX, 10).error, EINVAL);
  EXPECT_EQ(p9.counter("read_bytes"), 200'017U);
}

TEST(P9Queue, P9_version_AnswersAreNeverLongerThanAgreed) {
  P9Harness p9(StoreOptions(), FillStore);
  p9.host().Link(std::string(4095, 'x'), "root/1-app/long");
  EXPECT_EQ(p9.OfFid(kP9ReadLink, p9.Find({"1-app", "long"})).error, EMSGSIZE);  // does not fit
  EXPECT_EQ(p9.Do(kP9ReadLink, P9Bytes().Number(p9.Find({"1-app", "long"})), 8192).Text(2),
            std::string(4095, 'x'));
  EXPECT_EQ(p9.Version(4096).error, 0);
  EXPECT_EQ(p9.Attach(kRoot).error, 0);
  EXPECT_EQ(p9.Do(kP9ReadLink, P9Bytes().Number(p9.Find({"1-app", "long"})), 8192).error, EMSGSIZE);
  const auto read = p9.Read(p9.Opened({"1-app", "big"}), 0, 100'000);
  EXPECT_EQ(read.data.size() + 7, 4096U);
  EXPECT_EQ(read.Text(4), RandomText(300'000).substr(0, 4096 - 11));
}

TEST(P9Queue, P9_2_7_4_1_FramingMeansNothing) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t big = p9.Opened({"1-app", "big"});
  const std::string content = RandomText(300'000);
  for (const uint32_t first : {1u, 6u, 7u, 10u, 11u, 12u, 100u}) {
    const Bytes request = P9Harness::ReadArguments(big, 500, 40).Message(kP9Read, 9);
    auto builder = p9.driver().Chain();
    builder.Readable(std::span(request).first(3)).Readable(std::span(request).subspan(3));
    builder.Writable(first).Writable(5).Writable(3).Writable(64);
    p9.driver().EnableInterrupts();
    const uint16_t head = builder.Offer();
    p9.harness().Publish(0);
    EXPECT_EQ(p9.Take(head, kP9Read, 9).Text(4), content.substr(500, 40)) << first;
    // The bytes behind the answer are not touched.
    const Bytes all = p9.driver().WritableBytes(head);
    EXPECT_EQ(Bytes(all.begin() + 11 + 40, all.end()), Bytes(all.size() - 51, 0xEE));
  }
}

TEST(P9Queue, RequestsWithoutRoomForAnAnswerDoNothing) {
  P9Harness p9(StoreOptions(), FillStore);
  const P9Bytes walk = P9Bytes().Number(kRoot).Number(2U).Number(uint16_t{1}).String("1-app");
  for (const uint32_t room : {0u, 1u, 10u}) {
    auto builder = p9.driver().Chain();
    builder.Readable(walk.Message(kP9Walk, 3));
    if (room > 0) builder.Writable(room);
    p9.driver().EnableInterrupts();
    builder.Offer();
    p9.harness().Publish(0);
    EXPECT_EQ(p9.driver().PopUsed()->len, 0U);
  }
  EXPECT_EQ(p9.counter("requests_without_room"), 3U);
  EXPECT_EQ(p9.Do(kP9Walk, walk, 14).error, EMSGSIZE);
  EXPECT_EQ(p9.Do(kP9GetAttr, P9Bytes().Number(kRoot), 152).error, EMSGSIZE);
  EXPECT_EQ(p9.counter("nodes"), 1U);
  EXPECT_EQ(p9.counter("fids"), 1U);
}

TEST(P9Queue, ShortReadsAreContinued) {
  P9Harness::Options options = StoreOptions();
  options.harness.loop = {.seed = 5, .short_transfer_percent = 80, .short_transfer_unit_bytes = 1};
  P9Harness p9(options, FillStore);
  EXPECT_EQ(p9.ReadText(p9.Opened({"1-app", "big"}), 0, 310'000), RandomText(300'000));
  EXPECT_GT(p9.counter("short_transfers"), 0U);
}

TEST(P9Queue, HostErrorsReachTheGuest) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t big = p9.Opened({"1-app", "big"});
  p9.loop().FailNext(base::FakeEventLoop::Kind::kRead, EIO);
  EXPECT_EQ(p9.Read(big, 0, 100).error, EIO);
  p9.loop().FailNext(base::FakeEventLoop::Kind::kRead, EINTR, 3);
  EXPECT_EQ(p9.Read(big, 0, 100).error, 0);
  p9.loop().FailNext(base::FakeEventLoop::Kind::kRead, EAGAIN, 1000);
  EXPECT_EQ(p9.Read(big, 0, 100).error, EAGAIN);
}

TEST(P9Queue, AStopEndsReadsAndFlushesInFlight) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t big = p9.Opened({"1-app", "big"});
  p9.driver().EnableInterrupts();
  for (uint16_t tag = 1; tag <= 3; ++tag) {
    p9.Offer(kP9Read, tag, P9Harness::ReadArguments(big, 0, 100'000), 100'004);
  }
  p9.Offer(kP9Flush, 4, P9Bytes().Number(uint16_t{2}), 64);
  if (p9.driver().Publish()) p9.harness().Kick(0);
  p9.loop().RunTurn();
  EXPECT_GT(p9.loop().in_flight(base::FakeEventLoop::Kind::kRead), 0U);
  p9.device().Pause([] {});
  p9.device().Resume();
  EXPECT_TRUE(p9.Stop());
  EXPECT_EQ(p9.loop().in_flight(), 0U);
  EXPECT_EQ(p9.counter("open_files"), 0U);
  p9.Start();
  EXPECT_EQ(p9.Walked(kRoot, 2, {"1-app"}), 1);
}

TEST(P9Queue, PauseWaitsForReadsAndFlushes) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t big = p9.Opened({"1-app", "big"});
  p9.driver().EnableInterrupts();
  p9.Offer(kP9Read, 1, P9Harness::ReadArguments(big, 0, 100), 104);
  p9.Offer(kP9Flush, 2, P9Bytes().Number(uint16_t{1}), 64);
  if (p9.driver().Publish()) p9.harness().Kick(0);
  EXPECT_TRUE(p9.harness().Pause(p9.device()));
  EXPECT_EQ(p9.loop().in_flight(base::FakeEventLoop::Kind::kRead), 0U);
  p9.device().Resume();
  p9.loop().RunUntilIdle();
  EXPECT_TRUE(p9.driver().PopUsed().has_value());
  EXPECT_TRUE(p9.driver().PopUsed().has_value());
}

// Once a flush is answered, a guest may use the buffers of the flushed request again. So the answer
// to the flush comes after the request's, and the same holds for a flush of the flush.
TEST(P9Queue, P9_flush_IsAnsweredAfterTheFlushedMessage) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    P9Harness::Options options = StoreOptions();
    options.harness.loop.seed = seed;
    P9Harness p9(options, FillStore);
    const uint32_t big = p9.Opened({"1-app", "big"});
    p9.driver().EnableInterrupts();
    const uint16_t other = p9.Offer(kP9Read, 50, P9Harness::ReadArguments(big, 0, 64), 68);
    const uint16_t read = p9.Offer(kP9Read, 51, P9Harness::ReadArguments(big, 0, 64), 68);
    const std::set<uint32_t> flushes = {p9.Offer(kP9Flush, 52, P9Bytes().Number(uint16_t{51}), 64),
                                        p9.Offer(kP9Flush, 53, P9Bytes().Number(uint16_t{52}), 64)};
    p9.harness().Publish(0);
    std::vector<uint32_t> ended;
    while (const auto used = p9.driver().PopUsed()) {
      ended.push_back(used->id);
      if (flushes.contains(used->id)) {
        EXPECT_EQ(used->len, 7U);
        EXPECT_NE(std::find(ended.begin(), ended.end(), read), ended.end());
      }
    }
    EXPECT_EQ(ended.size(), 4U);
    EXPECT_NE(std::find(ended.begin(), ended.end(), other), ended.end());
  }
}

TEST(P9Queue, P9_flush_OfAnUnusedTagIsAnsweredAtOnce) {
  P9Harness p9(StoreOptions(), FillStore);
  for (const uint16_t tag : {uint16_t{0}, uint16_t{101}, uint16_t{0xffff}}) {
    EXPECT_EQ(p9.Do(kP9Flush, P9Bytes().Number(tag)).error, 0);
  }
  EXPECT_EQ(p9.counter("flush"), 3U);
}

TEST(P9Queue, AClunkOrVersionDuringAReadIsHarmless) {
  for (const bool leave : {false, true}) {
    P9Harness p9(StoreOptions(), FillStore);
    const uint32_t big = p9.Opened({"1-app", "big"});
    p9.driver().EnableInterrupts();
    p9.Offer(kP9Read, 1, P9Harness::ReadArguments(big, 0, 64), 68);
    if (leave) {
      p9.Offer(kP9Version, 2, P9Bytes().Number(8192U).String("9P2000.L"), 64);
    } else {
      p9.Offer(kP9Clunk, 2, P9Bytes().Number(big), 64);
    }
    p9.harness().Publish(0);
    EXPECT_TRUE(p9.driver().PopUsed().has_value());
    EXPECT_TRUE(p9.driver().PopUsed().has_value());
    EXPECT_EQ(p9.counter("open_files"), 0U);
    EXPECT_EQ(p9.counter("nodes"), 1U);
    EXPECT_EQ(p9.counter("fids"), leave ? 0U : 1U);
  }
}

TEST(P9Queue, ReadsInFlightHoldNoMoreFilesThanMayBeOpen) {
  P9Harness::Options options = StoreOptions();
  options.harness.loop.seed = 9;
  options.max_open_files = 2;
  P9Harness p9(options, FillStore);
  std::vector<uint32_t> files;
  for (int i = 0; i < 20; ++i) {
    files.push_back(p9.Opened({"1-app", "many", absl::StrCat("file-", i)}));
  }
  p9.driver().EnableInterrupts();
  for (const uint32_t file : files) {
    p9.Offer(kP9Read, static_cast<uint16_t>(file), P9Harness::ReadArguments(file, 0, 10), 14);
  }
  if (p9.driver().Publish()) p9.harness().Kick(0);
  p9.loop().RunTurn();
  EXPECT_EQ(p9.loop().in_flight(base::FakeEventLoop::Kind::kRead), 2U);
  EXPECT_LE(p9.counter("open_files"), 2U);
  p9.loop().RunUntilIdle();
  int ended = 0;
  while (const auto used = p9.driver().PopUsed()) {
    EXPECT_EQ(used->len, 12U);
    ++ended;
  }
  EXPECT_EQ(ended, 20);
  EXPECT_LE(p9.counter("open_files"), 2U);
}

}  // namespace
}  // namespace virtio
