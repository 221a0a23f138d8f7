#include "virtio/fs/dax_window.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "tests/fakes/fake_event_loop.h"
#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t kRange = DaxWindow::kRangeBytes;
constexpr uint64_t kSize = 8 * kRange;

class DaxWindowTest : public testing::Test {
 protected:
  DaxWindowTest()
      : host_(testing::TempDir()),
        memory_(*base::GuestMemory::Create({.thp = false}, {{0, 1 << 20, nullptr}})),
        window_(*DaxWindow::Create("_fs0", kSize, loop_, *memory_)) {
    std::string bytes(3 * kRange + 5000, 'a');
    for (size_t i = 0; i < bytes.size(); i += kRange)
      bytes[i] = static_cast<char>('0' + i / kRange);
    bytes.back() = 'z';
    host_.Write("file", bytes);
    file_.reset(open(host_.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  }

  ~DaxWindowTest() override {
    bool stopped = false;
    window_->Stop([&stopped] { stopped = true; });
    loop_.RunUntilIdle();
    EXPECT_TRUE(stopped);
  }

  // Returns the byte that a guest would read. Only for files that are not truncated.
  char At(uint64_t offset) const {
    char value;
    std::memcpy(&value, window_->host() + offset, 1);
    return value;
  }
  // Returns the number of memory mappings in the window. Other mappings belong to the allocator or
  // to a sanitizer.
  size_t HostMappings() const {
    const auto start = reinterpret_cast<uintptr_t>(window_->host());
    std::ifstream maps("/proc/self/maps");
    size_t mappings = 0;
    for (std::string line; std::getline(maps, line);) {
      char* rest = nullptr;
      const uintptr_t first = std::strtoull(line.c_str(), &rest, 16);
      const uintptr_t last = std::strtoull(rest + 1, nullptr, 16);
      if (first < start + kSize && last > start) ++mappings;
    }
    return mappings;
  }

  TemporaryTree host_;
  base::FakeEventLoop loop_;
  std::unique_ptr<base::GuestMemory> memory_;
  std::unique_ptr<DaxWindow> window_;
  base::UniqueFd file_;
};

TEST_F(DaxWindowTest, UnmappedRangesAreZeroes) {
  EXPECT_EQ(reinterpret_cast<uintptr_t>(window_->host()) % kRange, 0U);
  for (uint64_t at = 0; at < kSize; at += kRange / 2) EXPECT_EQ(At(at), 0);
  EXPECT_EQ(window_->mapped_ranges(), 0U);
}

TEST_F(DaxWindowTest, AMappingShowsTheFile) {
  ASSERT_EQ(window_->Map(file_.get(), kRange, 2 * kRange, kRange), 0);
  EXPECT_EQ(At(2 * kRange), '1');
  EXPECT_EQ(At(2 * kRange + 1), 'a');
  EXPECT_EQ(At(2 * kRange - 1), 0);
  EXPECT_EQ(At(3 * kRange), 0);
  EXPECT_EQ(window_->mapped_ranges(), 1U);
}

TEST_F(DaxWindowTest, TheWindowShowsZeroesBehindTheEndOfTheFile) {
  ASSERT_EQ(window_->Map(file_.get(), 2 * kRange, 0, 4 * kRange), 0);
  EXPECT_EQ(At(0), '2');
  EXPECT_EQ(At(kRange), '3');
  EXPECT_EQ(At(kRange + 4999), 'z');
  for (uint64_t at = kRange + 5000; at < 4 * kRange; at += 1000) EXPECT_EQ(At(at), 0) << at;
  EXPECT_EQ(window_->mapped_ranges(), 4U);
  ASSERT_EQ(window_->Unmap(0, 4 * kRange), 0);
  EXPECT_EQ(window_->mapped_ranges(), 0U);
}

TEST_F(DaxWindowTest, ANewMappingReplacesTheOldMappingOfItsRanges) {
  ASSERT_EQ(window_->Map(file_.get(), 0, 0, 3 * kRange), 0);
  // The new mapping shows only the last bytes of the file. Behind them the old mapping must not
  // show.
  ASSERT_EQ(window_->Map(file_.get(), 3 * kRange, kRange, kRange), 0);
  EXPECT_EQ(At(0), '0');
  EXPECT_EQ(At(kRange), '3');
  EXPECT_EQ(At(kRange + 100'000), 0);
  EXPECT_EQ(At(2 * kRange), '2');
  EXPECT_EQ(window_->mapped_ranges(), 3U);
  window_->UnmapAll();
  for (uint64_t at = 0; at < kSize; at += kRange) EXPECT_EQ(At(at), 0);
}

TEST_F(DaxWindowTest, InvalidOffsetsAndSizesAreRefused) {
  ASSERT_EQ(window_->Map(file_.get(), 0, 0, kRange), 0);
  const uint64_t huge = UINT64_MAX - kRange + 1;  // a multiple of the range
  for (const uint64_t bad :
       {uint64_t{1}, uint64_t{4096}, kSize, kSize + kRange, huge, UINT64_MAX}) {
    EXPECT_EQ(window_->Map(file_.get(), 0, bad, kRange), EINVAL) << bad;
    EXPECT_EQ(window_->Unmap(bad, kRange), EINVAL) << bad;
    if (bad == kSize) continue;
    EXPECT_EQ(window_->Map(file_.get(), 0, 0, bad), EINVAL) << bad;
    EXPECT_EQ(window_->Map(file_.get(), bad, 0, kRange), EINVAL) << bad;
    EXPECT_EQ(window_->Unmap(0, bad), EINVAL) << bad;
  }
  EXPECT_EQ(window_->Map(file_.get(), 0, kRange, kSize), EINVAL);
  EXPECT_EQ(window_->Map(file_.get(), 0, 0, 0), EINVAL);
  EXPECT_EQ(window_->Unmap(0, 0), EINVAL);
  // The offset is behind the end of the file.
  EXPECT_EQ(window_->Map(file_.get(), 4 * kRange, 0, kRange), EINVAL);
  EXPECT_EQ(At(0), '0');
  EXPECT_EQ(window_->mapped_ranges(), 1U);
}

TEST_F(DaxWindowTest, AFailedMappingLeavesZeroes) {
  const base::UniqueFd directory(open(host_.Path("").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(window_->Map(directory.get(), 0, 0, kRange), EINVAL);
  const base::UniqueFd closed_to_reads(open(host_.Path("file").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(window_->Map(file_.get(), 0, 0, kRange), 0);
  EXPECT_EQ(window_->Map(closed_to_reads.get(), 0, 0, kRange), EACCES);
  EXPECT_EQ(At(0), 0);
  EXPECT_EQ(window_->mapped_ranges(), 0U);
}

TEST_F(DaxWindowTest, HostMappingsAreBounded) {
  const size_t before = HostMappings();
  for (int round = 0; round < 200; ++round) {
    const uint64_t at = static_cast<uint64_t>(round) * 3 % 8 * kRange;
    ASSERT_EQ(window_->Map(file_.get(), 3 * kRange, at, kRange), 0);
    if (round % 3 == 0) {
      ASSERT_EQ(window_->Unmap(at, kRange), 0);
    }
  }
  EXPECT_GT(HostMappings(), before);
  EXPECT_LE(HostMappings(), before + 2 * kSize / kRange);
  window_->UnmapAll();
  EXPECT_LE(HostMappings(), before);
}

TEST_F(DaxWindowTest, RangesThatLoseTheirFileShowZeroes) {
  ASSERT_EQ(window_->Map(file_.get(), 0, 0, kRange), 0);
  ASSERT_EQ(window_->Map(file_.get(), kRange, 2 * kRange, 2 * kRange), 0);
  host_.Write("other", std::string(kRange, 'o'));
  const base::UniqueFd other(open(host_.Path("other").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(window_->Map(other.get(), 0, kRange, kRange), 0);
  // The file becomes shorter, but still has what the first range shows.
  ASSERT_EQ(truncate(host_.Path("file").c_str(), static_cast<off_t>(kRange + 4096)), 0);
  loop_.RunUntilIdle();
  EXPECT_EQ(window_->truncated_ranges(), 2U);
  EXPECT_EQ(window_->mapped_ranges(), 2U);
  EXPECT_EQ(At(0), '0');
  EXPECT_EQ(At(kRange), 'o');
  EXPECT_EQ(At(2 * kRange), 0);
  EXPECT_EQ(At(4 * kRange - 1), 0);
  // A file that grows or gets new content loses nothing.
  ASSERT_EQ(ftruncate(other.get(), 3 * kRange), 0);
  ASSERT_EQ(pwrite(other.get(), "n", 1, 0), 1);
  loop_.RunUntilIdle();
  EXPECT_EQ(At(kRange), 'n');
  EXPECT_EQ(window_->truncated_ranges(), 2U);
  // What the guest has unmapped cannot be lost.
  ASSERT_EQ(window_->Unmap(kRange, kRange), 0);
  ASSERT_EQ(ftruncate(other.get(), 0), 0);
  loop_.RunUntilIdle();
  EXPECT_EQ(window_->truncated_ranges(), 2U);
}

// The host may truncate a file at any moment while the file is being mapped. A page that cannot be
// read must never stay in the window.
TEST_F(DaxWindowTest, TruncationsWhileMappingAreNoticed) {
  const std::string path = host_.Path("file");
  constexpr int kRounds = 3000;
  std::atomic<int> round{0};
  std::atomic<int> truncated{0};
  std::thread host([&] {
    for (int i = 1; i <= kRounds; ++i) {
      while (round < i) std::this_thread::yield();
      // Truncate at another moment in each round.
      for (std::atomic<int> spin{i % 100 * 5}; spin > 0; --spin) continue;
      EXPECT_EQ(truncate(path.c_str(), 0), 0);
      truncated = i;
    }
  });
  for (int i = 1; i <= kRounds; ++i) {
    EXPECT_EQ(truncate(path.c_str(), kRange), 0);
    round = i;
    const HostError error = window_->Map(file_.get(), 0, 0, kRange);
    EXPECT_TRUE(error == 0 || error == EINVAL) << error;
    while (truncated < i) std::this_thread::yield();
    loop_.RunUntilIdle();
    EXPECT_EQ(madvise(const_cast<uint8_t*>(window_->host()), 4096, MADV_POPULATE_READ), 0) << i;
    EXPECT_EQ(window_->Unmap(0, kRange), 0);
  }
  host.join();
}

TEST_F(DaxWindowTest, TruncationsWhileStoppedAreNoticedAfterResume) {
  ASSERT_EQ(window_->Map(file_.get(), 0, 0, kRange), 0);
  int stopped = 0;
  window_->Stop([&stopped] { ++stopped; });
  loop_.RunUntilIdle();
  EXPECT_EQ(stopped, 1);
  EXPECT_EQ(loop_.in_flight(), 0U);
  EXPECT_EQ(At(0), '0');
  ASSERT_EQ(truncate(host_.Path("file").c_str(), 0), 0);
  loop_.RunUntilIdle();
  EXPECT_EQ(window_->truncated_ranges(), 0U);
  window_->Resume();
  window_->Resume();
  loop_.RunUntilIdle();
  EXPECT_EQ(window_->truncated_ranges(), 1U);
  EXPECT_EQ(At(0), 0);
}

TEST_F(DaxWindowTest, AResumeBeforeTheStopHasEndedKeepsTheWatch) {
  ASSERT_EQ(window_->Map(file_.get(), 0, 0, kRange), 0);
  bool stopped = false;
  window_->Stop([&stopped] { stopped = true; });
  window_->Resume();
  loop_.RunUntilIdle();
  EXPECT_TRUE(stopped);
  ASSERT_EQ(truncate(host_.Path("file").c_str(), 0), 0);
  loop_.RunUntilIdle();
  EXPECT_EQ(window_->truncated_ranges(), 1U);
}

TEST_F(DaxWindowTest, OnlyTheKernelMayReadTheWindowAtItsGuestAddress) {
  ASSERT_EQ(window_->Map(file_.get(), 0, 0, kRange), 0);
  constexpr uint64_t kAddress = uint64_t{1} << 36;
  EXPECT_FALSE(memory_->WindowIoVec(*base::GuestRange::Create(kAddress, 1)).has_value());
  memory_->MoveWindow(window_->host(), kAddress);
  const auto iov = memory_->WindowIoVec(*base::GuestRange::Create(kAddress + 1, 3));
  ASSERT_TRUE(iov.has_value());
  EXPECT_EQ(iov->iov_base, window_->host() + 1);
  EXPECT_EQ(iov->iov_len, 3U);
  EXPECT_FALSE(memory_->WindowIoVec(*base::GuestRange::Create(kAddress - 1, 2)).has_value());
  EXPECT_FALSE(memory_->WindowIoVec(*base::GuestRange::Create(kAddress + 1, kSize)).has_value());
  // The window is not RAM.
  EXPECT_FALSE(memory_->Contains(*base::GuestRange::Create(kAddress, 1)));
  EXPECT_FALSE(memory_->IoVec(*base::GuestRange::Create(kAddress, 1)).has_value());
  EXPECT_FALSE(memory_->Load<uint32_t>(kAddress).has_value());
  EXPECT_FALSE(memory_->Store<uint32_t>(kAddress, 0));
  EXPECT_FALSE(memory_->Array<uint32_t>(kAddress, 1).has_value());
  memory_->MoveWindow(window_->host(), std::nullopt);
  EXPECT_FALSE(memory_->WindowIoVec(*base::GuestRange::Create(kAddress + 1, 3)).has_value());
}

}  // namespace
}  // namespace virtio
