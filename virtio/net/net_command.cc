#include "virtio/net/net_command.h"

#include <algorithm>
#include <array>

#include "base/endian.h"
#include "virtio/net/net_wire.h"
#include "virtio/queue/split_queue.h"

namespace virtio {
namespace {

bool Has(uint64_t features, unsigned feature) { return (features & FeatureBit(feature)) != 0; }

// A command of class VIRTIO_NET_CTRL_RX, or kInvalid.
NetCommandKind ReceiveMode(uint8_t number, uint64_t features) {
  constexpr std::array kKinds = {NetCommandKind::kPromiscuous, NetCommandKind::kAllMulticast,
                                 NetCommandKind::kAllUnicast,  NetCommandKind::kNoMulticast,
                                 NetCommandKind::kNoUnicast,   NetCommandKind::kNoBroadcast};
  const unsigned feature =
      number <= VIRTIO_NET_CTRL_RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX : VIRTIO_NET_F_CTRL_RX_EXTRA;
  return number < kKinds.size() && Has(features, feature) ? kKinds[number]
                                                          : NetCommandKind::kInvalid;
}

// Reads a count and that many addresses. Addresses that do not fit are skipped.
bool PopTable(Chain& chain, MacTable& table) {
  base::Le32 entries;
  if (!chain.Pop(entries)) return false;
  if (entries.value() > chain.readable_bytes() / sizeof(net::MacAddress)) return false;
  table.overflow = entries.value() > MacTable::kSize;
  table.count = std::min(entries.value(), MacTable::kSize);
  for (uint32_t i = 0; i < entries.value(); ++i) {
    net::MacAddress skipped;
    if (!chain.Pop(i < table.count ? table.macs[i] : skipped)) return false;
  }
  return true;
}

NetCommandKind Parse(Chain& chain, uint64_t features, NetCommand& command) {
  NetControlHeader header;
  if (chain.readable_bytes() > kMaxNetCommandBytes || !chain.Pop(header)) {
    return NetCommandKind::kInvalid;
  }
  switch (header.command_class) {
    case VIRTIO_NET_CTRL_RX: {
      uint8_t on = 0;
      if (!chain.Pop(on)) return NetCommandKind::kInvalid;
      command.on = on != 0;
      return ReceiveMode(header.command, features);
    }
    case VIRTIO_NET_CTRL_MAC:
      if (header.command == VIRTIO_NET_CTRL_MAC_TABLE_SET) {
        return Has(features, VIRTIO_NET_F_CTRL_RX) && PopTable(chain, command.unicast) &&
                       PopTable(chain, command.multicast)
                   ? NetCommandKind::kSetMacTables
                   : NetCommandKind::kInvalid;
      }
      return header.command == VIRTIO_NET_CTRL_MAC_ADDR_SET &&
                     Has(features, VIRTIO_NET_F_CTRL_MAC_ADDR) && chain.Pop(command.mac) &&
                     !net::IsMulticast(command.mac)
                 ? NetCommandKind::kSetMac
                 : NetCommandKind::kInvalid;
    case VIRTIO_NET_CTRL_VLAN: {
      base::Le16 vlan;
      if (!Has(features, VIRTIO_NET_F_CTRL_VLAN) || !chain.Pop(vlan) || vlan.value() > 4095) {
        return NetCommandKind::kInvalid;
      }
      command.vlan = vlan.value();
      if (header.command == VIRTIO_NET_CTRL_VLAN_ADD) return NetCommandKind::kAddVlan;
      if (header.command == VIRTIO_NET_CTRL_VLAN_DEL) return NetCommandKind::kRemoveVlan;
      return NetCommandKind::kInvalid;
    }
    case VIRTIO_NET_CTRL_ANNOUNCE:
      return header.command == VIRTIO_NET_CTRL_ANNOUNCE_ACK &&
                     Has(features, VIRTIO_NET_F_GUEST_ANNOUNCE)
                 ? NetCommandKind::kAckAnnounce
                 : NetCommandKind::kInvalid;
    case VIRTIO_NET_CTRL_MQ: {
      base::Le16 pairs;
      if (header.command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || !Has(features, VIRTIO_NET_F_MQ) ||
          !chain.Pop(pairs) || pairs.value() < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN ||
          pairs.value() > VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX) {
        return NetCommandKind::kInvalid;
      }
      command.pairs = pairs.value();
      return NetCommandKind::kSetPairs;
    }
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS: {
      base::Le64 offloads;
      if (header.command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
          !Has(features, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) || !chain.Pop(offloads) ||
          (offloads.value() & ~(features & kNetGuestOffloads)) != 0) {
        return NetCommandKind::kInvalid;
      }
      command.offloads = offloads.value();
      return NetCommandKind::kSetOffloads;
    }
    default:
      return NetCommandKind::kInvalid;
  }
}

}  // namespace

void ParseNetCommand(Chain& chain, uint64_t features, NetCommand& command) {
  command.kind = Parse(chain, features, command);
}

}  // namespace virtio
