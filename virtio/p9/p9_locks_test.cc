// Locks of the processes of a 9P guest, against each other and against processes of the host.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "virtio/p9/testing/p9_changes_fixtures.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

constexpr uint32_t kRoot = P9Harness::kRoot;

// Acts like another process of the host: its locks belong to another open file.
class HostLocker {
 public:
  explicit HostLocker(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {}
  bool Set(int16_t type, off_t start, off_t length) const {
    struct flock lock = {};
    lock.l_type = type;
    lock.l_start = start;
    lock.l_len = length;
    return fcntl(fd_.get(), F_OFD_SETLK, &lock) == 0;
  }

 private:
  base::UniqueFd fd_;
};

TEST_F(P9ChangesTest, P9_lock_LocksAreSeenByTheHost) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.Lock(file, kP9WriteLock, 0, 0, 1), -EBADF);  // the fid is not open
  EXPECT_EQ(p9_.Open(file, O_RDWR).error, 0);
  const HostLocker host(p9_.HostPath("file"));
  EXPECT_EQ(p9_.Lock(file, kP9WriteLock, 10, 10, 1), kP9LockSuccess);
  EXPECT_FALSE(host.Set(F_RDLCK, 19, 1));
  EXPECT_TRUE(host.Set(F_WRLCK, 20, 0));
  EXPECT_EQ(p9_.Lock(file, kP9ReadLock, 15, 10, 1), kP9LockBlocked);
  const P9Lock blocker = p9_.GetLock(file, kP9ReadLock, 0, 0, 1);
  EXPECT_EQ(blocker.type, kP9WriteLock);
  EXPECT_EQ(blocker.start.value(), 20U);
  EXPECT_EQ(blocker.length.value(), 0U);
  EXPECT_EQ(blocker.process.value(), 0U);
  EXPECT_EQ(p9_.GetLock(file, kP9WriteLock, 0, 20, 1).type, kP9Unlock);
  EXPECT_EQ(p9_.Lock(file, kP9Unlock, 12, 2, 1), kP9LockSuccess);
  EXPECT_TRUE(host.Set(F_RDLCK, 12, 2));
  EXPECT_FALSE(host.Set(F_RDLCK, 10, 2));
  EXPECT_FALSE(host.Set(F_RDLCK, 14, 6));
  EXPECT_EQ(p9_.Clunk(file).error, 0);
  EXPECT_TRUE(host.Set(F_WRLCK, 0, 0));
  EXPECT_EQ(p9_.counter("open_files"), 0U);
}

TEST_F(P9ChangesTest, P9_lock_ProcessesOfTheGuestBlockEachOther) {
  const auto opened = [this] {
    const uint32_t fid = p9_.Find({"file"});
    EXPECT_EQ(p9_.Open(fid, O_RDWR).error, 0);
    return fid;
  };
  const uint32_t a = opened();
  const uint32_t b = opened();
  const HostLocker host(p9_.HostPath("file"));
  // Two processes have read locks. The host sees a lock until both have given up theirs.
  EXPECT_EQ(p9_.Lock(a, kP9ReadLock, 0, 100, 1), kP9LockSuccess);
  EXPECT_EQ(p9_.Lock(b, kP9ReadLock, 50, 100, 2), kP9LockSuccess);
  EXPECT_EQ(p9_.Lock(b, kP9WriteLock, 0, 10, 2), kP9LockBlocked);
  EXPECT_EQ(p9_.GetLock(b, kP9WriteLock, 0, 10, 2).process.value(), 1U);
  EXPECT_EQ(p9_.Lock(a, kP9Unlock, 0, 0, 1), kP9LockSuccess);
  EXPECT_TRUE(host.Set(F_WRLCK, 0, 50));
  EXPECT_EQ(p9_.GetLock(a, kP9Unlock, 0, 10, 1).type, kP9WriteLock);  // Linux asks like this
  EXPECT_EQ(p9_.GetLock(a, kP9Unlock, 200, 10, 1).type, kP9Unlock);
  EXPECT_FALSE(host.Set(F_WRLCK, 50, 1));
  EXPECT_TRUE(host.Set(F_UNLCK, 0, 50));
  // A process owns its locks by whichever fid it has set them, and can unlock them by any fid.
  EXPECT_EQ(p9_.Lock(b, kP9WriteLock, 0, 0, 2), kP9LockSuccess);
  EXPECT_EQ(p9_.Lock(a, kP9WriteLock, 10, 10, 2), kP9LockSuccess);
  EXPECT_EQ(p9_.Lock(a, kP9Unlock, 0, 0, 2), kP9LockSuccess);
  EXPECT_TRUE(host.Set(F_WRLCK, 0, 0));
  EXPECT_TRUE(host.Set(F_UNLCK, 0, 0));
  EXPECT_EQ(p9_.counter("open_files"), 1U);  // the fids share a descriptor
}

TEST_F(P9ChangesTest, InvalidLocksAreRefusedAndLocksAreBounded) {
  const uint32_t file = p9_.Created("locked");
  EXPECT_EQ(p9_.Lock(file, 3, 0, 0, 1), -EINVAL);
  EXPECT_EQ(p9_.Lock(file, kP9WriteLock, uint64_t{1} << 63, 0, 1), -EINVAL);
  EXPECT_EQ(p9_.Lock(file, kP9WriteLock, 1, UINT64_MAX, 1), -EINVAL);
  EXPECT_EQ(p9_.Lock(kRoot, kP9WriteLock, 0, 0, 1), -EBADF);
  // The number of locks is bounded. At the bound locks can still be given up.
  int status = kP9LockSuccess;
  int count = 0;
  for (uint64_t at = 0; status == kP9LockSuccess && count < 5000; at += 2, ++count) {
    status = p9_.Lock(file, kP9ReadLock, at, 1, 1);
  }
  EXPECT_EQ(status, kP9LockError);
  EXPECT_EQ(count, 1025);
  EXPECT_EQ(p9_.Lock(file, kP9Unlock, 0, 0, 1), kP9LockSuccess);
  EXPECT_EQ(p9_.Lock(file, kP9WriteLock, 0, 0, 1), kP9LockSuccess);
  // The same bound holds for the pieces of one large lock.
  status = kP9LockSuccess;
  count = 0;
  for (uint64_t at = 1; status == kP9LockSuccess && count < 5000; at += 2, ++count) {
    status = p9_.Lock(file, kP9Unlock, at, 1, 1);
  }
  EXPECT_EQ(status, kP9LockError);
  EXPECT_LT(count, 1100);
}

TEST(P9LocksTest, LockedFilesAreBounded) {
  P9Harness p9({.max_open_files = 16, .writable = true}, [](const TemporaryTree&) {});
  for (int i = 0; i < 5; ++i) {
    const uint32_t file = p9.Created(absl::StrCat(i));
    EXPECT_EQ(p9.Lock(file, kP9WriteLock, 0, 0, 1), i < 2 ? kP9LockSuccess : kP9LockError);
  }
  EXPECT_EQ(p9.Version().error, 0);
  EXPECT_EQ(p9.counter("open_files"), 0U);
}

}  // namespace
}  // namespace virtio
