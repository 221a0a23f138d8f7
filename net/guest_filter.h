// Which frames of an isolated guest may leave it.
#ifndef NET_GUEST_FILTER_H_
#define NET_GUEST_FILTER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace net {

// What both ends of a UDP datagram are, seen from the guest.
struct UdpFlow {
  bool is_ipv6 = false;
  std::array<uint8_t, 16> peer = {};  // IPv4: the first 4 bytes
  uint16_t peer_port = 0;
  uint16_t guest_port = 0;
  bool operator==(const UdpFlow&) const = default;
};

enum class GuestFrame : uint8_t {
  kForbidden,
  kAllowed,    // whatever came before
  kUdpAnswer,  // only if a datagram of its flow came before
};

// The longest beginning of a frame that Classify looks at: Ethernet, IPv4 with options, TCP.
inline constexpr size_t kClassifiedBytes = 14 + 60 + 20;

// Classifies a frame that a guest sends, by its first kClassifiedBytes bytes, or all if it has
// fewer. Allowed are what the guest needs to know its own address and its gateway (ARP, neighbour
// discovery, DHCP), and TCP segments that cannot open a connection. UDP datagrams may be answers;
// `flow` is set then. Frames whose headers are not complete, fragments, VLAN tags and IPv6
// extension headers are forbidden: whoever receives them could understand them differently. Any
// bytes are valid input. [RFC 791] [RFC 8200] [RFC 9293 §3.1] [RFC 4861 §4] [RFC 2131 §4.1] [RFC
// 8415 §7.2]
GuestFrame Classify(std::span<const uint8_t> start, UdpFlow& flow);

// Returns the flow of a UDP datagram that arrives at the guest, or nullopt for any other frame.
std::optional<UdpFlow> ArrivingFlow(std::span<const uint8_t> frame);

// Lets out what a guest without access to the network needs, and its answers to whoever reached it
// through forwarded ports. Use it on one thread.
class GuestFilter {
 public:
  // The guest's ports to which UDP is forwarded.
  explicit GuestFilter(std::vector<uint16_t> udp_ports) : udp_ports_(std::move(udp_ports)) {}

  // Returns whether the frame, of which `start` has the first kClassifiedBytes, may leave.
  bool MayLeave(std::span<const uint8_t> start) const;
  // Remembers who sends a datagram to a forwarded port.
  void OnArrival(std::span<const uint8_t> frame);

 private:
  // Peers that may be answered at a time. The peer that was silent longest is forgotten first.
  static constexpr size_t kMaxFlows = 256;

  const std::vector<uint16_t> udp_ports_;
  std::deque<UdpFlow> flows_;  // the newest first
};

}  // namespace net

#endif  // NET_GUEST_FILTER_H_
