#include "boot/payload.h"

#include <gtest/gtest.h>

#include <string>

#include "boot/testing/kernel_fixtures.h"

namespace boot {
namespace {

LoadPlan Kernel(uint64_t addr_max = 0x7fffffff) {
  LoadPlan plan;
  plan.occupied = {16 * kTestMiB, 48 * kTestMiB};
  plan.initrd_addr_max = addr_max;
  return plan;
}

absl::StatusOr<MemoryRange> Place(uint64_t size, uint64_t ram_mib, const LoadPlan& kernel) {
  return PlaceInitrd(size, "I", kernel, TestWindow(ram_mib));
}

std::string PlaceError(uint64_t size, uint64_t ram_mib, const LoadPlan& kernel) {
  return std::string(Place(size, ram_mib, kernel).status().message());
}

TEST(PlaceInitrdTest, TakesTheTopOfLowRamPageAligned) {
  EXPECT_EQ(*Place(1, 128, Kernel()), (MemoryRange{128 * kTestMiB - 4096, 1}));
  EXPECT_EQ(*Place(4097, 128, Kernel()), (MemoryRange{128 * kTestMiB - 8192, 4097}));
}

TEST(PlaceInitrdTest, StaysBelowTheKernelsLimit) {
  EXPECT_EQ(*Place(4096, 3072, Kernel(0x37ffffff)), (MemoryRange{0x37fff000, 4096}));
  EXPECT_EQ(*Place(4096, 3072, Kernel(0x37fffffe)), (MemoryRange{0x37ffe000, 4096}));
  EXPECT_EQ(*Place(4096, 128, Kernel(UINT64_MAX)), (MemoryRange{128 * kTestMiB - 4096, 4096}));
}

TEST(PlaceInitrdTest, DoesNotTouchTheKernelsMemory) {
  EXPECT_EQ(*Place(64 * kTestMiB, 128, Kernel()), (MemoryRange{64 * kTestMiB, 64 * kTestMiB}));
  EXPECT_EQ(PlaceError(64 * kTestMiB + 1, 128, Kernel()),
            "I: is too large for the guest's RAM: it has 65 MiB, above the kernel 64 MiB are free; "
            "raise memory.size");
}

TEST(PlaceInitrdTest, RefusesEmptyHugeAndUnplaceableInitrds) {
  EXPECT_EQ(PlaceError(0, 128, Kernel()), "I: is empty; give an initramfs, or leave the key out");
  EXPECT_EQ(PlaceError(UINT64_MAX, 128, Kernel()),
            "I: is too large for the guest's RAM: it has 17592186044416 MiB, above the kernel 64 "
            "MiB are free; raise memory.size");
  EXPECT_EQ(PlaceError(kTestMiB, 128, Kernel(0x1000)),
            "I: is too large: it has 1 MiB, the kernel takes an initramfs of at most 0 MiB below "
            "address 0x1001; make it smaller");
  EXPECT_EQ(PlaceError(1024 * kTestMiB, 3072, Kernel(0x37ffffff)),
            "I: is too large: it has 1024 MiB, the kernel takes an initramfs of at most 832 MiB "
            "below address 0x38000000; make it smaller");
}

TEST(CommandLineTest, EndsWithNul) {
  const auto bytes = EncodeCommandLine("console=hvc0 \xc3\xa4", 2047);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(std::string(bytes->begin(), bytes->end()), std::string("console=hvc0 \xc3\xa4\0", 16));
  EXPECT_EQ(*EncodeCommandLine("", 0), std::vector<uint8_t>{0});
}

TEST(CommandLineTest, AcceptsAtMostMaxBytes) {
  EXPECT_TRUE(EncodeCommandLine(std::string(2047, 'x'), 2047).ok());
  EXPECT_EQ(EncodeCommandLine(std::string(2048, 'x'), 2047).status().message(),
            "the command line has 2048 bytes, the kernel takes at most 2047; shorten it");
}

TEST(CommandLineTest, RefusesControlCharacters) {
  EXPECT_EQ(EncodeCommandLine(absl::string_view("a\0b", 3), 10).status().message(),
            "the command line has the control character 0x00 at offset 1; remove it");
  EXPECT_EQ(EncodeCommandLine("quiet\n", 10).status().message(),
            "the command line has the control character 0x0a at offset 5; remove it");
  EXPECT_EQ(EncodeCommandLine("\x7f", 10).status().message(),
            "the command line has the control character 0x7f at offset 0; remove it");
}

}  // namespace
}  // namespace boot
