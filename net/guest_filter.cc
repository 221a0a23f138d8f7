#include "net/guest_filter.h"

#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>

#include <algorithm>

namespace net {
namespace {

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kTcpBytes = 20;
constexpr size_t kUdpBytes = 8;
constexpr uint8_t kTcpSyn = 0x02;
constexpr uint8_t kTcpAck = 0x10;
constexpr uint16_t kDhcpClient = 68;
constexpr uint16_t kDhcpServer = 67;
constexpr uint16_t kDhcpv6Client = 546;
constexpr uint16_t kDhcpv6Server = 547;

uint16_t Load16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// What follows the headers of IP in a frame.
struct Transport {
  bool is_ipv6 = false;
  uint8_t protocol = 0;
  std::array<uint8_t, 16> source = {};
  std::array<uint8_t, 16> destination = {};
  std::span<const uint8_t> bytes;
};

std::optional<Transport> ParseIpv4(std::span<const uint8_t> packet) {
  if (packet.size() < kIpv4Bytes || packet[0] >> 4 != 4) return std::nullopt;
  const size_t header_bytes = size_t{packet[0] & 0xfu} * 4;
  if (header_bytes < kIpv4Bytes || header_bytes > packet.size()) return std::nullopt;
  constexpr uint16_t kFragment = 0x3fff;  // more fragments, or an offset
  if ((Load16(packet, 6) & kFragment) != 0) return std::nullopt;
  Transport transport;
  transport.protocol = packet[9];
  std::copy_n(packet.begin() + 12, 4, transport.source.begin());
  std::copy_n(packet.begin() + 16, 4, transport.destination.begin());
  transport.bytes = packet.subspan(header_bytes);
  return transport;
}

std::optional<Transport> ParseIpv6(std::span<const uint8_t> packet) {
  if (packet.size() < kIpv6Bytes || packet[0] >> 4 != 6) return std::nullopt;
  Transport transport;
  transport.is_ipv6 = true;
  transport.protocol = packet[6];  // an extension header is no protocol that anybody asks for
  std::copy_n(packet.begin() + 8, 16, transport.source.begin());
  std::copy_n(packet.begin() + 24, 16, transport.destination.begin());
  transport.bytes = packet.subspan(kIpv6Bytes);
  return transport;
}

std::optional<Transport> ParseIp(std::span<const uint8_t> frame) {
  if (frame.size() < ETH_HLEN) return std::nullopt;
  const std::span<const uint8_t> packet = frame.subspan(ETH_HLEN);
  switch (Load16(frame, 12)) {
    case ETH_P_IP:
      return ParseIpv4(packet);
    case ETH_P_IPV6:
      return ParseIpv6(packet);
    default:
      return std::nullopt;
  }
}

}  // namespace

GuestFrame Classify(std::span<const uint8_t> start, UdpFlow& flow) {
  if (start.size() >= ETH_HLEN && Load16(start, 12) == ETH_P_ARP) return GuestFrame::kAllowed;
  const std::optional<Transport> transport = ParseIp(start);
  if (!transport.has_value()) return GuestFrame::kForbidden;
  const std::span<const uint8_t> bytes = transport->bytes;
  const auto allowed_if = [](bool allowed) {
    return allowed ? GuestFrame::kAllowed : GuestFrame::kForbidden;
  };
  if (transport->protocol == IPPROTO_TCP) {
    if (bytes.size() < kTcpBytes) return GuestFrame::kForbidden;
    // A SYN with ACK answers another's SYN.
    return allowed_if((bytes[13] & kTcpSyn) == 0 || (bytes[13] & kTcpAck) != 0);
  }
  if (transport->protocol == IPPROTO_ICMPV6 && transport->is_ipv6) {
    return allowed_if(!bytes.empty() && bytes[0] >= ND_ROUTER_SOLICIT &&
                      bytes[0] <= ND_NEIGHBOR_ADVERT);
  }
  if (transport->protocol != IPPROTO_UDP || bytes.size() < kUdpBytes) return GuestFrame::kForbidden;
  const uint16_t from = Load16(bytes, 0);
  const uint16_t to = Load16(bytes, 2);
  if (transport->is_ipv6 ? from == kDhcpv6Client && to == kDhcpv6Server
                         : from == kDhcpClient && to == kDhcpServer) {
    return GuestFrame::kAllowed;
  }
  flow = {.is_ipv6 = transport->is_ipv6,
          .peer = transport->destination,
          .peer_port = to,
          .guest_port = from};
  return GuestFrame::kUdpAnswer;
}

std::optional<UdpFlow> ArrivingFlow(std::span<const uint8_t> frame) {
  const std::optional<Transport> transport = ParseIp(frame);
  if (!transport.has_value() || transport->protocol != IPPROTO_UDP ||
      transport->bytes.size() < kUdpBytes) {
    return std::nullopt;
  }
  return UdpFlow{.is_ipv6 = transport->is_ipv6,
                 .peer = transport->source,
                 .peer_port = Load16(transport->bytes, 0),
                 .guest_port = Load16(transport->bytes, 2)};
}

bool GuestFilter::MayLeave(std::span<const uint8_t> start) const {
  UdpFlow flow;
  switch (Classify(start, flow)) {
    case GuestFrame::kForbidden:
      return false;
    case GuestFrame::kAllowed:
      return true;
    case GuestFrame::kUdpAnswer:
      return std::ranges::find(flows_, flow) != flows_.end();
  }
  return false;
}

void GuestFilter::OnArrival(std::span<const uint8_t> frame) {
  const std::optional<UdpFlow> flow = ArrivingFlow(frame);
  if (!flow.has_value() || std::ranges::find(udp_ports_, flow->guest_port) == udp_ports_.end()) {
    return;
  }
  if (!flows_.empty() && flows_.front() == *flow) return;
  std::erase(flows_, *flow);
  if (flows_.size() == kMaxFlows) flows_.pop_back();
  flows_.push_front(*flow);
}

}  // namespace net
