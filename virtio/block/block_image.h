// The host's side of a disk: a raw file or a block device that is opened, locked and measured.
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
  kUnknown,         // the kernel gave up before it had a result; the next fdatasync has one
  kLost,            // completed writes are lost, which the kernel reports only once
};

// Returns what `error` of an fdatasync (an errno, or 0) means. Only this function decides what
// counts as written through. EROFS and EINVAL do not count: a file system whose journal has been
// aborted returns EROFS after writes were lost. A readonly image needs no fdatasync: all of its
// data are written through, even where fdatasync does not exist (erofs returns EINVAL).
SyncOutcome OutcomeOfSync(int error);

// Returns true if `path` leads to the file or block device that `fd` refers to, by any name.
bool IsSameImage(const std::string& path, int fd);

// Returns the size in bytes of the file or block device that `fd` refers to. Any thread; blocks
// while a network file system does not respond.
absl::StatusOr<uint64_t> MeasureImage(int fd);

// A disk image. Its size is a multiple of logical_block_bytes() and io_alignment() and not 0. The
// image is locked as long as the descriptor or a duplicate is open (LockImage): shared if readonly,
// otherwise exclusive. The locks keep out other VMs, QEMU and cloud-hypervisor on this host; they
// do not keep out programs that take no locks, nor other hosts of a network file system without
// locks. A writable block device is also held exclusively (O_EXCL), which prevents mounts.
class BlockImage {
 public:
  struct Options {
    std::string name;  // in messages: "disks[0].path"
    std::string path;  // only for messages, if `fd` is given
    base::UniqueFd fd = {};
    bool readonly = false;
    bool direct = false;  // O_DIRECT
    bool sparse = true;   // gives the space of discarded blocks back to the file system
    uint32_t logical_block_bytes = 512;     // the guest's; a power of two, 512 to 4096
    uint32_t least_direct_alignment = 512;  // a lower bound of io_alignment(), for tests
  };

  // Opens options.path, or takes options.fd. Control thread; may block. An error is one line: what
  // failed, on which file, errno, and what to do.
  static absl::StatusOr<BlockImage> Open(Options options);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  bool readonly() const { return readonly_; }
  bool direct() const { return direct_; }
  bool is_device() const { return is_device_; }
  // True if the image should give back space and the file can do so (for a device this is unknown).
  bool sparse() const { return sparse_; }

  uint64_t size_bytes() const { return size_bytes_; }
  // Sets the size to `bytes`, a new result of MeasureImage, rounded down to whole blocks. Returns
  // the size.
  uint64_t SetSize(uint64_t bytes);

  // The guest's block size, which the config sets: the host's block size must not change the layout
  // of a guest's disk.
  uint32_t logical_block_bytes() const { return logical_block_bytes_; }
  // Offsets and lengths of the host's reads and writes must be multiples of this; 1 without direct
  // I/O.
  uint32_t io_alignment() const { return io_alignment_; }
  // The same for fallocate. At least io_alignment() for direct I/O.
  uint32_t range_alignment() const { return range_alignment_; }
  uint32_t physical_block_bytes() const { return physical_block_bytes_; }  // the best unit of I/O
  uint32_t optimal_io_bytes() const { return optimal_io_bytes_; }          // 0: unknown
  // For direct I/O, the addresses of guest buffers must be multiples of this.
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
