#include "virtio/block/image_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <span>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace virtio {
namespace {

// QEMU's bytes and the numbers of its permissions. [QEMU block/file-posix.c,
// include/block/block-common.h: BLK_PERM_*]
constexpr off_t kUsedByte = 100;
constexpr off_t kUnsharedByte = 200;
constexpr off_t kQemuEnd = 300;  // end of the bytes that are left to QEMU
constexpr int kConsistentRead = 0;
constexpr int kWrite = 1;
constexpr int kResize = 3;
// The permissions that a disk uses, readonly or not, and those that no other process may use.
constexpr int kReaderUses[] = {kConsistentRead};
constexpr int kWriterUses[] = {kConsistentRead, kWrite, kResize};
constexpr int kUnshared[] = {kWrite, kResize};

struct flock Range(short type, off_t start, off_t length) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  return lock;
}

// Why a lock was refused.
struct Refusal {
  int error = 0;     // errno; EAGAIN: another process holds the lock
  pid_t holder = 0;  // of a classic POSIX lock; the holder of an OFD lock is unknown
};

Refusal Take(int fd, short type, off_t start, off_t length) {
  struct flock lock = Range(type, start, length);
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return {};
  if (errno != EAGAIN && errno != EACCES) return {.error = errno};
  const bool known = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  return {.error = EAGAIN, .holder = known && lock.l_pid > 0 ? lock.l_pid : 0};
}

// Checks whether another process holds any lock of this byte.
Refusal TestByte(int fd, off_t byte) {
  struct flock lock = Range(F_WRLCK, byte, 1);
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return {.error = errno};
  // A lock that covers more than QEMU's bytes is not QEMU's. It must be shared, since otherwise the
  // rest of the file could not have been locked: there is another reader.
  const bool whole_file = lock.l_start < kUsedByte;
  if (lock.l_type == F_UNLCK || (lock.l_type == F_RDLCK && whole_file)) return {};
  return {.error = EAGAIN, .holder = lock.l_pid > 0 ? lock.l_pid : 0};
}

Refusal TryLock(int fd, bool readonly) {
  const std::span<const int> uses = readonly ? std::span<const int>(kReaderUses) : kWriterUses;
  const short type = readonly ? F_RDLCK : F_WRLCK;
  Refusal refusal;
  const auto refused = [&refusal](Refusal result) {
    refusal = result;
    return refusal.error != 0;
  };
  if (refused(Take(fd, type, 0, kUsedByte))) return refusal;
  // Length 0 means: to the end of the file, even if the file grows.
  if (refused(Take(fd, type, kQemuEnd, 0))) return refusal;
  for (const int permission : uses) {
    if (refused(Take(fd, F_RDLCK, kUsedByte + permission, 1))) return refusal;
  }
  for (const int permission : kUnshared) {
    if (refused(Take(fd, F_RDLCK, kUnsharedByte + permission, 1))) return refusal;
  }
  // Take all locks before testing: of two processes at once, at least one sees the other.
  for (const int permission : uses) {
    if (refused(TestByte(fd, kUnsharedByte + permission))) return refusal;
  }
  for (const int permission : kUnshared) {
    if (refused(TestByte(fd, kUsedByte + permission))) return refusal;
  }
  return {};
}

}  // namespace

void PauseForImageLock() { usleep(kImageLockPauseMs * 1000); }

absl::Status LockImage(int fd, bool readonly, absl::string_view name, void (*pause)()) {
  Refusal refusal;
  for (int attempt = 0; attempt < kImageLockAttempts; ++attempt) {
    if (attempt > 0) pause();
    refusal = TryLock(fd, readonly);
    if (refusal.error == 0) return absl::OkStatus();
    // Release the locks during the pause: another process must not fail because of an attempt that
    // fails, too.
    UnlockImage(fd);
    if (refusal.error != EAGAIN) {
      return base::ErrnoStatus(refusal.error, absl::StrCat(name, ": cannot lock"));
    }
  }
  return absl::FailedPreconditionError(absl::StrCat(
      name, ": in use by ",
      refusal.holder > 0 ? absl::StrCat("process ", refusal.holder) : "another process",
      ", which holds a lock on it (", readonly ? "it writes to it" : "two writers would destroy it",
      "); stop the other VM or give each its own image",
      readonly ? "" : ", or set readonly in both"));
}

void UnlockImage(int fd) {
  struct flock all = Range(F_UNLCK, 0, 0);
  fcntl(fd, F_OFD_SETLK, &all);  // cannot fail
}

}  // namespace virtio
