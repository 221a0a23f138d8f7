#include "virtio/net/net_header.h"

#include <linux/if_ether.h>

#include <algorithm>

#include "virtio/queue/split_queue.h"

namespace virtio {
namespace {

// The feature that allows a type of segmentation, in each direction.
struct GsoType {
  uint8_t type;
  uint64_t transmit;
  uint64_t receive;
};
constexpr GsoType kGsoTypes[] = {
    {VIRTIO_NET_HDR_GSO_TCPV4, FeatureBit(VIRTIO_NET_F_HOST_TSO4),
     FeatureBit(VIRTIO_NET_F_GUEST_TSO4)},
    {VIRTIO_NET_HDR_GSO_TCPV6, FeatureBit(VIRTIO_NET_F_HOST_TSO6),
     FeatureBit(VIRTIO_NET_F_GUEST_TSO6)},
    {VIRTIO_NET_HDR_GSO_UDP, FeatureBit(VIRTIO_NET_F_HOST_UFO), FeatureBit(VIRTIO_NET_F_GUEST_UFO)},
    {kNetGsoUdpL4, FeatureBit(kNetFeatureHostUso),
     FeatureBit(kNetFeatureGuestUso4) | FeatureBit(kNetFeatureGuestUso6)},
};

uint8_t WithoutEcn(uint8_t gso_type) {
  return gso_type & static_cast<uint8_t>(~VIRTIO_NET_HDR_GSO_ECN);
}

// Returns the features one of which allows a type, or 0 for a type that is not defined.
uint64_t FeaturesOfGsoType(uint8_t type, uint64_t GsoType::*direction) {
  for (const GsoType& known : kGsoTypes) {
    if (known.type == type) return known.*direction;
  }
  return 0;
}

}  // namespace

NetHeaderError CheckNetHeader(NetHeader& header, uint32_t frame_bytes, uint64_t features) {
  if (frame_bytes < ETH_HLEN) return NetHeaderError::kTooShort;
  if (frame_bytes > net::kMaxFrameBytes) return NetHeaderError::kTooLong;
  // "The device MUST ignore flag bits that it does not recognize." [VIRTIO 1.2 §5.1.6.2.2]
  header.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
  const bool needs_checksum = header.flags != 0;
  if (needs_checksum && (features & FeatureBit(VIRTIO_NET_F_CSUM)) == 0) {
    return NetHeaderError::kNotNegotiated;
  }
  if (needs_checksum &&
      uint32_t{header.checksum_start.value()} + header.checksum_offset.value() + sizeof(uint16_t) >
          frame_bytes) {
    return NetHeaderError::kChecksumOutside;
  }
  if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
    const uint8_t type = WithoutEcn(header.gso_type);
    const bool has_ecn = type != header.gso_type;
    if ((features & FeaturesOfGsoType(type, &GsoType::transmit)) == 0 ||
        (has_ecn && (features & FeatureBit(VIRTIO_NET_F_HOST_ECN)) == 0)) {
      return NetHeaderError::kNotNegotiated;
    }
    if (header.gso_size.value() == 0 || !needs_checksum) return NetHeaderError::kBadSegmentation;
  }
  header.header_length =
      static_cast<uint16_t>(std::min<uint32_t>(header.header_length.value(), frame_bytes));
  header.num_buffers = 0;
  return NetHeaderError::kNone;
}

bool PrepareNetHeader(NetHeader& header, uint64_t features) {
  if ((features & FeatureBit(VIRTIO_NET_F_GUEST_CSUM)) == 0) {
    if ((header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0) return false;
    header.flags = 0;  // DATA_VALID
  }
  if (header.gso_type == VIRTIO_NET_HDR_GSO_NONE) return true;
  if ((header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 || header.gso_size.value() == 0) {
    return false;
  }
  const uint8_t type = WithoutEcn(header.gso_type);
  return (features & FeaturesOfGsoType(type, &GsoType::receive)) != 0 &&
         (type == header.gso_type || (features & FeatureBit(VIRTIO_NET_F_GUEST_ECN)) != 0);
}

}  // namespace virtio
