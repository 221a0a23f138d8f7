// Plans the real kernel that VMM_TEST_KERNEL names (bzImage or vmlinux). Does not run without it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "boot/kernel_image.h"
#include "boot/testing/golden_fixtures.h"
#include "boot/testing/kernel_fixtures.h"

namespace boot {
namespace {

constexpr char kNoKernel[] =
    "VMM_TEST_KERNEL names no kernel (the guests' case unit-tests-with-real-kernels does)";

TEST(RealKernelTest, IsPlannedInSmallAndLargeGuests) {
  const char* path = std::getenv("VMM_TEST_KERNEL");
  if (path == nullptr) GTEST_SKIP() << kNoKernel;
  const std::string text = ReadFile(path);
  const Bytes file(text.begin(), text.end());
  for (const uint64_t mib : {128u, 512u, 3072u}) {
    const auto plan = PlanKernelLoad(MemoryByteSource(file), path, TestWindow(mib));
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_GE(plan->initrd_addr_max, 0x7fffffffu);
    EXPECT_EQ(plan->cmdline_max_bytes, 2047u);
    EXPECT_GT(plan->occupied.size, kTestMiB);
    uint64_t loaded = 0;
    for (const LoadSegment& segment : plan->segments) loaded += segment.file_bytes;
    EXPECT_GT(loaded, file.size() / 4);
  }
}

TEST(RealKernelTest, IsRefusedWhenCutOff) {
  const char* path = std::getenv("VMM_TEST_KERNEL");
  if (path == nullptr) GTEST_SKIP() << kNoKernel;
  const std::string text = ReadFile(path);
  const Bytes file(text.begin(), text.begin() + static_cast<ptrdiff_t>(text.size() / 8));
  const auto plan = PlanKernelLoad(MemoryByteSource(file), "K", TestWindow(128));
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.status().message().substr(0, 20), "K: is cut off after ");
}

}  // namespace
}  // namespace boot
