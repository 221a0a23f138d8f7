#include "virtio/fs/dax_window.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/limited_log.h"
#include "base/log.h"
#include "base/status.h"

namespace virtio {
namespace {

constexpr uint64_t kPageBytes = 4096;
// A readable mapping of zeroes costs no memory: all its pages are the host's zero page. With
// PROT_NONE instead, a guest could end its VM by reading the window.
constexpr int kZeroes = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

}  // namespace

absl::StatusOr<std::unique_ptr<DaxWindow>> DaxWindow::Create(std::string id, uint64_t size_bytes,
                                                             base::EventLoop& loop,
                                                             base::GuestMemory& memory) {
  CHECK(size_bytes > 0 && size_bytes % kRangeBytes == 0);
  // One range more than asked for, so that the window can be aligned to a range. KVM can map huge
  // pages of a file only in an aligned window.
  const uint64_t wide_bytes = size_bytes + kRangeBytes;
  void* const wide = mmap(nullptr, wide_bytes, PROT_READ, kZeroes, -1, 0);
  if (wide == MAP_FAILED) {
    return base::ErrnoStatus(errno, absl::StrCat("dax_window: cannot reserve ", size_bytes >> 20,
                                                 " MiB of address space; make it smaller"));
  }
  uint8_t* const start = static_cast<uint8_t*>(wide);
  const uint64_t before = -reinterpret_cast<uintptr_t>(start) % kRangeBytes;
  if (before > 0) munmap(start, before);
  munmap(start + before + size_bytes, kRangeBytes - before);
  auto window =
      std::unique_ptr<DaxWindow>(new DaxWindow(std::move(id), start + before, size_bytes, memory));
  ASSIGN_OR_RETURN(window->watch_,
                   DaxWatch::Create(window->id_, loop, [window = window.get()](int watch) {
                     window->OnFileChanged(watch);
                   }));
  return window;
}

DaxWindow::DaxWindow(std::string id, uint8_t* host, uint64_t size_bytes, base::GuestMemory& memory)
    : id_(std::move(id)), host_(host), memory_(memory), ranges_(size_bytes / kRangeBytes) {
  memory_.AddWindow(host_, size_bytes);
}

DaxWindow::~DaxWindow() {
  memory_.RemoveWindow(host_);
  munmap(host_, size_bytes());
}

bool DaxWindow::IsRange(uint64_t window_offset, uint64_t bytes) const {
  return bytes > 0 && bytes % kRangeBytes == 0 && window_offset % kRangeBytes == 0 &&
         window_offset < size_bytes() && bytes <= size_bytes() - window_offset;
}

HostError DaxWindow::Map(int file, uint64_t file_offset, uint64_t window_offset, uint64_t bytes) {
  if (!IsRange(window_offset, bytes) || file_offset % kRangeBytes != 0) return EINVAL;
  // Begin to watch before looking at the size: then no truncation after the look goes unnoticed.
  const int watch = watch_->Add(file);
  const HostError error = MapWatched(file, watch, file_offset, window_offset, bytes);
  watch_->Remove(watch);  // each mapped range has added the file once more
  return error;
}

HostError DaxWindow::MapWatched(int file, int watch, uint64_t file_offset, uint64_t window_offset,
                                uint64_t bytes) {
  struct stat status;
  if (fstat(file, &status) != 0) return HostError::Last();
  if (!S_ISREG(status.st_mode)) return EINVAL;
  const auto size = static_cast<uint64_t>(status.st_size);
  if (file_offset >= size) return EINVAL;
  // Pages behind the file's last page cannot be read, so the mapping ends with that page.
  const uint64_t rest = (size - file_offset + kPageBytes - 1) / kPageBytes * kPageBytes;
  const uint64_t file_bytes = std::min(bytes, rest);
  if (const HostError error = Unmap(window_offset, bytes); error != 0) return error;
  void* const host = host_ + window_offset;
  if (mmap(host, file_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, file,
           static_cast<off_t>(file_offset)) != host) {
    const HostError error = HostError::Last();
    // The failed mmap may have removed the mapping of zeroes.
    if (!ShowZeroes(window_offset, bytes)) {
      LOG_LIMITED(Error, 10, id_) << id_ << ": dax_window: lost a range of zeroes";
    }
    return error;
  }
  for (uint64_t at = 0; at < bytes; at += kRangeBytes) {
    Range& range = ranges_[(window_offset + at) >> kRangeShift];
    range.mapped = true;
    range.file_bytes =
        static_cast<uint32_t>(std::min(kRangeBytes, file_bytes - std::min(file_bytes, at)));
    range.watch = watch;
    watch_->AddAgain(watch);
    ++mapped_ranges_;
  }
  return 0;
}

HostError DaxWindow::Unmap(uint64_t window_offset, uint64_t bytes) {
  if (!IsRange(window_offset, bytes)) return EINVAL;
  // GUEST: a guest may ask again and again to unmap what is not mapped; that costs no system call.
  const auto first = ranges_.begin() + static_cast<ptrdiff_t>(window_offset >> kRangeShift);
  const auto end = first + static_cast<ptrdiff_t>(bytes >> kRangeShift);
  if (std::none_of(first, end, [](const Range& range) { return range.mapped; })) return 0;
  if (!ShowZeroes(window_offset, bytes)) return ENOMEM;
  for (auto range = first; range != end; ++range) Forget(*range);
  return 0;
}

void DaxWindow::UnmapAll() {
  if (Unmap(0, size_bytes()) != 0) {
    LOG_LIMITED(Error, 10, id_) << id_ << ": dax_window: cannot give files back: no memory";
  }
}

void DaxWindow::Forget(Range& range) {
  if (!range.mapped) return;
  watch_->Remove(range.watch);
  range = {};
  --mapped_ranges_;
}

void DaxWindow::OnFileChanged(int watch) {
  for (size_t i = 0; i < ranges_.size(); ++i) {
    Range& range = ranges_[i];
    if (range.watch != watch || range.file_bytes == 0) continue;
    const uint64_t start = i << kRangeShift;
    const uint64_t last_page = start + (range.file_bytes - 1) / kPageBytes * kPageBytes;
    // Ask the kernel for the page: reading the page would be SIGBUS if it is gone.
    if (madvise(host_ + last_page, kPageBytes, MADV_POPULATE_READ) == 0) continue;
    ++truncated_ranges_;
    LOG_LIMITED(Error, 10, id_) << id_ << ": a file of a share in which nothing may change was "
                                << "truncated on the host; the guest, which has it mapped, reads "
                                << "zeroes there";
    if (!ShowZeroes(start, kRangeBytes)) continue;
    Forget(range);
  }
}

bool DaxWindow::ShowZeroes(uint64_t window_offset, uint64_t bytes) {
  void* const at = host_ + window_offset;
  // MAP_FIXED replaces the mapping in one step: a guest that reads meanwhile sees the file or
  // zeroes.
  return mmap(at, bytes, PROT_READ, kZeroes | MAP_FIXED, -1, 0) == at;
}

}  // namespace virtio
