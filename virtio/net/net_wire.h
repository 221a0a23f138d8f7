// The structures that a network device and its driver exchange. [VIRTIO 1.2 §5.1.4, §5.1.6]
#ifndef VIRTIO_NET_NET_WIRE_H_
#define VIRTIO_NET_NET_WIRE_H_

// LINUX: the header has a member called `class`, which is a keyword of C++.
#define class class_
#include <linux/virtio_net.h>
#undef class

#include <cstddef>
#include <cstdint>

#include "base/endian.h"
#include "net/mac_address.h"
#include "net/port.h"
#include "virtio/queue/split_queue.h"

namespace virtio {

// linux/virtio_net.h of Linux 6.1 does not have these numbers yet. [VIRTIO 1.2 §5.1.3]
inline constexpr unsigned kNetFeatureGuestUso4 = 54;
inline constexpr unsigned kNetFeatureGuestUso6 = 55;
inline constexpr unsigned kNetFeatureHostUso = 56;
inline constexpr uint8_t kNetGsoUdpL4 = 5;

// What precedes every frame in both directions. [VIRTIO 1.2 §5.1.6]
struct NetHeader {
  uint8_t flags = 0;     // VIRTIO_NET_HDR_F_*
  uint8_t gso_type = 0;  // VIRTIO_NET_HDR_GSO_*
  base::Le16 header_length;
  base::Le16 gso_size;
  base::Le16 checksum_start;
  base::Le16 checksum_offset;
  base::Le16 num_buffers;  // only in received frames
};
static_assert(base::WireType<NetHeader> && sizeof(NetHeader) == sizeof(virtio_net_hdr_v1));
static_assert(sizeof(NetHeader) == net::kVnetHeaderBytes);
static_assert(offsetof(NetHeader, gso_size) == offsetof(virtio_net_hdr_v1, gso_size));
static_assert(offsetof(NetHeader, num_buffers) == offsetof(virtio_net_hdr_v1, num_buffers));

// What precedes every command on the control queue. [VIRTIO 1.2 §5.1.6.5]
struct NetControlHeader {
  uint8_t command_class = 0;  // VIRTIO_NET_CTRL_*
  uint8_t command = 0;
};
static_assert(base::WireType<NetControlHeader>);
static_assert(sizeof(NetControlHeader) == sizeof(virtio_net_ctrl_hdr));

// The features that say which work on received frames the driver does itself. A driver can switch
// each of them off and on again. [VIRTIO 1.2 §5.1.6.5.6]
inline constexpr uint64_t kNetGuestOffloads =
    FeatureBit(VIRTIO_NET_F_GUEST_CSUM) | FeatureBit(VIRTIO_NET_F_GUEST_TSO4) |
    FeatureBit(VIRTIO_NET_F_GUEST_TSO6) | FeatureBit(VIRTIO_NET_F_GUEST_ECN) |
    FeatureBit(VIRTIO_NET_F_GUEST_UFO) | FeatureBit(kNetFeatureGuestUso4) |
    FeatureBit(kNetFeatureGuestUso6);

// The part of the configuration space that the offered features use. [VIRTIO 1.2 §5.1.4]
struct NetConfigSpace {
  net::MacAddress mac = {};
  base::Le16 status;  // VIRTIO_NET_S_*
  base::Le16 max_virtqueue_pairs;
  base::Le16 mtu;
};
static_assert(base::WireType<NetConfigSpace>);
static_assert(sizeof(NetConfigSpace) == offsetof(virtio_net_config, speed));
static_assert(offsetof(NetConfigSpace, mtu) == offsetof(virtio_net_config, mtu));

}  // namespace virtio

#endif  // VIRTIO_NET_NET_WIRE_H_
