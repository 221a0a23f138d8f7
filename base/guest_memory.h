// Guest RAM as the host sees it. Only this file (with its .cc) turns guest physical addresses into
// host pointers. Everything above works on copies, on GuestArray, or on iovecs made here.
//
// Guest RAM is shared with running vCPUs: every access may race with the guest. Small objects are
// read once with volatile loads, bulk copies use CopyFromGuest/CopyToGuest, ring indices use
// std::atomic_ref. The region table does not change while the VM lives. All functions: any thread.
#ifndef BASE_GUEST_MEMORY_H_
#define BASE_GUEST_MEMORY_H_

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/endian.h"

namespace base {

// A half-open range [start, start + size) of guest physical addresses that does not wrap around
// 2^64.
class GuestRange {
 public:
  // Returns nullopt if start + size overflows. Size 0 is allowed.
  static std::optional<GuestRange> Create(uint64_t start, uint64_t size) {
    uint64_t end;
    if (__builtin_add_overflow(start, size, &end)) return std::nullopt;
    return GuestRange(start, size);
  }
  uint64_t start() const { return start_; }
  uint64_t size() const { return size_; }
  uint64_t end() const { return start_ + size_; }

 private:
  GuestRange(uint64_t start, uint64_t size) : start_(start), size_(size) {}
  uint64_t start_;
  uint64_t size_;
};

// Copy between host buffers and memory that a guest may be changing. The functions are not inline,
// so the compiler cannot fetch the source twice.
void CopyFromGuest(void* to, const void* guest, size_t bytes);
void CopyToGuest(void* guest, const void* from, size_t bytes);

// Orders all earlier accesses before all later ones, including stores before loads. A ring needs
// this between publishing an index and reading what the other side asked for. (A builtin, because
// GCC refuses std::atomic_thread_fence under TSan.)
inline void FullFence() { __sync_synchronize(); }

// A validated array of `count` wire objects in guest RAM, such as a ring of a virtqueue. The bounds
// are checked once, when the array is made. The caller must keep each index in [0, count).
template <typename T>
class GuestArray {
 public:
  GuestArray() = default;

  uint32_t count() const { return count_; }
  bool valid() const { return base_ != nullptr; }
  // Reads element `i` once and returns the copy. `i` must be in [0, count).
  T Load(uint32_t i) const requires WireType<T> {
    T value;
    CopyFromGuest(&value, base_ + size_t{i} * sizeof(T), sizeof(T));
    return value;
  }
  void Store(uint32_t i, const T& value) const requires WireType<T> {
    CopyToGuest(base_ + size_t{i} * sizeof(T), &value, sizeof(T));
  }
  // Atomic access for ring indices and flags; T must be uint16_t or uint32_t and aligned.
  T LoadAtomic(uint32_t i, std::memory_order order) const {
    return std::atomic_ref<T>(reinterpret_cast<T*>(base_)[i]).load(order);
  }
  void StoreAtomic(uint32_t i, T value, std::memory_order order) const {
    std::atomic_ref<T>(reinterpret_cast<T*>(base_)[i]).store(value, order);
  }

 private:
  friend class GuestMemory;
  GuestArray(uint8_t* base, uint32_t count) : base_(base), count_(count) {}
  uint8_t* base_ = nullptr;
  uint32_t count_ = 0;
};

class GuestMemory {
 public:
  struct Options {
    bool thp = true;                   // MADV_HUGEPAGE
    bool prefault = false;             // MADV_POPULATE_WRITE
    bool hugepages = false;            // MAP_HUGETLB
    uint64_t hugepage_size_bytes = 0;  // 0: the system's default size
  };
  struct Region {
    uint64_t guest_start;
    uint64_t size_bytes;
    uint8_t* host;  // set by Create
  };

  // Maps private anonymous memory for each region (`host` is ignored). Regions must be page
  // aligned, ascending and disjoint. The pages are left out of core dumps, are not inherited by
  // fork, and are allocated when touched. Errors: ResourceExhausted/Internal with size and errno.
  static absl::StatusOr<std::unique_ptr<GuestMemory>> Create(const Options& options,
                                                             std::vector<Region> regions);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  std::span<const Region> regions() const { return regions_; }
  uint64_t total_bytes() const;

  // Returns true if `range` lies wholly in RAM. An empty range counts as contained if its start is
  // in RAM or at the end of RAM.
  bool Contains(GuestRange range) const { return Find(range) != nullptr; }

  // Reads one object by value. Returns nullopt if the object is not wholly in RAM.
  template <WireType T>
  std::optional<T> Load(uint64_t addr) const {
    T value;
    if (!Read(addr, std::span(reinterpret_cast<uint8_t*>(&value), sizeof(T)))) return std::nullopt;
    return value;
  }
  template <WireType T>
  bool Store(uint64_t addr, const T& value) {
    return Write(addr, std::span(reinterpret_cast<const uint8_t*>(&value), sizeof(T)));
  }
  // Copy out of or into guest RAM. Return false and copy nothing if the range is not wholly in RAM.
  bool Read(uint64_t addr, std::span<uint8_t> to) const;
  bool Write(uint64_t addr, std::span<const uint8_t> from);

  // Returns the host view of `range` as one iovec for the kernel to read or write (readv,
  // io_uring), or nullopt if the range is not wholly in one RAM region. The iovec is valid as long
  // as this object.
  // GUEST: the bytes may change at any time, so never parse through the iovec.
  std::optional<iovec> IoVec(GuestRange range) const {
    const Region* region = Find(range);
    if (region == nullptr) return std::nullopt;
    return iovec{region->host + (range.start() - region->guest_start), range.size()};
  }

  // Adds a window: `bytes` of host memory that are not RAM and that the host does not write to
  // through this object, for example what a device shows its driver in a BAR. The window has no
  // guest address yet. The memory must stay until RemoveWindow. Call both while no other thread
  // uses this object.
  void AddWindow(const uint8_t* host, uint64_t bytes);
  void RemoveWindow(const uint8_t* host);
  bool has_windows() const { return !windows_.empty(); }
  // Says that the window is now at `guest_start`, or at no guest address. Any thread.
  void MoveWindow(const uint8_t* host, std::optional<uint64_t> guest_start);
  // Like IoVec, but for memory in a window, and only for the kernel to read from. The host may have
  // taken the memory back: system calls then fail with EFAULT, and no other code may touch the
  // memory.
  std::optional<iovec> WindowIoVec(GuestRange range) const;

  // Returns a view of `count` objects at `addr`, or nullopt if they are not wholly in RAM or `addr`
  // is not a multiple of alignof(T).
  template <typename T>
  std::optional<GuestArray<T>> Array(uint64_t addr, uint32_t count) const {
    const auto range = GuestRange::Create(addr, uint64_t{count} * sizeof(T));
    if (!range || addr % (alignof(T)) != 0) return std::nullopt;
    const auto iov = IoVec(*range);
    if (!iov) return std::nullopt;
    return GuestArray<T>(static_cast<uint8_t*>(iov->iov_base), count);
  }

  // Tells dirty tracking that the host wrote to `iov` (KVM's dirty log does not see writes by
  // io_uring). Every device calls it for every write. It has no effect until migration exists.
  void MarkWritten(const iovec& /*iov*/) {}

  // Brings all RAM back to the state after Create(): zeros, and populated or reserved as the
  // options say. Call it only while no vCPU runs and no I/O is in flight. Errors:
  // ResourceExhausted/Internal with size and errno; the contents of the RAM are then undefined, and
  // no guest may see them.
  absl::Status Zero();

  // Returns the guest address behind host address `host`, if it is in RAM (for SIGBUS reports).
  std::optional<uint64_t> GuestAddressOf(const void* host) const;

 private:
  GuestMemory(const Options& options, std::vector<Region> regions)
      : options_(options), regions_(std::move(regions)) {}
  // Inline, like IoVec, because it runs for each descriptor of each request.
  const Region* Find(GuestRange range) const {
    for (const Region& region : regions_) {
      if (range.start() >= region.guest_start &&
          range.end() <= region.guest_start + region.size_bytes) {
        return &region;
      }
    }
    return nullptr;
  }

  struct Window {
    const uint8_t* host;
    uint64_t bytes;
    std::atomic<uint64_t> guest_start;
  };

  Options options_;
  std::vector<Region> regions_;
  std::vector<std::unique_ptr<Window>> windows_;
};

}  // namespace base

#endif  // BASE_GUEST_MEMORY_H_
