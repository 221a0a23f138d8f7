#include "vmm/machine/disk_sync.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(DiskSync, HealthyDisksAreSyncedAndBrokenOnesNamed) {
  const base::UniqueFd good(open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_TRUE(good.valid());
  const DiskToSync disks[] = {{"good", good.get()}, {"closed", -1}};
  EXPECT_THAT(SyncWithin(disks, std::chrono::seconds(20)), ElementsAre("closed"));
}

TEST(DiskSync, NoDisksNoWait) { EXPECT_THAT(SyncWithin({}, std::chrono::hours(1)), IsEmpty()); }

TEST(DiskSync, DoesNotWaitLongerThanAsked) {
  const base::UniqueFd good(open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const DiskToSync disks[] = {{"good", good.get()}};
  const auto start = std::chrono::steady_clock::now();
  SyncWithin(disks, std::chrono::milliseconds(0));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

}  // namespace
}  // namespace vmm
