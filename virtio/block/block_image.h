// The host's side of a disk: a raw file or a block device, opened, locked and measured.
#ifndef VIRTIO_BLOCK_BLOCK_IMAGE_H_
#define VIRTIO_BLOCK_BLOCK_IMAGE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace virtio {

// How an fdatasync of an image ended.
enum class SyncOutcome : uint8_t {
  kWrittenThrough,  // every write that had completed before is on stable storage
  kUnknown,         // the kernel gave up before it had an answer; the next fdatasync has one
  kLost,            // completed writes are lost, which the kernel tells only once
};

// Returns what `error` of an fdatasync (an errno, or 0) says. The one place that says what counts
// as written through. EROFS and EINVAL do not: a file system whose journal has been aborted answers
// EROFS after writes were lost. A readonly image needs no fdatasync at all: it is written through,
// also where there is no fdatasync (erofs answers EINVAL).
SyncOutcome OutcomeOfSync(int error);

// Returns whether `path` leads to the file, or the block device, that `fd` refers to, by whatever
// name.
bool IsSameImage(const std::string& path, int fd);

// Returns the size in bytes of the file or the block device that `fd` refers to. Any thread; blocks
// while a network file system does not answer.
absl::StatusOr<uint64_t> MeasureImage(int fd);

// A disk image, whose size is a multiple of logical_block_bytes() and io_alignment() and not 0.
// Locked for as long as the
// descriptor (or a duplicate) is open (LockImage): shared if readonly, else exclusive. The locks
// keep out other VMs, QEMU and cloud-hypervisor on this host; not those who do not lock, nor other
// hosts of a network file system without lock support. A writable block device is also held
// exclusively (O_EXCL), which keeps mounts out.
class BlockImage {
 public:
  struct Options {
    std::string name;  // in messages: "disks[0].path"
    std::string path;  // in messages only, if `fd` is given
    base::UniqueFd fd = {};
    bool readonly = false;
    bool direct = false;                 // O_DIRECT
    bool sparse = true;                  // discards free space
    uint32_t logical_block_bytes = 512;  // the guest's; a power of two, 512 to 4096
    uint32_t least_direct_alignment =
        512;  // of direct I/O in the file, whatever it takes; for tests
  };

  // Opens options.path, or takes options.fd. Control thread; may block. Errors are one line: what,
  // which file, errno, what to do.
  static absl::StatusOr<BlockImage> Open(Options options);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  bool readonly() const { return readonly_; }
  bool direct() const { return direct_; }
  bool is_device() const { return is_device_; }
  // True if space may be given back and the file can do so (of a device it is not known).
  bool sparse() const { return sparse_; }

  uint64_t size_bytes() const { return size_bytes_; }
  // Takes over what MeasureImage has found since, rounded down to whole blocks. Returns it.
  uint64_t SetSize(uint64_t bytes);

  // The guest's sector, which the config gives: the host's has no say in a guest's disk layout.
  uint32_t logical_block_bytes() const { return logical_block_bytes_; }
  // What offsets and lengths of the host's reads and writes must be multiples of; 1 if not direct.
  uint32_t io_alignment() const { return io_alignment_; }
  // The same for fallocate. If direct, at least io_alignment().
  uint32_t range_alignment() const { return range_alignment_; }
  uint32_t physical_block_bytes() const { return physical_block_bytes_; }  // best unit of I/O
  uint32_t optimal_io_bytes() const { return optimal_io_bytes_; }          // 0: not known
  // With direct, guest buffers must have addresses that are multiples of this.
  uint32_t memory_alignment() const { return memory_alignment_; }

 private:
  BlockImage(Options options, bool is_device);
  absl::Status MeasureBlocks(uint32_t least_direct_alignment);
  absl::Status MeasureDirectAlignment(uint32_t least);
  bool CanPunchHoles() const;
  std::string Name() const;

  std::string name_;
  std::string path_;
  base::UniqueFd fd_;
  bool readonly_;
  bool direct_;
  bool sparse_;
  bool is_device_;
  uint64_t size_bytes_ = 0;
  uint32_t logical_block_bytes_;
  uint32_t io_alignment_ = 1;
  uint32_t range_alignment_ = 1;
  uint32_t physical_block_bytes_ = 4096;
  uint32_t optimal_io_bytes_ = 0;
  uint32_t memory_alignment_ = 1;
};

}  // namespace virtio

#endif  // VIRTIO_BLOCK_BLOCK_IMAGE_H_
