// The device-normative MUSTs of VIRTIO 1.2 for file system devices that no other test covers.
// tests/conformance lists the clauses.

#include <errno.h>
#include <gtest/gtest.h>
#define VIRTIO_RING_NO_LEGACY  // the legacy part is not C++
#include <linux/virtio_ring.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/fs/testing/fs_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t kRange = DaxWindow::kRangeBytes;
constexpr uint64_t kWindow = 4 * kRange;

void Fill(const TemporaryTree& host) {
  host.Write("root/file", "content");
  host.Write("root/big", "big" + std::string(2 * kRange, 'b'));
  for (int i = 0; i < 20; ++i) host.Write(absl::StrCat("root/many/", i), "x");
}

Bytes Config(FsDevice& device) {
  Bytes config(device.config_size());
  device.ReadConfig(0, config);
  return config;
}

// --- Every device --------------------------------------------------------------------------------

// "The device MUST NOT offer feature bits corresponding to features it would not support if
// accepted by the driver". A feature must also not be offered without the features that it needs;
// these features need none.
TEST(FsConformanceTest, Fs_2_2_2_OnlySupportedFeaturesAreOffered) {
  FsHarness fs({}, Fill);
  EXPECT_EQ(fs.device().features(),
            uint64_t{1} << VIRTIO_RING_F_EVENT_IDX | uint64_t{1} << VIRTIO_RING_F_INDIRECT_DESC);
}

TEST(FsConformanceTest, Fs_2_5_2_ConfigurationIsThereFromTheStart) {
  FsHarness fs({}, Fill);
  const Bytes running = Config(fs.device());
  ASSERT_TRUE(fs.Stop());
  EXPECT_EQ(Config(fs.device()), running);
  EXPECT_EQ(std::string(running.begin(), running.begin() + 5), "store");
}

// "A device MUST NOT write to a device-readable buffer."
TEST(FsConformanceTest, Fs_2_7_5_1_ReadableBuffersAreNotWritten) {
  FsHarness fs({.cache = FsCache::kAuto, .writable = true}, Fill);
  constexpr uint64_t kBuffer = 0x3000000;
  const uint64_t directory = fs.Find(1, "many");
  const uint64_t file = fs.Find(1, "file");
  std::vector<FsChange> requests = AllChanges(directory, file);
  requests.push_back({FUSE_INIT, 0, BytesOf(FuseInitStart{7, 38, 0, 0})});
  requests.push_back({FUSE_LOOKUP, 1, NameBytes({"file"})});
  requests.push_back({FUSE_READDIRPLUS, 1, FsHarness::ReadArguments(0, 100)});
  requests.push_back({99, 1, Bytes(8)});
  for (const auto& [opcode, node, arguments] : requests) {
    Bytes before = fs.Request(opcode, node, arguments);
    before.resize(before.size() + 64, 0x77);
    ASSERT_TRUE(fs.harness().memory().Write(kBuffer, before));
    fs.driver().EnableInterrupts();
    const auto readable = static_cast<uint32_t>(before.size() - 64);
    fs.driver().Chain().ReadableAt(kBuffer, readable).Writable(200).Offer();
    fs.harness().Publish(FsHarness::kRequests);
    EXPECT_TRUE(fs.driver().PopUsed().has_value());
    Bytes after(before.size());
    ASSERT_TRUE(fs.harness().memory().Read(kBuffer, after));
    EXPECT_EQ(after, before) << opcode;
  }
}

// "At least len bytes were written": Take compares the used length with the answer's.
TEST(FsConformanceTest, Fs_2_7_8_2_UsedLengthIsWhatWasWritten) {
  FsHarness fs({}, Fill);
  const uint64_t file = fs.Find(1, "file");
  const Bytes request = fs.Request(FUSE_READ, file, FsHarness::ReadArguments(0, 100));
  fs.driver().EnableInterrupts();
  const uint16_t head = fs.driver().Chain().Readable(request).Writable(9).Writable(300).Offer();
  fs.harness().Publish(FsHarness::kRequests);
  EXPECT_EQ(fs.Take(head).Text(), "content");
  const Bytes all = fs.driver().WritableBytes(head);
  EXPECT_EQ(Bytes(all.begin() + 16 + 7, all.end()), Bytes(all.size() - 23, 0xEE));
  EXPECT_EQ(fs.Read(file, 0, 0).Text(), "");
  EXPECT_EQ(fs.Read(12345, 0, 10).error, ESTALE);  // the answer is only a header
}

// --- 5.11 ----------------------------------------------------------------------------------------

TEST(FsConformanceTest, Fs_5_11_2_HighPriorityThenRequestQueues) {
  FsHarness fs({.num_queues = 3}, Fill);
  EXPECT_EQ(fs.device().type(), 26);
  EXPECT_EQ(fs.device().queue_sizes().size(), 4U);
}

// Without VIRTIO_FS_F_NOTIFICATION there is no queue for notifications, and no notify_buf_size.
TEST(FsConformanceTest, Fs_5_11_3_NotificationsAreNotOffered) {
  FsHarness fs({}, Fill);
  EXPECT_EQ(fs.device().features() & 1, 0U);
  EXPECT_EQ(fs.device().config_size(), 40U);
  EXPECT_EQ(fs.device().queue_sizes().size(), 2U);
  // Queue 1 is a request queue.
  EXPECT_EQ(fs.DoOn(1, FUSE_LOOKUP, 1, NameBytes({"file"})).error, 0);
}

TEST(FsConformanceTest, Fs_5_11_4_TagsFillTheFieldWithoutNul) {
  for (const size_t bytes : {1U, 35U, 36U}) {
    FsHarness fs({.tag = std::string(bytes, 't')}, Fill);
    Bytes expected(36, 0);
    std::fill_n(expected.begin(), bytes, 't');
    const Bytes config = Config(fs.device());
    EXPECT_EQ(Bytes(config.begin(), config.begin() + 36), expected);
    EXPECT_EQ(Bytes(config.begin() + 36, config.end()), (Bytes{1, 0, 0, 0}));
  }
}

// "The device MUST set num_request_queues to 1 or greater."
TEST(FsConformanceTest, Fs_5_11_4_2_ThereIsARequestQueue) {
  for (const uint16_t queues : {uint16_t{1}, uint16_t{2}, uint16_t{64}}) {
    FsHarness fs({.num_queues = queues, .initialize = false}, Fill);
    const Bytes config = Config(fs.device());
    EXPECT_EQ(Bytes(config.begin() + 36, config.end()),
              (Bytes{static_cast<uint8_t>(queues), 0, 0, 0}));
    // "The driver MUST NOT write to device configuration fields": if it does, nothing changes.
    fs.device().WriteConfig(36, Bytes(4));
    EXPECT_EQ(Config(fs.device()), config);
  }
}

// "All virtqueues provide access to the same FUSE session"; each "offers identical functionality".
TEST(FsConformanceTest, Fs_5_11_5_OneSessionForAllQueues) {
  FsHarness fs({.num_queues = 3, .initialize = false}, Fill);
  EXPECT_EQ(fs.DoOn(3, FUSE_LOOKUP, 1, NameBytes({"file"})).error, EIO);
  EXPECT_EQ(fs.DoOn(2, FUSE_INIT, 0, BytesOf(FuseInitStart{7, 38, 0, 0})).error, 0);
  const uint64_t file = fs.DoOn(3, FUSE_LOOKUP, 1, NameBytes({"file"})).As<fuse_entry_out>().nodeid;
  for (const uint16_t queue : {uint16_t{1}, uint16_t{2}, uint16_t{3}}) {
    EXPECT_EQ(fs.DoOn(queue, FUSE_READ, file, FsHarness::ReadArguments(0, 10)).Text(), "content");
  }
}

// "The next FUSE_INIT message terminates the current session and starts a new session."
TEST(FsConformanceTest, Fs_5_11_6_1_TheNextInitEndsTheSession) {
  FsHarness fs({}, Fill);
  const uint64_t file = fs.Find(1, "file");
  EXPECT_EQ(fs.Read(file, 0, 10).error, 0);
  EXPECT_EQ(fs.Init().error, 0);
  EXPECT_EQ(fs.counter("nodes"), 1U);
  EXPECT_EQ(fs.Read(file, 0, 10).error, ESTALE);
  EXPECT_EQ(fs.Lookup(1, "file").error, 0);
}

// The driver chooses the byte order. All guests are x86-64 guests, so a session in the other byte
// order is refused. The answer has the length and the error in our byte order.
TEST(FsConformanceTest, Fs_5_11_6_1_SessionsInTheOtherByteOrderAreRefused) {
  FsHarness fs({.initialize = false}, Fill);
  const auto swapped = fs.Do(__builtin_bswap32(FUSE_INIT), 0,
                             BytesOf(FuseInitStart{__builtin_bswap32(7), __builtin_bswap32(38)}));
  EXPECT_NE(swapped.error, 0);
  EXPECT_EQ(fs.Lookup(1, "file").error, EIO);
  EXPECT_EQ(fs.Init().error, 0);
}

// "The device processes requests in any order": requests are independent, and each gets an answer.
TEST(FsConformanceTest, Fs_5_11_6_1_RequestsEndInAnyOrder) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    FsHarness fs({.harness = {.loop = {.seed = seed}, .queue_size = 64}}, Fill);
    const uint64_t many = fs.Find(1, "many");
    std::vector<uint64_t> files;
    files.reserve(5);
    for (int i = 0; i < 5; ++i) files.push_back(fs.Find(many, absl::StrCat(i)));
    fs.driver().EnableInterrupts();
    for (const uint64_t file : files) {
      const Bytes request = fs.Request(FUSE_READ, file, FsHarness::ReadArguments(0, 10));
      fs.driver().Chain().Readable(request).Writable(26).Offer();
    }
    fs.harness().Publish(FsHarness::kRequests);
    size_t ended = 0;
    while (const auto used = fs.driver().PopUsed()) {
      EXPECT_EQ(used->len, 17U);
      ++ended;
    }
    EXPECT_EQ(ended, files.size());
  }
}

// "The device MUST NOT pause processing of the hiprio queue due to activity on a normal request
// queue". Here as many requests are in flight as there may be, and more wait.
TEST(FsConformanceTest, Fs_5_11_6_2_1_HighPriorityIsServedWhileRequestsAreInFlight) {
  FsHarness fs({.max_open_files = 4}, Fill);
  const uint64_t many = fs.Find(1, "many");
  const uint64_t forgotten = fs.Find(1, "file");
  std::vector<uint64_t> files;
  files.reserve(20);
  for (int i = 0; i < 20; ++i) files.push_back(fs.Find(many, absl::StrCat(i)));
  fs.driver().EnableInterrupts();
  for (const uint64_t file : files) {
    const Bytes request = fs.Request(FUSE_READ, file, FsHarness::ReadArguments(0, 10));
    fs.driver().Chain().Readable(request).Writable(26).Offer();
  }
  if (fs.driver().Publish()) fs.harness().Kick(FsHarness::kRequests);
  FakeDriver& high = fs.driver(FsHarness::kHighPriority);
  high.EnableInterrupts();
  high.Chain().Readable(fs.Request(FUSE_FORGET, forgotten, BytesOf(fuse_forget_in{1}))).Offer();
  high.Chain().Readable(fs.Request(FUSE_INTERRUPT, 0, Bytes(8))).Offer();
  if (high.Publish()) fs.harness().Kick(FsHarness::kHighPriority);
  fs.loop().RunTurn();
  EXPECT_TRUE(high.PopUsed().has_value());
  EXPECT_TRUE(high.PopUsed().has_value());
  EXPECT_GT(fs.loop().in_flight(base::FakeEventLoop::Kind::kRead), 0U);
  fs.loop().RunUntilIdle();
  size_t ended = 0;
  while (fs.driver().PopUsed()) ++ended;
  EXPECT_EQ(ended, files.size());
  EXPECT_EQ(fs.Read(forgotten, 0, 10).error, ESTALE);
}

// --- DAX window ----------------------------------------------------------------------------------

class FsDaxConformanceTest : public testing::Test {
 protected:
  int Map(uint64_t file_offset, uint64_t window_offset, uint64_t bytes) {
    fuse_setupmapping_in in = {};
    in.foffset = file_offset;
    in.len = bytes;
    in.flags = FUSE_SETUPMAPPING_FLAG_READ;
    in.moffset = window_offset;
    return fs.Do(FUSE_SETUPMAPPING, big, BytesOf(in)).error;
  }
  // Returns the first letter of each range, or "0" for a range without a file.
  std::string Ranges() {
    const SharedMemoryRegion& window = fs.device().shared_memory()[0];
    std::string all;
    for (uint64_t at = 0; at < kWindow; at += kRange) {
      const auto byte = static_cast<char>(window.host[at]);
      all.push_back(byte == 0 ? '0' : byte);
    }
    return all;
  }

  FsHarness fs{{.dax_window_bytes = kWindow}, [](const TemporaryTree& host) {
                 std::string text(3 * kRange, 'x');
                 text[0] = 'a';
                 text[kRange] = 'b';
                 text[2 * kRange] = 'c';
                 host.Write("root/big", text);
               }};
  uint64_t big = fs.Find(1, "big");
};

// "The device MUST support FUSE_READ and FUSE_WRITE requests regardless of whether the DAX Window
// is being used or not." The share is read-only, so WRITE is refused with and without a window.
TEST_F(FsDaxConformanceTest, Fs_5_11_6_4_1_ReadsAreServedWithAndWithoutMappings) {
  ASSERT_EQ(Map(0, 0, kRange), 0);
  EXPECT_EQ(fs.Read(big, 0, 3).Text(), "axx");
  EXPECT_EQ(fs.Read(big, 2 * kRange, 3).Text(), "cxx");
  EXPECT_EQ(Ranges(), "a000");
  fuse_write_in write = {};
  write.size = 1;
  EXPECT_EQ(fs.Do(FUSE_WRITE, big, Join(BytesOf(write), {'w'})).error, EROFS);
  EXPECT_EQ(Ranges(), "a000");
}

// "The device MUST allow mappings that completely or partially overlap existing mappings." A
// mapping of which a part is replaced keeps its other parts.
TEST_F(FsDaxConformanceTest, Fs_5_11_6_4_1_MappingsMayOverlap) {
  ASSERT_EQ(Map(0, 0, 3 * kRange), 0);
  EXPECT_EQ(Ranges(), "abc0");
  ASSERT_EQ(Map(2 * kRange, kRange, kRange), 0);
  EXPECT_EQ(Ranges(), "acc0");
  ASSERT_EQ(Map(0, 2 * kRange, 2 * kRange), 0);
  EXPECT_EQ(Ranges(), "acab");
  ASSERT_EQ(Map(kRange, 2 * kRange, 2 * kRange), 0);  // covers a mapping exactly
  EXPECT_EQ(Ranges(), "acbc");
  ASSERT_EQ(fs.Do(FUSE_REMOVEMAPPING, 1,
                  Join(BytesOf(fuse_removemapping_in{1}),
                       BytesOf(fuse_removemapping_one{.moffset = kRange, .len = 2 * kRange})))
                .error,
            0);
  EXPECT_EQ(Ranges(), "a00c");
}

// "The device MUST reject mappings that would go beyond the end of the DAX Window."
TEST_F(FsDaxConformanceTest, Fs_5_11_6_4_1_MappingsBeyondTheEndAreRejected) {
  EXPECT_EQ(Map(0, kWindow, kRange), EINVAL);
  EXPECT_EQ(Map(0, kWindow - kRange, 2 * kRange), EINVAL);
  EXPECT_EQ(Map(0, 0, kWindow + kRange), EINVAL);
  EXPECT_EQ(Map(0, ~uint64_t{0} - kRange + 1, 2 * kRange), EINVAL);
  EXPECT_EQ(Ranges(), "0000");
  EXPECT_EQ(Map(0, kWindow - kRange, kRange), 0);
  EXPECT_EQ(Ranges(), "000a");
}

}  // namespace
}  // namespace virtio
