// Locks that keep the users of one image apart: VMs of this program, QEMU, cloud-hypervisor.
#ifndef VIRTIO_BLOCK_IMAGE_LOCK_H_
#define VIRTIO_BLOCK_IMAGE_LOCK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace virtio {

// How often a lock that another one holds is asked for again, and the pause between two attempts.
inline constexpr int kImageLockAttempts = 50;
inline constexpr int kImageLockPauseMs = 20;  // 1 s in all

void PauseForImageLock();

// Locks an image for a reader or a writer, by OFD locks, which last as long as the open file that
// `fd` refers to. Many readers may share an image, a writer has it alone.
//
// As QEMU does it, byte by byte: a shared lock of byte 100 + i says that permission i is in use,
// one of byte 200 + i that nobody else may use it; whoever holds these tests for the opposite ones.
// The rest of the file is locked as a whole, shared or exclusive, as cloud-hypervisor locks all of
// it. [QEMU block/file-posix.c: raw_apply_lock_bytes, raw_check_lock_bytes]
//
// A VM that was killed keeps its locks until the kernel has taken its io_uring apart, a moment
// after the process is gone, and a restart must not fail for that: so a lock that is taken is asked
// for again for a second. `pause` runs between two attempts; it sleeps but in tests.
//
// Control thread; may block. `name` begins the message. Errors: FailedPrecondition if another one
// holds a lock, else what fcntl says.
absl::Status LockImage(int fd, bool readonly, absl::string_view name,
                       void (*pause)() = PauseForImageLock);

// Gives up all locks of the open file. Its other references (a ring's) would keep them.
void UnlockImage(int fd);

}  // namespace virtio

#endif  // VIRTIO_BLOCK_IMAGE_LOCK_H_
