#include "virtio/queue/split_queue.h"

#define VIRTIO_RING_NO_LEGACY  // the legacy part is not C++
#include <linux/virtio_ring.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <optional>
#include <utility>

#include "base/log.h"

namespace virtio {
namespace {

constexpr uint16_t kFlagsIndex = 0;  // in struct vring_avail and vring_used, as uint16_t[]
constexpr uint16_t kIdxIndex = 1;
constexpr uint16_t kRingIndex = 2;

constexpr uint64_t AvailBytes(uint16_t size) { return 6 + 2 * uint64_t{size}; }
constexpr uint64_t UsedBytes(uint16_t size) { return 6 + 8 * uint64_t{size}; }

// True if moving an index from `before` to `after` passed `event`, all modulo 2^16.
// [VIRTIO 1.2 §2.7.7.2]
constexpr bool Passed(uint16_t event, uint16_t after, uint16_t before) {
  return static_cast<uint16_t>(after - event - 1) < static_cast<uint16_t>(after - before);
}

}  // namespace

absl::string_view ToString(QueueError error) {
  switch (error) {
    case QueueError::kNone:
      return "no error";
    case QueueError::kRingNotInRam:
      return "a ring is not in RAM";
    case QueueError::kRingMisaligned:
      return "a ring is misaligned";
    case QueueError::kBadSize:
      return "the size is not a power of two up to 32768";
    case QueueError::kAvailIndexJump:
      return "more chains made available than the queue holds";
    case QueueError::kHeadOutOfRange:
      return "a head is out of range";
    case QueueError::kHeadInFlight:
      return "a head was made available while in use";
    case QueueError::kNextOutOfRange:
      return "a next field is out of range";
    case QueueError::kChainTooLong:
      return "a chain loops or is too long";
    case QueueError::kChainTooManyBytes:
      return "a chain has more than 2^32 - 1 bytes";
    case QueueError::kBufferNotInRam:
      return "a buffer is not in RAM";
    case QueueError::kReadableAfterWritable:
      return "a readable buffer follows a writable one";
    case QueueError::kIndirectNotNegotiated:
      return "an indirect descriptor without the feature";
    case QueueError::kIndirectNested:
      return "an indirect descriptor in an indirect table";
    case QueueError::kIndirectWithNext:
      return "an indirect descriptor with a next one";
    case QueueError::kIndirectBadLength:
      return "an indirect table whose length is no multiple of 16";
    case QueueError::kIndirectNotInRam:
      return "an indirect table is not in RAM";
  }
  return "unknown error";
}

SplitQueue::SplitQueue(base::GuestMemory& memory, const QueueAddresses& addresses,
                       RingFeatures features)
    : memory_(memory),
      addresses_(addresses),
      features_(features),
      size_(addresses.size),
      in_flight_(addresses.size) {}

std::unique_ptr<SplitQueue> SplitQueue::Create(base::GuestMemory& memory,
                                               const QueueAddresses& addresses,
                                               RingFeatures features, QueueError& error) {
  static_assert(sizeof(Descriptor) == sizeof(vring_desc));
  static_assert(sizeof(UsedElement) == sizeof(vring_used_elem));
  static_assert(offsetof(vring_used, ring) == 4 && offsetof(vring_avail, ring) == 4);
  const uint16_t size = addresses.size;
  if (!std::has_single_bit(size) || size > kMaxQueueSize) {
    error = QueueError::kBadSize;
    return nullptr;
  }
  if (addresses.descriptor_table % 16 != 0 || addresses.driver_area % 2 != 0 ||
      addresses.device_area % 4 != 0) {
    error = QueueError::kRingMisaligned;
    return nullptr;
  }
  // Check the whole used area first, so that the offsets into it below cannot wrap.
  const auto used_range = base::GuestRange::Create(addresses.device_area, UsedBytes(size));
  const auto used_area = used_range ? memory.IoVec(*used_range) : std::nullopt;
  const auto descriptors = memory.Array<Descriptor>(addresses.descriptor_table, size);
  const auto avail =
      memory.Array<uint16_t>(addresses.driver_area, static_cast<uint32_t>(AvailBytes(size) / 2));
  if (!used_area || !descriptors || !avail) {
    error = QueueError::kRingNotInRam;
    return nullptr;
  }
  auto queue = std::unique_ptr<SplitQueue>(new SplitQueue(memory, addresses, features));
  queue->descriptors_ = *descriptors;
  queue->avail_ = *avail;
  queue->used_area_ = *used_area;
  const uint64_t used = addresses.device_area;
  queue->used_header_ = *memory.Array<uint16_t>(used, 2);
  queue->used_ring_ = *memory.Array<UsedElement>(used + 4, size);
  queue->avail_event_ = *memory.Array<uint16_t>(used + 4 + 8 * uint64_t{size}, 1);
  error = QueueError::kNone;
  return queue;
}

SplitQueue::PopResult SplitQueue::Break(QueueError error) {
  error_ = error;
  return PopResult::kBroken;
}

bool SplitQueue::HasAvailable() const {
  return error_ != QueueError::kNone || seen_avail_ != next_avail_ ||
         avail_.LoadAtomic(kIdxIndex, std::memory_order_acquire) != next_avail_;
}

SplitQueue::PopResult SplitQueue::Pop(Chain& chain) {
  if (error_ != QueueError::kNone) return PopResult::kBroken;
  // Read avail.idx only once per batch: the driver is about to write to the same cache line.
  if (seen_avail_ == next_avail_) {
    // ORDERING: acquire pairs with the driver's barrier before its store of avail.idx. Without it
    // the ring entries and descriptors that belong to the new index might not be visible here.
    // [VIRTIO 1.2 §2.7.13.3.1]
    const uint16_t index = avail_.LoadAtomic(kIdxIndex, std::memory_order_acquire);
    const auto available = static_cast<uint16_t>(index - next_avail_);
    if (available == 0) return PopResult::kEmpty;
    if (available > size_) return Break(QueueError::kAvailIndexJump);
    seen_avail_ = index;
  }
  // GUEST: fetched once. The position is reduced modulo size, so it is always inside the ring.
  const uint16_t head =
      avail_.LoadAtomic(kRingIndex + next_avail_ % size_, std::memory_order_relaxed);
  if (head >= size_) return Break(QueueError::kHeadOutOfRange);
  if (in_flight_[head]) return Break(QueueError::kHeadInFlight);
  if (const QueueError error = Walk(head, chain); error != QueueError::kNone) return Break(error);
  in_flight_[head] = true;
  ++in_flight_count_;
  ++next_avail_;
  return PopResult::kChain;
}

void SplitQueue::Unpop(const Chain& chain) {
  CHECK(in_flight_[chain.head()]);
  in_flight_[chain.head()] = false;
  --in_flight_count_;
  --next_avail_;
}

inline QueueError SplitQueue::Append(const Descriptor& descriptor, Chain& chain,
                                     uint64_t& total_bytes) const {
  const bool writable = (descriptor.flags.value() & VRING_DESC_F_WRITE) != 0;
  if (!writable && chain.has_writable_) return QueueError::kReadableAfterWritable;
  chain.has_writable_ |= writable;
  const uint32_t bytes = descriptor.len.value();
  if (bytes == 0) return QueueError::kNone;
  total_bytes += bytes;
  if (total_bytes > UINT32_MAX) return QueueError::kChainTooManyBytes;
  const auto range = base::GuestRange::Create(descriptor.addr.value(), bytes);
  if (!range) return QueueError::kBufferNotInRam;
  auto iov = memory_.IoVec(*range);
  // A window is read-only. The kernel can read data from it just as from RAM.
  const bool in_window = !iov && !writable && (iov = memory_.WindowIoVec(*range));
  if (!iov) return QueueError::kBufferNotInRam;
  return chain.Append(*iov, writable, in_window) ? QueueError::kNone : QueueError::kChainTooLong;
}

QueueError SplitQueue::Walk(uint16_t head, Chain& chain) const {
  chain.Reset(head);
  base::GuestArray<Descriptor> table = descriptors_;
  bool indirect = false;
  uint32_t index = head;
  uint64_t total_bytes = 0;
  // A chain has at most size descriptors, so this bound also ends a loop. [VIRTIO 1.2 §2.7.5.3.1]
  // The descriptor that refers to an indirect table is not part of the buffer and not counted.
  for (uint32_t seen = 0; seen < size_;) {
    // GUEST: fetched once, by value.
    const Descriptor descriptor = table.Load(index);
    ++chain.descriptors_;
    const uint16_t flags = descriptor.flags.value();
    if ((flags & VRING_DESC_F_INDIRECT) != 0) {
      if (!features_.indirect) return QueueError::kIndirectNotNegotiated;
      if (indirect) return QueueError::kIndirectNested;
      if ((flags & VRING_DESC_F_NEXT) != 0) return QueueError::kIndirectWithNext;
      // VRING_DESC_F_WRITE is ignored here. [VIRTIO 1.2 §2.7.5.3.2]
      const uint32_t bytes = descriptor.len.value();
      if (bytes == 0 || bytes % sizeof(Descriptor) != 0) return QueueError::kIndirectBadLength;
      const auto indirect_table =
          memory_.Array<Descriptor>(descriptor.addr.value(), bytes / sizeof(Descriptor));
      if (!indirect_table) return QueueError::kIndirectNotInRam;
      table = *indirect_table;
      indirect = true;
      index = 0;
      continue;
    }
    if (const QueueError error = Append(descriptor, chain, total_bytes);
        error != QueueError::kNone) {
      return error;
    }
    if ((flags & VRING_DESC_F_NEXT) == 0) return QueueError::kNone;
    index = descriptor.next.value();
    if (index >= table.count()) return QueueError::kNextOutOfRange;
    ++seen;
  }
  return QueueError::kChainTooLong;
}

void SplitQueue::PushUsed(const Chain& chain, uint32_t written_bytes) {
  const uint16_t head = chain.head();
  used_ring_.Store(next_used_ % size_,
                   UsedElement{head, std::min(written_bytes, chain.original_writable_bytes())});
  ++next_used_;
  if (in_flight_[head]) --in_flight_count_;
  in_flight_[head] = false;
}

bool SplitQueue::Publish() {
  if (next_used_ == published_used_) return false;
  const uint16_t before = std::exchange(published_used_, next_used_);
  // ORDERING: release pairs with the driver's barrier after its load of used.idx. Without it the
  // driver might not see the used elements and what the device wrote to the buffers. [VIRTIO 1.2
  // §2.7.8.2]
  used_header_.StoreAtomic(kIdxIndex, next_used_, std::memory_order_release);
  memory_.MarkWritten(used_area_);
  // ORDERING: the load of used_event or flags must not happen before the store of used.idx; the
  // fence pairs with the driver's barrier between its store of used_event (flags) and its second
  // check of used.idx. Without it both sides can miss each other: the device sends no interrupt,
  // and the driver waits for one.
  base::FullFence();
  if (features_.event_idx) {
    const uint16_t used_event = avail_.LoadAtomic(kRingIndex + size_, std::memory_order_relaxed);
    return Passed(used_event, next_used_, before);
  }
  return (avail_.LoadAtomic(kFlagsIndex, std::memory_order_relaxed) & VRING_AVAIL_F_NO_INTERRUPT) ==
         0;
}

void SplitQueue::SuppressKicks() {
  if (!std::exchange(kicks_enabled_, false)) return;
  if (features_.event_idx) {
    // flags stays 0. The index just before next_avail_ is passed again only after 2^16 more chains;
    // the extra kick at that time does no harm. [VIRTIO 1.2 §2.7.10.2]
    avail_event_.StoreAtomic(0, static_cast<uint16_t>(next_avail_ - 1), std::memory_order_relaxed);
  } else {
    used_header_.StoreAtomic(kFlagsIndex, VRING_USED_F_NO_NOTIFY, std::memory_order_relaxed);
  }
  memory_.MarkWritten(used_area_);
}

bool SplitQueue::EnableKicks() {
  kicks_enabled_ = true;
  if (features_.event_idx) {
    avail_event_.StoreAtomic(0, next_avail_, std::memory_order_relaxed);
  } else {
    used_header_.StoreAtomic(kFlagsIndex, 0, std::memory_order_relaxed);
  }
  memory_.MarkWritten(used_area_);
  // ORDERING: the load of avail.idx must not happen before the store of avail_event (flags); the
  // fence pairs with the driver's barrier between its store of avail.idx and its load of
  // avail_event (flags). Without it the driver could make a chain available without a kick, and the
  // device would not see the chain here.
  base::FullFence();
  return HasAvailable();
}

void SplitQueue::set_positions(Positions positions) {
  next_avail_ = positions.next_avail;
  seen_avail_ = positions.next_avail;
  next_used_ = positions.next_used;
  published_used_ = positions.next_used;
}

}  // namespace virtio
