#include "base/guest_memory.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace base {

namespace {

constexpr size_t kHugePageBytes = 2 << 20;
constexpr uint64_t kNowhere = UINT64_MAX;  // stands for the address of a window that has none

// A struct, because a type loses its attributes when it is a template argument.
template <typename Word>
struct __attribute__((packed, may_alias)) Unaligned {
  Word value;
};

template <typename Word>
__attribute__((always_inline, no_sanitize("thread"))) inline void CopyWord(void* to,
                                                                           const void* from) {
  static_cast<volatile Unaligned<Word>*>(to)->value =
      static_cast<const volatile Unaligned<Word>*>(from)->value;
}

// Copies a machine word with one access (memcpy may read a byte twice, which would tear a ring
// index) and a descriptor with two. Other sizes are copied bytewise in any order.
__attribute__((always_inline, no_sanitize("thread"))) inline void Copy(void* to, const void* from,
                                                                       size_t bytes) {
  switch (bytes) {
    case 0:
      return;  // memcpy does not accept the null pointer of an empty buffer
    case 1:
      return CopyWord<uint8_t>(to, from);
    case 2:
      return CopyWord<uint16_t>(to, from);
    case 4:
      return CopyWord<uint32_t>(to, from);
    case 16:
      CopyWord<uint64_t>(static_cast<uint8_t*>(to) + 8, static_cast<const uint8_t*>(from) + 8);
      [[fallthrough]];
    case 8:
      return CopyWord<uint64_t>(to, from);
    default:
      break;
  }
#ifdef __SANITIZE_THREAD__
  // memcpy would not do: TSan intercepts it in spite of the attribute.
  for (size_t i = 0; i < bytes; ++i) {
    CopyWord<uint8_t>(static_cast<uint8_t*>(to) + i, static_cast<const uint8_t*>(from) + i);
  }
#else
  std::memcpy(to, from, bytes);
#endif
}

// Maps `bytes` of anonymous memory. A mapping of kHugePageBytes or more starts at a multiple of
// kHugePageBytes: KVM can map huge pages only if guest and host addresses agree modulo their size.
// Linux aligns such mappings by itself from 6.7. Returns MAP_FAILED with errno set.
void* MapAligned(size_t bytes, int flags) {
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  void* const first = mmap(nullptr, bytes, kProtection, flags, -1, 0);
  const bool aligned = reinterpret_cast<uintptr_t>(first) % kHugePageBytes == 0;
  if (first == MAP_FAILED || aligned || bytes < kHugePageBytes) return first;
  munmap(first, bytes);
  const size_t wide_bytes = bytes + kHugePageBytes;
  void* const wide = mmap(nullptr, wide_bytes, kProtection, flags, -1, 0);
  if (wide == MAP_FAILED) return wide;
  uint8_t* const start = static_cast<uint8_t*>(wide);
  const size_t before = -reinterpret_cast<uintptr_t>(start) % kHugePageBytes;
  if (before > 0) munmap(start, before);
  munmap(start + before + bytes, wide_bytes - before - bytes);
  return start + before;
}

// Returns `bytes` as text for a message.
std::string InMib(uint64_t bytes) { return absl::StrCat(bytes >> 20, " MiB of guest RAM"); }

// --- Backings ------------------------------------------------------------------------------------

// A kind of memory that guest RAM can be made of.
struct Backing {
  // Returns mmap's flags.
  int (*map_flags)(const GuestMemory::Options& options);
  // Fills a region with zeros and leaves it as if it had just been mapped, even if parts of it
  // were used.
  absl::Status (*zero)(uint8_t* host, uint64_t bytes);
};

constexpr int kPrivateFlags = MAP_PRIVATE | MAP_ANONYMOUS;

int AnonymousFlags(const GuestMemory::Options& /*options*/) {
  return kPrivateFlags | MAP_NORESERVE;
}

// Gives the pages back to the kernel: they reappear, as zeros, when they are touched. The advice
// that was given for the mapping stays in force.
absl::Status ZeroAnonymous(uint8_t* host, uint64_t bytes) {
  if (madvise(host, bytes, MADV_DONTNEED) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("memory: cannot give back ", InMib(bytes)));
}

int HugePageFlags(const GuestMemory::Options& options) {
  // Huge pages are reserved now: a lack of them is an error here, not a SIGBUS in the guest.
  const bool is_default = options.hugepage_size_bytes == 0;
  const int shift = is_default ? 0 : std::countr_zero(options.hugepage_size_bytes);
  return kPrivateFlags | MAP_HUGETLB | shift << MAP_HUGE_SHIFT;
}

// Overwrites the pages that are in use instead of giving them back. LINUX: a huge page that is
// given back loses its reservation (6.1), so another program could take it and the guest would die
// of SIGBUS.
absl::Status ZeroHugePages(uint8_t* host, uint64_t bytes) {
  constexpr uint64_t kPageBytes = 4096;
  constexpr uint64_t kStepBytes = 64 << 20;
  std::vector<unsigned char> in_use(kStepBytes / kPageBytes);
  for (uint64_t start = 0; start < bytes; start += kStepBytes) {
    const uint64_t step = std::min(kStepBytes, bytes - start);
    if (mincore(host + start, step, in_use.data()) != 0) {
      return ErrnoStatus(errno, absl::StrCat("memory.hugepages: cannot look at ", InMib(step)));
    }
    for (uint64_t offset = 0; offset < step; offset += kPageBytes) {
      if ((in_use[offset / kPageBytes] & 1) != 0) memset(host + start + offset, 0, kPageBytes);
    }
  }
  return absl::OkStatus();
}

constexpr Backing kAnonymous = {AnonymousFlags, ZeroAnonymous};
constexpr Backing kHugePages = {HugePageFlags, ZeroHugePages};

const Backing& BackingOf(const GuestMemory::Options& options) {
  return options.hugepages ? kHugePages : kAnonymous;
}

absl::Status Populate(uint8_t* host, uint64_t bytes) {
  if (madvise(host, bytes, MADV_POPULATE_WRITE) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("memory.prefault: cannot populate ", InMib(bytes)));
}

absl::Status MapError(int error, uint64_t bytes, bool hugepages) {
  const absl::Status status = ErrnoStatus(
      error, absl::StrCat(hugepages ? "memory.hugepages: cannot reserve " : "memory: cannot map ",
                          bytes >> 20, " MiB of guest RAM"));
  absl::string_view advice = "; lower memory.size, or raise the limit (ulimit -v, LimitAS=)";
  if (hugepages) advice = "; raise nr_hugepages of that size in /sys/kernel/mm/hugepages";
  if (hugepages && error == EINVAL)
    advice = "; this host has no pages of that size, see /sys/kernel/mm/hugepages";
  return absl::Status(status.code(), absl::StrCat(status.message(), advice));
}

}  // namespace

// The copies race with the guest by design. The result may be torn but is never unsafe, because
// every caller checks its copy. noinline keeps the compiler from merging or repeating the fetch.
__attribute__((noinline, no_sanitize("thread"))) void CopyFromGuest(void* to, const void* guest,
                                                                    size_t bytes) {
  Copy(to, guest, bytes);
  asm volatile("" ::: "memory");
}

__attribute__((noinline, no_sanitize("thread"))) void CopyToGuest(void* guest, const void* from,
                                                                  size_t bytes) {
  Copy(guest, from, bytes);
  asm volatile("" ::: "memory");
}

absl::StatusOr<std::unique_ptr<GuestMemory>> GuestMemory::Create(const Options& options,
                                                                 std::vector<Region> regions) {
  const int flags = BackingOf(options).map_flags(options);
  for (Region& region : regions) region.host = nullptr;
  auto memory = std::unique_ptr<GuestMemory>(new GuestMemory(options, std::move(regions)));
  uint64_t previous_end = 0;
  for (Region& region : memory->regions_) {
    CHECK(region.guest_start >= previous_end && region.guest_start % 4096 == 0);
    CHECK(region.size_bytes > 0 && region.size_bytes % 4096 == 0);
    previous_end = region.guest_start + region.size_bytes;
    void* host = MapAligned(region.size_bytes, flags);
    if (host == MAP_FAILED) return MapError(errno, region.size_bytes, options.hugepages);
    region.host = static_cast<uint8_t*>(host);
    // Advice is best effort: a kernel without the feature loses speed or dump size, not
    // correctness.
    madvise(host, region.size_bytes, MADV_DONTDUMP);
    madvise(host, region.size_bytes, MADV_DONTFORK);
    if (options.thp && !options.hugepages) madvise(host, region.size_bytes, MADV_HUGEPAGE);
    if (options.prefault) RETURN_IF_ERROR(Populate(region.host, region.size_bytes));
  }
  return memory;
}

GuestMemory::~GuestMemory() {
  for (const Region& region : regions_) {
    if (region.host != nullptr) munmap(region.host, region.size_bytes);
  }
}

uint64_t GuestMemory::total_bytes() const {
  uint64_t total = 0;
  for (const Region& region : regions_) total += region.size_bytes;
  return total;
}

bool GuestMemory::Read(uint64_t addr, std::span<uint8_t> to) const {
  const auto range = GuestRange::Create(addr, to.size());
  if (!range) return false;
  const auto iov = IoVec(*range);
  if (!iov) return false;
  CopyFromGuest(to.data(), iov->iov_base, to.size());
  return true;
}

bool GuestMemory::Write(uint64_t addr, std::span<const uint8_t> from) {
  const auto range = GuestRange::Create(addr, from.size());
  if (!range) return false;
  const auto iov = IoVec(*range);
  if (!iov) return false;
  CopyToGuest(iov->iov_base, from.data(), from.size());
  MarkWritten(*iov);
  return true;
}

void GuestMemory::AddWindow(const uint8_t* host, uint64_t bytes) {
  windows_.push_back(std::unique_ptr<Window>(new Window{host, bytes, {kNowhere}}));
}

void GuestMemory::RemoveWindow(const uint8_t* host) {
  std::erase_if(windows_, [host](const auto& window) { return window->host == host; });
}

void GuestMemory::MoveWindow(const uint8_t* host, std::optional<uint64_t> guest_start) {
  for (const auto& window : windows_) {
    if (window->host != host) continue;
    window->guest_start.store(guest_start.value_or(kNowhere), std::memory_order_relaxed);
  }
}

std::optional<iovec> GuestMemory::WindowIoVec(GuestRange range) const {
  for (const auto& window : windows_) {
    const uint64_t start = window->guest_start.load(std::memory_order_relaxed);
    if (start == kNowhere || range.start() < start) continue;
    const uint64_t offset = range.start() - start;
    if (offset > window->bytes || range.size() > window->bytes - offset) continue;
    // iovec has no const variant; the kernel is only asked to read from it.
    return iovec{const_cast<uint8_t*>(window->host) + offset, range.size()};
  }
  return std::nullopt;
}

absl::Status GuestMemory::Zero() {
  for (const Region& region : regions_) {
    RETURN_IF_ERROR(BackingOf(options_).zero(region.host, region.size_bytes));
    if (options_.prefault) RETURN_IF_ERROR(Populate(region.host, region.size_bytes));
  }
  return absl::OkStatus();
}

std::optional<uint64_t> GuestMemory::GuestAddressOf(const void* host) const {
  const auto* byte = static_cast<const uint8_t*>(host);
  for (const Region& region : regions_) {
    if (byte >= region.host && byte < region.host + region.size_bytes) {
      return region.guest_start + static_cast<uint64_t>(byte - region.host);
    }
  }
  return std::nullopt;
}

}  // namespace base
