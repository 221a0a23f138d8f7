#include "devices/pci/bar_allocator.h"

#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <optional>
#include <random>

namespace devices {
namespace {

constexpr uint64_t kStart = 0xc000'0000;
constexpr uint64_t kBytes = 0x10'0000;

TEST(BarAllocatorTest, GivesTheLowestAlignedAddress) {
  BarAllocator allocator({kStart + 0x1000, kBytes});
  EXPECT_EQ(allocator.Allocate(0x1000), kStart + 0x1000);
  EXPECT_EQ(allocator.Allocate(0x8000), kStart + 0x8000);
  EXPECT_EQ(allocator.Allocate(0x2000), kStart + 0x2000);  // between the two
  EXPECT_EQ(allocator.Allocate(0x4000), kStart + 0x4000);
  EXPECT_EQ(allocator.Allocate(0x1000), kStart + 0x1'0000);
}

TEST(BarAllocatorTest, NothingReachesOutOfTheWindow) {
  BarAllocator allocator({kStart, 0x3000});
  EXPECT_EQ(allocator.Allocate(0x4000), std::nullopt);
  EXPECT_EQ(allocator.Allocate(0x2000), kStart);
  EXPECT_EQ(allocator.Allocate(0x2000), std::nullopt);
  EXPECT_EQ(allocator.Allocate(0x1000), kStart + 0x2000);
  EXPECT_EQ(allocator.Allocate(0x1000), std::nullopt);
  EXPECT_EQ(BarAllocator({0, 0}).Allocate(0x1000), std::nullopt);
}

TEST(BarAllocatorTest, TheLastAddressesAreAddressesLikeOthers) {
  BarAllocator allocator({~uint64_t{0} - 0x1fff, 0x2000});
  EXPECT_EQ(allocator.Allocate(uint64_t{1} << 63), std::nullopt);
  EXPECT_EQ(allocator.Allocate(0x1000), ~uint64_t{0} - 0x1fff);
  EXPECT_EQ(allocator.Allocate(0x1000), ~uint64_t{0} - 0xfff);
  EXPECT_EQ(allocator.Allocate(0x1000), std::nullopt);
}

TEST(BarAllocatorTest, FreedRangesAreAllocatedAgain) {
  BarAllocator allocator({kStart, 0x4000});
  EXPECT_EQ(allocator.Allocate(0x2000), kStart);
  EXPECT_EQ(allocator.Allocate(0x2000), kStart + 0x2000);
  allocator.Free(kStart);
  EXPECT_EQ(allocator.Allocate(0x4000), std::nullopt);
  EXPECT_EQ(allocator.Allocate(0x1000), kStart);
  EXPECT_EQ(allocator.Allocate(0x1000), kStart + 0x1000);
  allocator.Free(kStart);
  allocator.Free(kStart + 0x1000);
  allocator.Free(kStart + 0x2000);
  EXPECT_EQ(allocator.Allocate(0x4000), kStart);
}

// Against a model: ranges by address.
TEST(BarAllocatorTest, TenThousandRangesOfEverySizeNeverOverlapNorLeak) {
  BarAllocator allocator({kStart, kBytes});
  std::map<uint64_t, uint64_t> taken;
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t size = uint64_t{0x1000} << random() % 7;
    const std::optional<uint64_t> address = allocator.Allocate(size);
    if (address) {
      ASSERT_EQ(*address % size, 0u);
      ASSERT_TRUE(*address >= kStart && *address + size <= kStart + kBytes);
      const auto next = taken.lower_bound(*address);
      ASSERT_TRUE(next == taken.end() || *address + size <= next->first);
      ASSERT_TRUE(next == taken.begin() ||
                  std::prev(next)->first + std::prev(next)->second <= *address);
      taken[*address] = size;
    } else {
      ++refused;
    }
    // Ever fuller for a while, then emptier.
    const unsigned freed = i / 100 % 2 == 0 ? random() % 2 : random() % 4;
    for (unsigned n = 0; n < freed && !taken.empty(); ++n) {
      const auto victim = std::next(taken.begin(), static_cast<long>(random() % taken.size()));
      allocator.Free(victim->first);
      taken.erase(victim);
    }
  }
  EXPECT_GT(refused, 0);  // it was full at times
  for (const auto& [address, size] : taken) allocator.Free(address);
  EXPECT_EQ(allocator.Allocate(kBytes), kStart);  // all of it again
}

}  // namespace
}  // namespace devices
