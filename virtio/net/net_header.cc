#include "virtio/net/net_header.h"

#include <linux/if_ether.h>

#include <algorithm>

#include "virtio/queue/split_queue.h"

namespace virtio {
namespace {

// Returns the feature that allows a GSO type, or 0 for a type that is not defined.
uint64_t FeatureOfGsoType(uint8_t type) {
  switch (type) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
      return FeatureBit(VIRTIO_NET_F_HOST_TSO4);
    case VIRTIO_NET_HDR_GSO_TCPV6:
      return FeatureBit(VIRTIO_NET_F_HOST_TSO6);
    case VIRTIO_NET_HDR_GSO_UDP:
      return FeatureBit(VIRTIO_NET_F_HOST_UFO);
    case kNetGsoUdpL4:
      return FeatureBit(kNetFeatureHostUso);
    default:
      return 0;
  }
}

}  // namespace

NetHeaderError CheckNetHeader(NetHeader& header, uint32_t frame_bytes, uint64_t features) {
  if (frame_bytes < ETH_HLEN) return NetHeaderError::kTooShort;
  if (frame_bytes > net::kMaxFrameBytes) return NetHeaderError::kTooLong;
  const bool needs_checksum = header.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM;
  if (header.flags != 0 && !(needs_checksum && (features & FeatureBit(VIRTIO_NET_F_CSUM)) != 0)) {
    return NetHeaderError::kUnknownFlag;
  }
  if (needs_checksum &&
      uint32_t{header.checksum_start.value()} + header.checksum_offset.value() + sizeof(uint16_t) >
          frame_bytes) {
    return NetHeaderError::kChecksumOutside;
  }
  if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
    const uint8_t type = header.gso_type & static_cast<uint8_t>(~VIRTIO_NET_HDR_GSO_ECN);
    const bool has_ecn = type != header.gso_type;
    if ((features & FeatureOfGsoType(type)) == 0 ||
        (has_ecn && (features & FeatureBit(VIRTIO_NET_F_HOST_ECN)) == 0)) {
      return NetHeaderError::kUnknownFlag;
    }
    if (header.gso_size.value() == 0 || !needs_checksum) return NetHeaderError::kBadSegmentation;
  }
  header.header_length =
      static_cast<uint16_t>(std::min<uint32_t>(header.header_length.value(), frame_bytes));
  header.num_buffers = 0;
  return NetHeaderError::kNone;
}

}  // namespace virtio
