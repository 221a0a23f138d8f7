#include "virtio/block/block_image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "virtio/block/image_lock.h"

namespace virtio {
namespace {

constexpr uint32_t kMaxBlockBytes = 64 << 10;  // a bounce buffer is at least as large
constexpr uint32_t kMaxMemoryAlignment = 4096;

// Returns what is wrong with a file of this type, or nullptr if it can be a disk.
const char* KindProblem(mode_t mode) {
  if (S_ISREG(mode) || S_ISBLK(mode)) return nullptr;
  if (S_ISDIR(mode)) return "is a directory; a disk needs a raw image file or a block device";
  if (S_ISCHR(mode)) return "is a character device; a disk needs a file or a block device";
  if (S_ISFIFO(mode)) return "is a pipe; a disk needs a file or a block device";
  return "is no file; a disk needs a raw image file or a block device";
}

absl::string_view OpenAdvice(int error, bool readonly, bool direct, bool is_device) {
  switch (error) {
    case ENOENT:
      return "; make an image with: truncate -s 10G FILE";
    case EACCES:
    case EPERM:
      return readonly ? "; give this user access to it"
                      : "; give this user access to it, or set readonly";
    case EROFS:
      return "; set readonly";
    case EINVAL:
      return direct ? "; its file system may not support O_DIRECT: set direct to false" : "";
    case EBUSY:
      return is_device ? "; it is mounted or in use by another program: free it, or set readonly"
                       : "";
    default:
      return "";
  }
}

absl::Status OpenError(int error, absl::string_view name, absl::string_view advice) {
  const absl::Status status = base::ErrnoStatus(error, absl::StrCat(name, ": cannot open"));
  return absl::Status(status.code(), absl::StrCat(status.message(), advice));
}

// Returns true if the address and `bytes` are aligned enough for direct reads.
bool IsAlignedFor(int fd, uint8_t* to, size_t bytes) {
  return pread(fd, to, bytes, 0) >= 0 || errno != EINVAL;
}

}  // namespace

SyncOutcome OutcomeOfSync(int error) {
  switch (error) {
    case 0:
      return SyncOutcome::kWrittenThrough;
    case ECANCELED:
    case EINTR:
    case EAGAIN:
      return SyncOutcome::kUnknown;
    default:
      return SyncOutcome::kLost;
  }
}

bool IsSameImage(const std::string& path, int fd) {
  struct stat a, b;
  if (stat(path.c_str(), &a) != 0 || fstat(fd, &b) != 0) return false;
  if (S_ISBLK(a.st_mode) && S_ISBLK(b.st_mode)) return a.st_rdev == b.st_rdev;
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

absl::StatusOr<uint64_t> MeasureImage(int fd) {
  struct stat file;
  if (fstat(fd, &file) != 0) return base::ErrnoStatus(errno, "cannot get the size");
  if (!S_ISBLK(file.st_mode)) return static_cast<uint64_t>(file.st_size);
  uint64_t size = 0;
  if (ioctl(fd, BLKGETSIZE64, &size) != 0) return base::ErrnoStatus(errno, "cannot get the size");
  return size;
}

BlockImage::BlockImage(Options options, bool is_device)
    : name_(std::move(options.name)),
      path_(std::move(options.path)),
      fd_(std::move(options.fd)),
      readonly_(options.readonly),
      direct_(options.direct),
      sparse_(options.sparse && !options.readonly),
      is_device_(is_device),
      logical_block_bytes_(options.logical_block_bytes) {}

std::string BlockImage::Name() const { return absl::StrCat(name_, ": ", path_); }

absl::StatusOr<BlockImage> BlockImage::Open(Options options) {
  const std::string name = absl::StrCat(options.name, ": ", options.path);
  const bool given = options.fd.valid();
  struct stat file;
  // Check the type before opening: opening a pipe would block, and opening a tape would move it.
  if ((given ? fstat(options.fd.get(), &file) : stat(options.path.c_str(), &file)) != 0) {
    const int error = errno;
    return OpenError(error, name, OpenAdvice(error, options.readonly, false, false));
  }
  if (const char* problem = KindProblem(file.st_mode); problem != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", problem));
  }
  const bool is_device = S_ISBLK(file.st_mode);
  if (!given) {
    const int flags = (options.readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY |
                      (options.direct ? O_DIRECT : 0) |
                      (is_device && !options.readonly ? O_EXCL : 0);
    options.fd.reset(open(options.path.c_str(), flags));
    if (!options.fd.valid()) {
      const int error = errno;
      return OpenError(error, name, OpenAdvice(error, options.readonly, options.direct, is_device));
    }
  } else {
    const int flags = fcntl(options.fd.get(), F_GETFL);
    if (!options.readonly && (flags & O_ACCMODE) != O_RDWR) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": the descriptor is not open for writing; set readonly"));
    }
    options.direct = (flags & O_DIRECT) != 0;
  }
  const uint32_t least_direct_alignment = options.least_direct_alignment;
  BlockImage image(std::move(options), is_device);
  // Take the lock before measuring: another process may change the size as long as it holds the
  // lock.
  RETURN_IF_ERROR(LockImage(image.fd(), image.readonly(), name));
  RETURN_IF_ERROR(image.MeasureBlocks(least_direct_alignment));
  const absl::StatusOr<uint64_t> measured = MeasureImage(image.fd());
  if (!measured.ok()) return base::Annotate(measured.status(), name);
  const uint64_t size = *measured;
  // Never drop the end silently: it may hold a copy of the partition table.
  if (size / image.logical_block_bytes_ * image.logical_block_bytes_ % image.io_alignment_ != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": its size, ", size, " bytes, is no multiple of the ", image.io_alignment_,
        " bytes that direct I/O takes here; set direct to false"));
  }
  if (image.SetSize(size) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": is empty (", size, " bytes); give it a size with: truncate -s 10G FILE"));
  }
  if (image.size_bytes_ != size) {
    // UNLIMITED: only at the start.
    LOG(Warning) << name << ": its last " << size - image.size_bytes_
                 << " bytes are left out: the size is no multiple of "
                 << image.logical_block_bytes_;
  }
  if (image.io_alignment_ > image.logical_block_bytes_) {
    // UNLIMITED: only at the start.
    LOG(Info) << name << ": direct I/O takes blocks of " << image.io_alignment_
              << " bytes here, the guest's have " << image.logical_block_bytes_
              << ": writes of parts of them are slow";
  }
  if (image.sparse_ && !is_device) image.sparse_ = image.CanPunchHoles();
  return image;
}

absl::Status BlockImage::MeasureBlocks(uint32_t least_direct_alignment) {
  if (is_device_) {
    int logical = 0;
    unsigned physical = 0;
    unsigned optimal = 0;
    if (ioctl(fd_.get(), BLKSSZGET, &logical) != 0) {
      return base::ErrnoStatus(errno, absl::StrCat(Name(), ": cannot get the block size"));
    }
    range_alignment_ = physical_block_bytes_ = static_cast<uint32_t>(logical);
    if (ioctl(fd_.get(), BLKPBSZGET, &physical) == 0) physical_block_bytes_ = physical;
    if (ioctl(fd_.get(), BLKIOOPT, &optimal) == 0) optimal_io_bytes_ = optimal;
  }
  if (direct_) {
    RETURN_IF_ERROR(MeasureDirectAlignment(std::max(range_alignment_, least_direct_alignment)));
    range_alignment_ = std::max(range_alignment_, io_alignment_);
  }
  const auto supported = [](uint32_t bytes, uint32_t most) {
    return std::has_single_bit(bytes) && bytes <= most;
  };
  if (!supported(range_alignment_, kMaxBlockBytes) || !supported(io_alignment_, kMaxBlockBytes) ||
      memory_alignment_ > kMaxMemoryAlignment) {
    return absl::InvalidArgumentError(
        absl::StrCat(Name(), ": blocks of ", std::max(range_alignment_, io_alignment_),
                     " bytes (memory aligned to ", memory_alignment_, ") are not supported"));
  }
  if (!std::has_single_bit(physical_block_bytes_)) physical_block_bytes_ = range_alignment_;
  physical_block_bytes_ = std::max({physical_block_bytes_, range_alignment_, logical_block_bytes_});
  return absl::OkStatus();
}

absl::Status BlockImage::MeasureDirectAlignment(uint32_t least) {
  io_alignment_ = least;
  struct statx info = {};
  if (statx(fd_.get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 &&
      (info.stx_mask & STATX_DIOALIGN) != 0) {
    if (info.stx_dio_offset_align == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          Name(),
          ": this file does not support O_DIRECT (is it encrypted or compressed?); set "
          "direct to false"));
    }
    io_alignment_ = std::max(io_alignment_, info.stx_dio_offset_align);
    memory_alignment_ = info.stx_dio_mem_align;
    return absl::OkStatus();
  }
  // The file system does not report the alignment, so try reads.
  void* memory = nullptr;
  if (posix_memalign(&memory, 4096, 8192) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat(Name(), ": out of memory"));
  }
  const std::unique_ptr<uint8_t, decltype(&free)> buffer(static_cast<uint8_t*>(memory), &free);
  if (!IsAlignedFor(fd_.get(), buffer.get(), io_alignment_)) io_alignment_ = 4096;
  memory_alignment_ = IsAlignedFor(fd_.get(), buffer.get() + 512, io_alignment_) ? 512 : 4096;
  return absl::OkStatus();
}

bool BlockImage::CanPunchHoles() const {
  // Punch behind the end, where there is no data to lose.
  return fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   static_cast<off_t>((size_bytes_ + 0xffff) & ~uint64_t{0xffff}), 65536) == 0;
}

uint64_t BlockImage::SetSize(uint64_t bytes) {
  const uint64_t block = std::max(logical_block_bytes_, io_alignment_);
  size_bytes_ = bytes / block * block;
  return size_bytes_;
}

}  // namespace virtio
