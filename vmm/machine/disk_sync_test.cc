#include "vmm/machine/disk_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>

#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Longer than any machine needs; a test that waits so long has failed.
constexpr std::chrono::seconds kLong{100};

base::UniqueFd Open() {
  base::UniqueFd fd(open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  EXPECT_TRUE(fd.valid());
  return fd;
}

// A host whose disks answer only when the test releases them.
std::atomic<int> g_in_sync = 0;
std::atomic<int> g_released = 0;

int HangUntilReleased(int /*fd*/) {
  ++g_in_sync;
  g_in_sync.notify_all();
  g_released.wait(0);
  --g_in_sync;
  g_in_sync.notify_all();
  return 0;
}

// Returns only if a second call is made meanwhile.
int MeetAnother(int /*fd*/) {
  ++g_in_sync;
  g_in_sync.notify_all();
  for (int seen = g_in_sync; seen < 2; seen = g_in_sync) g_in_sync.wait(seen);
  return 0;
}

int FailWithEio(int /*fd*/) {
  errno = EIO;
  return -1;
}

// ext4 answers so after its journal was aborted.
int FailAsReadOnly(int /*fd*/) {
  errno = EROFS;
  return -1;
}

int Succeed(int /*fd*/) { return 0; }

TEST(DiskSync, HealthyDisksAreSyncedAndBrokenOnesNamed) {
  const base::UniqueFd good = Open();
  const DiskToSync disks[] = {{"good", good.get()}, {"closed", -1}};
  EXPECT_THAT(SyncWithin(disks, kLong), ElementsAre(UnsyncedDisk{"closed", EBADF}));
}

TEST(DiskSync, ErrorsAreReported) {
  const base::UniqueFd fd = Open();
  const DiskToSync disks[] = {{"a", fd.get()}, {"b", fd.get()}};
  EXPECT_THAT(SyncWithin(disks, kLong, FailWithEio),
              ElementsAre(UnsyncedDisk{"a", EIO}, UnsyncedDisk{"b", EIO}));
  EXPECT_THAT(SyncWithin(disks, kLong, FailAsReadOnly),
              ElementsAre(UnsyncedDisk{"a", EROFS}, UnsyncedDisk{"b", EROFS}));
}

// The kernel reports lost writes once. The next fdatasync succeeds.
TEST(DiskSync, ADiskThatLostWritesEarlierIsNamedAlthoughItsLastSyncSucceeds) {
  const base::UniqueFd fd = Open();
  const std::atomic<int> lost = EIO, nothing_lost = 0;
  const DiskToSync disks[] = {{"lost", fd.get(), &lost}, {"good", fd.get(), &nothing_lost}};
  EXPECT_THAT(SyncWithin(disks, kLong, Succeed), ElementsAre(UnsyncedDisk{"lost", EIO, true}));
  EXPECT_THAT(SyncWithin(disks, kLong, FailWithEio),
              ElementsAre(UnsyncedDisk{"lost", EIO, true}, UnsyncedDisk{"good", EIO, false}));
}

TEST(DiskSync, TheLineNamesTheDiskAndTheReason) {
  constexpr std::chrono::seconds kMinute{60};
  EXPECT_EQ(Describe({"a.raw", ENOSPC, false}, kMinute),
            "a.raw: not written through, fdatasync failed: No space left on device (ENOSPC); the "
            "guest's last writes may be lost");
  EXPECT_EQ(
      Describe({"a.raw", EIO, true}, kMinute),
      "a.raw: not written through, an earlier fdatasync failed: Input/output error (EIO); the "
      "guest's writes of that time are lost");
  EXPECT_EQ(Describe({"a.raw", 0, false}, kMinute),
            "a.raw: not written through, fdatasync has not ended after 60 s; the guest's last "
            "writes may be lost");
}

TEST(DiskSync, NoDisksReturnAtOnce) {
  EXPECT_THAT(SyncWithin({}, std::chrono::hours(1)), IsEmpty());
}

TEST(DiskSync, AllDisksAreSyncedInParallel) {
  g_in_sync = 0;
  const base::UniqueFd fd = Open();
  const DiskToSync disks[] = {{"a", fd.get()}, {"b", fd.get()}};
  EXPECT_THAT(SyncWithin(disks, kLong, MeetAnother), IsEmpty());
}

TEST(DiskSync, HangingDiskIsNamedAndLeftBehind) {
  g_in_sync = g_released = 0;
  base::UniqueFd fd = Open();
  const DiskToSync disks[] = {{"hung", fd.get()}};
  EXPECT_THAT(SyncWithin(disks, std::chrono::milliseconds(1), HangUntilReleased),
              ElementsAre(UnsyncedDisk{"hung", 0}));
  fd.reset();  // the thread has a descriptor of its own
  for (int seen = g_in_sync; seen != 1; seen = g_in_sync) g_in_sync.wait(seen);
  g_released = 1;
  g_released.notify_all();
  for (int seen = g_in_sync; seen != 0; seen = g_in_sync) g_in_sync.wait(seen);
}

}  // namespace
}  // namespace vmm
