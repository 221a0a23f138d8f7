// Which received frames a driver wants to see. [VIRTIO 1.2 §5.1.6.5.1, §5.1.6.5.2, §5.1.6.5.3]
#ifndef VIRTIO_NET_NET_FILTER_H_
#define VIRTIO_NET_NET_FILTER_H_

#include <array>
#include <bitset>
#include <cstdint>
#include <span>

#include "net/mac_address.h"

namespace virtio {

// A list of addresses. A driver may set more than there is room for: then every address of the kind
// passes, since a filter may let too much through but never too little.
struct MacTable {
  static constexpr uint32_t kSize = 64;
  std::array<net::MacAddress, kSize> macs;
  uint32_t count = 0;
  bool overflow = false;
};

struct NetFilter {
  // The beginning of a frame that the filter looks at: Ethernet header and VLAN tag.
  static constexpr uint32_t kFrameBytes = 18;

  // Everything passes until a driver says otherwise.
  bool promiscuous = true;
  bool all_multicast = false;
  bool all_unicast = false;
  bool no_multicast = false;
  bool no_unicast = false;
  bool no_broadcast = false;
  bool has_vlans = false;  // VIRTIO_NET_F_CTRL_VLAN is accepted: only frames of `vlans` pass
  net::MacAddress mac = {};
  MacTable unicast;
  MacTable multicast;
  std::bitset<4096> vlans;

  // Returns whether a frame that begins with `start` (cut to kFrameBytes) passes.
  bool Accepts(std::span<const uint8_t> start) const;
};

}  // namespace virtio

#endif  // VIRTIO_NET_NET_FILTER_H_
