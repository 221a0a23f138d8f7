#include "boot/memory_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace boot {
namespace {

using ::testing::ElementsAre;

constexpr uint64_t kGiB = 1 << 30;
constexpr MemoryRange kEcam = {0xE0000000, 1 << 20};

E820Entry Ram(uint64_t start, uint64_t end) { return {{start, end - start}, E820Type::kRam}; }

E820Entry Reserved(uint64_t start, uint64_t end) {
  return {{start, end - start}, E820Type::kReserved};
}

std::vector<E820Entry> Map(std::vector<MemoryRange> ram, std::vector<MemoryRange> reserved = {}) {
  auto map = BuildE820(ram, reserved);
  EXPECT_TRUE(map.ok()) << map.status();
  return *std::move(map);
}

std::string Error(std::vector<MemoryRange> ram, std::vector<MemoryRange> reserved = {}) {
  return std::string(BuildE820(ram, reserved).status().message());
}

TEST(MemoryMapTest, SmallGuestHasRamOnBothSidesOfTheFirmwareRange) {
  EXPECT_THAT(Map({{0, 128 << 20}}),
              ElementsAre(Ram(0, 0x9FC00), Reserved(0x9FC00, 0x100000), Ram(0x100000, 128 << 20)));
}

TEST(MemoryMapTest, LargeGuestHasRamAboveTheHoleAndEcamReservedInIt) {
  EXPECT_THAT(Map({{4 * kGiB, 2 * kGiB}, {0, 3 * kGiB}}, {kEcam}),
              ElementsAre(Ram(0, 0x9FC00), Reserved(0x9FC00, 0x100000), Ram(0x100000, 3 * kGiB),
                          Reserved(0xE0000000, 0xE0100000), Ram(4 * kGiB, 6 * kGiB)));
}

TEST(MemoryMapTest, ReservedWinsOverRamAndTouchingRangesMerge) {
  EXPECT_THAT(Map({{0, kGiB}, {kGiB, kGiB}}, {{0x200000, 0x1000}, {0x201000, 0x1000}}),
              ElementsAre(Ram(0, 0x9FC00), Reserved(0x9FC00, 0x100000), Ram(0x100000, 0x200000),
                          Reserved(0x200000, 0x202000), Ram(0x202000, 2 * kGiB)));
}

TEST(MemoryMapTest, ReservedMayCoverAnEndOfRam) {
  EXPECT_THAT(Map({{0x100000, 0x100000}}, {{0x80000, 0x90000}, {0x1F0000, 0x20000}}),
              ElementsAre(Reserved(0x80000, 0x110000), Ram(0x110000, 0x1F0000),
                          Reserved(0x1F0000, 0x210000)));
}

TEST(MemoryMapTest, RangesMayReachTheLastAddress) {
  EXPECT_THAT(Map({{UINT64_MAX - 0xFFF, 0xFFF}}),
              ElementsAre(Reserved(0x9FC00, 0x100000), Ram(UINT64_MAX - 0xFFF, UINT64_MAX)));
}

TEST(MemoryMapTest, BadRangesAreRefused) {
  EXPECT_EQ(Error({{0, 0}}), "memory map: RAM range at 0 of 0 bytes is empty or wraps around");
  EXPECT_EQ(Error({{2, UINT64_MAX}}),
            "memory map: RAM range at 0x2 of 18446744073709551615 bytes is empty or wraps around");
  EXPECT_EQ(Error({{0, kGiB}}, {{8, 0}}),
            "memory map: reserved range at 0x8 of 0 bytes is empty or wraps around");
  EXPECT_EQ(Error({{kGiB, kGiB}, {0, kGiB + 1}}),
            "memory map: RAM regions at 0 and 0x40000000 overlap");
}

TEST(MemoryMapTest, TakesUpTo128Entries) {
  std::vector<MemoryRange> reserved;
  for (uint64_t i = 0; i < 62; ++i) reserved.push_back({(2 + i) << 20, 0x1000});
  EXPECT_EQ(Map({{0, kGiB}}, reserved).size(), 127u);
  reserved.push_back({2 * kGiB, 0x1000});
  EXPECT_EQ(Map({{0, kGiB}}, reserved).size(), 128u);
  reserved.push_back({3 * kGiB, 0x1000});
  EXPECT_EQ(Error({{0, kGiB}}, reserved), "memory map: 129 entries are needed, at most 128 fit");
}

}  // namespace
}  // namespace boot
