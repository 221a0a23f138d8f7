// A split virtqueue, device side. [VIRTIO 1.2 §2.7]
#ifndef VIRTIO_QUEUE_SPLIT_QUEUE_H_
#define VIRTIO_QUEUE_SPLIT_QUEUE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/guest_memory.h"
#include "virtio/queue/chain.h"

namespace virtio {

inline constexpr uint16_t kMaxQueueSize = 32768;
// The longest chain that is served (what one readv takes, IOV_MAX), and also the largest number of
// requests in flight per queue. A longer chain breaks the queue. [VIRTIO 1.2 §2.7.4.1]
inline constexpr uint32_t kMaxChainSegments = 1024;

// The addresses that the driver has programmed for one queue.
struct QueueAddresses {
  uint16_t size = 0;              // power of two, 1..kMaxQueueSize
  uint64_t descriptor_table = 0;  // guest physical, 16-byte aligned
  uint64_t driver_area = 0;       // "avail", 2-byte aligned
  uint64_t device_area = 0;       // "used", 4-byte aligned
};

// Returns the bit of feature number `feature` in a set of features. [VIRTIO 1.2 §2.2]
constexpr uint64_t FeatureBit(unsigned feature) { return uint64_t{1} << feature; }

// The ring features that every split queue here supports. linux/virtio_ring.h has names for the
// numbers but is not C++. [VIRTIO 1.2 §6]
inline constexpr uint64_t kFeatureIndirectDescriptors = FeatureBit(28);
inline constexpr uint64_t kFeatureEventIndex = FeatureBit(29);
inline constexpr uint64_t kRingFeatures = kFeatureIndirectDescriptors | kFeatureEventIndex;

// The features of kRingFeatures that a driver has accepted.
struct RingFeatures {
  static RingFeatures Of(uint64_t accepted_features) {
    return {.event_idx = (accepted_features & kFeatureEventIndex) != 0,
            .indirect = (accepted_features & kFeatureIndirectDescriptors) != 0};
  }

  bool event_idx = false;
  bool indirect = false;
};

// Why a queue is broken. It is the driver's fault, so the device sets DEVICE_NEEDS_RESET.
enum class QueueError : uint8_t {
  kNone,
  kRingNotInRam,
  kRingMisaligned,
  kBadSize,
  kAvailIndexJump,  // the driver made more than `size` entries available
  kHeadOutOfRange,
  kHeadInFlight,
  kNextOutOfRange,
  kChainTooLong,       // a loop, or more than `size` descriptors
  kChainTooManyBytes,  // more than 2^32 - 1
  kBufferNotInRam,
  kReadableAfterWritable,
  kIndirectNotNegotiated,
  kIndirectNested,
  kIndirectWithNext,
  kIndirectBadLength,
  kIndirectNotInRam,
};
absl::string_view ToString(QueueError error);

// The device's half of one queue. The device's positions in the rings are private: the device reads
// nothing back from memory that the guest can change. All calls are on one thread, the queue's
// loop; the driver runs concurrently.
class SplitQueue {
 public:
  // Checks the addresses and makes a queue; on failure returns nullptr and sets `error`. Each ring
  // must lie completely in one RAM region, together with its event field, even without EVENT_IDX.
  // [VIRTIO 1.2 §2.7]
  static std::unique_ptr<SplitQueue> Create(base::GuestMemory& memory,
                                            const QueueAddresses& addresses, RingFeatures features,
                                            QueueError& error);

  enum class PopResult { kEmpty, kChain, kBroken };
  // Takes the next available chain into `chain`. After the first kBroken every Pop returns kBroken,
  // and error() says why. Skips descriptors without bytes, whatever address they have.
  PopResult Pop(Chain& chain);
  // Gives back the newest chain that Pop took and that was neither given back nor used, as if the
  // chain had not been popped. A device that popped several buffers for one packet gives back those
  // that the packet did not need. The device must not have written to the chain. [VIRTIO 1.2
  // §5.1.6.4]
  void Unpop(const Chain& chain);
  // True if Pop would not return kEmpty.
  bool HasAvailable() const;

  // Puts `chain` into the used ring. `written_bytes` is the length of the prefix of the writable
  // bytes that the device wrote. The driver sees the chain after the next Publish. [VIRTIO 1.2
  // §2.7.8.2]
  void PushUsed(const Chain& chain, uint32_t written_bytes);
  // Makes all pushed chains visible to the driver. Returns true if the driver wants an interrupt.
  // [VIRTIO 1.2 §2.7.7.2]
  bool Publish();

  // Asks the driver not to kick. The driver may ignore this. [VIRTIO 1.2 §2.7.10]
  void SuppressKicks();
  // Asks the driver to kick again. Returns true if chains became available in the meantime: the
  // caller must pop them, since the driver may not kick for them.
  bool EnableKicks();

  QueueError error() const { return error_; }
  uint16_t size() const { return size_; }
  uint16_t in_flight() const { return in_flight_count_; }
  const QueueAddresses& addresses() const { return addresses_; }

  // The positions in the rings, for snapshots. While nothing is in flight they describe the whole
  // state of the ring.
  struct Positions {
    uint16_t next_avail = 0;
    uint16_t next_used = 0;
  };
  Positions positions() const { return {next_avail_, next_used_}; }
  void set_positions(Positions positions);

 private:
  struct Descriptor {
    base::Le64 addr;
    base::Le32 len;
    base::Le16 flags;
    base::Le16 next;
  };
  struct UsedElement {
    base::Le32 id;
    base::Le32 len;
  };

  SplitQueue(base::GuestMemory& memory, const QueueAddresses& addresses, RingFeatures features);
  PopResult Break(QueueError error);
  QueueError Walk(uint16_t head, Chain& chain) const;
  QueueError Append(const Descriptor& descriptor, Chain& chain, uint64_t& total_bytes) const;

  base::GuestMemory& memory_;
  const QueueAddresses addresses_;
  const RingFeatures features_;
  const uint16_t size_;
  base::GuestArray<Descriptor> descriptors_;
  base::GuestArray<uint16_t> avail_;        // flags, idx, ring[size], used_event
  base::GuestArray<uint16_t> used_header_;  // flags, idx
  base::GuestArray<UsedElement> used_ring_;
  base::GuestArray<uint16_t> avail_event_;
  iovec used_area_ = {};  // used_header_, used_ring_ and avail_event_
  uint16_t next_avail_ = 0;
  uint16_t seen_avail_ = 0;      // avail.idx when it was last read
  uint16_t next_used_ = 0;       // includes chains that are pushed but not published
  uint16_t published_used_ = 0;  // what the driver can see
  uint16_t in_flight_count_ = 0;
  std::vector<bool> in_flight_;  // by head
  bool kicks_enabled_ = true;    // what the driver has been told; before that it may kick
  QueueError error_ = QueueError::kNone;
};

}  // namespace virtio

#endif  // VIRTIO_QUEUE_SPLIT_QUEUE_H_
