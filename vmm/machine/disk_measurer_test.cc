#include "vmm/machine/disk_measurer.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <memory>

#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

base::UniqueFd Open(off_t size) {
  base::UniqueFd fd(open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  EXPECT_TRUE(fd.valid() && ftruncate(fd.get(), size) == 0);
  return fd;
}

void AwaitAtLeast(std::atomic<int>& value, int wanted) {
  for (int seen = value; seen < wanted; seen = value) value.wait(seen);
}

// A host that answers each measurement only when the test allows it.
std::atomic<int> g_asked = 0;
std::atomic<int> g_allowed = 0;

absl::StatusOr<uint64_t> HangUntilAllowed(int /*fd*/) {
  const int number = ++g_asked;
  g_asked.notify_all();
  AwaitAtLeast(g_allowed, number);
  return static_cast<uint64_t>(number);
}

void Allow(int count) {
  g_allowed += count;
  g_allowed.notify_all();
}

class DiskMeasurerTest : public testing::Test {
 protected:
  DiskMeasurerTest() { g_asked = g_allowed = 0; }

  std::unique_ptr<DiskMeasurer> Create(
      DiskMeasurer::MeasureFunction measure = virtio::MeasureImage) {
    return std::make_unique<DiskMeasurer>(
        [this](const absl::StatusOr<uint64_t>& size) {
          last_ = size.ok() ? *size : 0;
          ++reports_;
          reports_.notify_all();
        },
        measure);
  }

  std::atomic<int> reports_ = 0;
  std::atomic<uint64_t> last_ = 0;
};

TEST_F(DiskMeasurerTest, ReportsTheSize) {
  const base::UniqueFd fd = Open(12345);
  const auto measurer = Create();
  ASSERT_TRUE(measurer->Measure(fd.get()).ok());
  AwaitAtLeast(reports_, 1);
  EXPECT_EQ(last_, 12345u);
}

TEST_F(DiskMeasurerTest, BadDescriptorIsAnError) {
  const base::UniqueFd fd = Open(1);
  const auto measurer = Create();
  EXPECT_FALSE(measurer->Measure(-1).ok());
  EXPECT_TRUE(measurer->Measure(fd.get()).ok()) << "the next attempt begins anew";
  AwaitAtLeast(reports_, 1);
}

// For example an NFS image: no caller waits, and further calls take no further threads.
TEST_F(DiskMeasurerTest, HangingHostBlocksNoCallerAndTakesOneThread) {
  base::UniqueFd fd = Open(1);
  const auto measurer = Create(HangUntilAllowed);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(measurer->Measure(fd.get()).ok());
  fd.reset();  // the thread has a descriptor of its own
  AwaitAtLeast(g_asked, 1);
  EXPECT_EQ(reports_, 0);
  Allow(1);
  AwaitAtLeast(g_asked, 2);
  EXPECT_EQ(reports_, 1);
  Allow(1);
  AwaitAtLeast(reports_, 2);
  EXPECT_EQ(g_asked, 2) << "four calls during the first measurement cause one more";
  EXPECT_EQ(last_, 2u);
}

TEST_F(DiskMeasurerTest, NothingIsReportedAfterDestruction) {
  const base::UniqueFd fd = Open(1);
  auto measurer = Create(HangUntilAllowed);
  ASSERT_TRUE(measurer->Measure(fd.get()).ok());
  ASSERT_TRUE(measurer->Measure(fd.get()).ok());
  AwaitAtLeast(g_asked, 1);
  measurer.reset();
  Allow(1);
  // The thread of another measurer starts later. The first measurer must not report before it.
  const auto other = Create();
  ASSERT_TRUE(other->Measure(fd.get()).ok());
  AwaitAtLeast(reports_, 1);
  EXPECT_EQ(reports_, 1);
  EXPECT_EQ(last_, 1u);
}

}  // namespace
}  // namespace vmm
