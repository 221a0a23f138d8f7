// How owners of host files look to a guest.
#ifndef VIRTIO_HOST_TREE_OWNER_MAP_H_
#define VIRTIO_HOST_TREE_OWNER_MAP_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace virtio {

// Ids [host, host + count) of the host are [guest, guest + count) of the guest.
struct OwnerRange {
  uint32_t guest = 0;
  uint32_t host = 0;
  uint32_t count = 1;
};

// Maps user or group ids. Without ranges every id is itself.
class OwnerMap {
 public:
  static constexpr uint32_t kNobody = 65534;  // what the guest sees for ids outside all ranges

  OwnerMap() = default;
  explicit OwnerMap(std::vector<OwnerRange> ranges) : ranges_(std::move(ranges)) {}

  uint32_t ToGuest(uint32_t host_id) const {
    if (ranges_.empty()) return host_id;
    for (const OwnerRange& range : ranges_) {
      if (host_id >= range.host && host_id - range.host < range.count) {
        return range.guest + (host_id - range.host);
      }
    }
    return kNobody;
  }

  // True if the guest has an id of its own for this owner.
  bool Has(uint32_t host_id) const {
    return ranges_.empty() || ToGuest(host_id) != kNobody || ToHost(kNobody) == host_id;
  }

  // Returns nullopt if the host has no id for `guest_id`.
  std::optional<uint32_t> ToHost(uint32_t guest_id) const {
    if (ranges_.empty()) return guest_id;
    for (const OwnerRange& range : ranges_) {
      if (guest_id >= range.guest && guest_id - range.guest < range.count) {
        return range.host + (guest_id - range.guest);
      }
    }
    return std::nullopt;
  }

  const std::vector<OwnerRange>& ranges() const { return ranges_; }

 private:
  std::vector<OwnerRange> ranges_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_OWNER_MAP_H_
