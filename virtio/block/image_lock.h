// Locks that keep the users of one image apart: VMs of this program, of QEMU and of
// cloud-hypervisor.
#ifndef VIRTIO_BLOCK_IMAGE_LOCK_H_
#define VIRTIO_BLOCK_IMAGE_LOCK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace virtio {

// How often LockImage tries to get a lock that another process holds, and the pause between two
// attempts.
inline constexpr int kImageLockAttempts = 50;
inline constexpr int kImageLockPauseMs = 20;  // 1 s in total

void PauseForImageLock();

// Locks an image for a reader or a writer. The locks are OFD locks, which last as long as the open
// file that `fd` refers to. Several readers may share an image; a writer must be alone.
//
// The locks follow QEMU, byte by byte. A shared lock of byte 100 + i says that permission i is in
// use; a shared lock of byte 200 + i says that no other process may use permission i. A process
// takes its own locks and then checks that no other process holds the opposite ones. The rest of
// the file is locked as a whole, shared or exclusive, since cloud-hypervisor locks the whole file.
// [QEMU block/file-posix.c: raw_apply_lock_bytes, raw_check_lock_bytes]
//
// A VM that was killed keeps its locks until the kernel has dismantled its io_uring, shortly after
// the process has ended. A restart must not fail because of these locks, so LockImage retries for a
// second. `pause` runs between two attempts and sleeps, except in tests.
//
// Control thread; may block. Messages begin with `name`. Errors: FailedPrecondition if another
// process holds a lock; otherwise the error of fcntl.
absl::Status LockImage(int fd, bool readonly, absl::string_view name,
                       void (*pause)() = PauseForImageLock);

// Releases all locks of the open file. Otherwise they would last as long as other references to it,
// such as a ring's.
void UnlockImage(int fd);

}  // namespace virtio

#endif  // VIRTIO_BLOCK_IMAGE_LOCK_H_
