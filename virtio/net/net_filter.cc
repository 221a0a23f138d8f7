#include "virtio/net/net_filter.h"

#include <linux/if_ether.h>

#include <algorithm>

namespace virtio {
namespace {

constexpr net::MacAddress kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr size_t kTypeOffset = 12;

uint16_t BigEndian(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

bool IsIn(const MacTable& table, const net::MacAddress& mac) {
  return table.overflow || std::find(table.macs.begin(), table.macs.begin() + table.count, mac) !=
                               table.macs.begin() + table.count;
}

}  // namespace

bool NetFilter::Accepts(std::span<const uint8_t> start) const {
  if (start.size() < ETH_HLEN) return true;  // the driver has to look itself
  if (has_vlans && start.size() >= kFrameBytes && BigEndian(start, kTypeOffset) == ETH_P_8021Q &&
      !vlans[BigEndian(start, kTypeOffset + 2) & 0xfff]) {
    return false;
  }
  if (promiscuous) return true;
  net::MacAddress to;
  std::copy_n(start.begin(), to.size(), to.begin());
  if (to == kBroadcast) return !no_broadcast;
  if (net::IsMulticast(to)) return !no_multicast && (all_multicast || IsIn(multicast, to));
  return !no_unicast && (all_unicast || to == mac || IsIn(unicast, to));
}

}  // namespace virtio
