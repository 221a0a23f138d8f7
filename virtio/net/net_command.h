// Parses what a driver asks for on the control queue. [VIRTIO 1.2 §5.1.6.5]
#ifndef VIRTIO_NET_NET_COMMAND_H_
#define VIRTIO_NET_NET_COMMAND_H_

#include <cstdint>

#include "net/mac_address.h"
#include "virtio/net/net_filter.h"
#include "virtio/queue/chain.h"

namespace virtio {

enum class NetCommandKind : uint8_t {
  kInvalid,  // malformed, unknown, or of a feature that was not accepted
  kPromiscuous,
  kAllMulticast,
  kAllUnicast,
  kNoMulticast,
  kNoUnicast,
  kNoBroadcast,
  kSetMacTables,
  kSetMac,
  kAddVlan,
  kRemoveVlan,
  kAckAnnounce,
  kSetPairs,
  kSetOffloads,
};

// A command. Only the members that belong to `kind` are filled in.
struct NetCommand {
  NetCommandKind kind = NetCommandKind::kInvalid;
  bool on = false;        // kPromiscuous to kNoBroadcast
  net::MacAddress mac;    // kSetMac: no group address
  uint16_t vlan = 0;      // kAddVlan, kRemoveVlan: 0 to 4095
  uint16_t pairs = 0;     // kSetPairs: 1 to VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX
  uint64_t offloads = 0;  // kSetOffloads: feature bits, all of them accepted
  MacTable unicast;       // kSetMacTables
  MacTable multicast;     // kSetMacTables
};

// The longest command that is read. Longer ones are invalid: a table of 10,000 addresses fits.
inline constexpr uint32_t kMaxNetCommandBytes = 64 << 10;

// Parses the readable bytes of `chain` into `command` and removes them. `features` are those that
// the driver has accepted. Total: anything is a command or kInvalid.
void ParseNetCommand(Chain& chain, uint64_t features, NetCommand& command);

}  // namespace virtio

#endif  // VIRTIO_NET_NET_COMMAND_H_
