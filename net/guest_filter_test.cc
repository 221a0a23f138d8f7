#include "net/guest_filter.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <random>
#include <vector>

namespace net {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Bytes Be16(uint16_t value) {
  return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

Bytes Ethernet(uint16_t type) { return Bytes(12, 2) + Be16(type); }
// From 10.0.0.`from` to 10.0.0.`to`.
Bytes Ipv4(uint8_t protocol, uint8_t from = 2, uint8_t to = 1, size_t words = 5,
           uint16_t fragment = 0) {
  Bytes header = {static_cast<uint8_t>(0x40 | words), 0, 0, 100, 0, 0};
  header = header + Be16(fragment) + Bytes{64, protocol, 0, 0, 10, 0, 0, from, 10, 0, 0, to};
  header.resize(words < 5 ? 20 : words * 4, 1);
  return Ethernet(0x0800) + header;
}
Bytes Ipv6(uint8_t protocol, uint8_t from = 2, uint8_t to = 1) {
  Bytes header = {0x60, 0, 0, 0, 0, 40, protocol, 64};
  Bytes source(16, 0xfd);
  Bytes destination(16, 0xfd);
  source[15] = from;
  destination[15] = to;
  return Ethernet(0x86dd) + header + source + destination;
}
Bytes Udp(uint16_t from, uint16_t to) { return Be16(from) + Be16(to) + Bytes(4 + 20); }
Bytes Tcp(uint8_t flags) { return Bytes(13, 1) + Bytes{flags} + Bytes(6, 1) + Bytes(100); }

GuestFrame Of(const Bytes& frame) {
  UdpFlow flow;
  return Classify(frame, flow);
}

TEST(GuestFilterTest, ArpIsAllowed) {
  EXPECT_EQ(Of(Ethernet(0x0806) + Bytes(28)), GuestFrame::kAllowed);
}

TEST(GuestFilterTest, OtherProtocolsOfEthernetAreForbidden) {
  for (const uint16_t type :
       std::initializer_list<uint16_t>{0x8100, 0x88a8, 0x8035, 0x8847, 0x0805, 0, 46}) {
    EXPECT_EQ(Of(Ethernet(type) + Bytes(60)), GuestFrame::kForbidden) << type;
  }
}

TEST(GuestFilterTest, OfIcmpOnlyNeighbourDiscoveryIsAllowed) {
  for (int type = 0; type < 256; ++type) {
    const Bytes message = Bytes{static_cast<uint8_t>(type)} + Bytes(30);
    EXPECT_EQ(Of(Ipv6(58) + message),
              type >= 133 && type <= 136 ? GuestFrame::kAllowed : GuestFrame::kForbidden)
        << type;
    EXPECT_EQ(Of(Ipv4(1) + message), GuestFrame::kForbidden) << type;
    EXPECT_EQ(Of(Ipv4(58) + message), GuestFrame::kForbidden) << type;
  }
}

TEST(GuestFilterTest, TcpIsAllowedUnlessItOpensAConnection) {
  for (int flags = 0; flags < 256; ++flags) {
    const bool opens = (flags & 0x02) != 0 && (flags & 0x10) == 0;
    const GuestFrame wanted = opens ? GuestFrame::kForbidden : GuestFrame::kAllowed;
    for (const Bytes& ip : {Ipv4(6), Ipv4(6, 2, 1, 6), Ipv4(6, 2, 1, 15), Ipv6(6)}) {
      EXPECT_EQ(Of(ip + Tcp(static_cast<uint8_t>(flags))), wanted) << flags;
    }
  }
}

TEST(GuestFilterTest, DhcpIsAllowedFromItsClientPortsOnly) {
  EXPECT_EQ(Of(Ipv4(17) + Udp(68, 67)), GuestFrame::kAllowed);
  EXPECT_EQ(Of(Ipv6(17) + Udp(546, 547)), GuestFrame::kAllowed);
  EXPECT_EQ(Of(Ipv6(17) + Udp(68, 67)), GuestFrame::kUdpAnswer);
  EXPECT_EQ(Of(Ipv4(17) + Udp(546, 547)), GuestFrame::kUdpAnswer);
  EXPECT_EQ(Of(Ipv4(17) + Udp(67, 68)), GuestFrame::kUdpAnswer);
}

TEST(GuestFilterTest, FragmentsAreForbidden) {
  for (const uint16_t fragment : std::initializer_list<uint16_t>{0x2000, 0x0001, 0x1fff, 0x3fff}) {
    EXPECT_EQ(Of(Ipv4(6, 2, 1, 5, fragment) + Tcp(0x10)), GuestFrame::kForbidden) << fragment;
  }
  EXPECT_EQ(Of(Ipv4(6, 2, 1, 5, 0x4000) + Tcp(0x10)), GuestFrame::kAllowed) << "do not fragment";
  EXPECT_EQ(Of(Ipv6(44) + Bytes{6} + Bytes(7) + Tcp(0x10)), GuestFrame::kForbidden);
}

TEST(GuestFilterTest, ExtensionHeadersAndOtherTransportsAreForbidden) {
  for (int protocol = 0; protocol < 256; ++protocol) {
    if (protocol == 6 || protocol == 17) continue;
    const auto p = static_cast<uint8_t>(protocol);
    EXPECT_EQ(Of(Ipv4(p) + Tcp(0x10)), GuestFrame::kForbidden) << protocol;
    if (protocol != 58) {
      EXPECT_EQ(Of(Ipv6(p) + Tcp(0x10)), GuestFrame::kForbidden) << protocol;
    }
  }
}

TEST(GuestFilterTest, WrongVersionsAndLengthsAreForbidden) {
  for (size_t words = 0; words < 5; ++words) {
    EXPECT_EQ(Of(Ipv4(6, 2, 1, words) + Tcp(0x10)), GuestFrame::kForbidden) << words;
  }
  for (int version = 0; version < 16; ++version) {
    Bytes four = Ipv4(6) + Tcp(0x10);
    four[14] = static_cast<uint8_t>(version << 4 | 5);
    EXPECT_EQ(Of(four), version == 4 ? GuestFrame::kAllowed : GuestFrame::kForbidden) << version;
    Bytes six = Ipv6(6) + Tcp(0x10);
    six[14] = static_cast<uint8_t>(version << 4);
    EXPECT_EQ(Of(six), version == 6 ? GuestFrame::kAllowed : GuestFrame::kForbidden) << version;
  }
}

TEST(GuestFilterTest, FramesThatEndInAHeaderAreForbidden) {
  const struct {
    Bytes headers;
    size_t transport_bytes;
  } table[] = {{Ipv4(6), 20}, {Ipv4(6, 2, 1, 15), 20}, {Ipv6(6), 20}, {Ipv4(17), 8}, {Ipv6(58), 1}};
  for (const auto& row : table) {
    const Bytes whole = row.headers + Bytes(1, 135) + Bytes(40, 0x10);
    for (size_t bytes = 0; bytes < row.headers.size() + row.transport_bytes; ++bytes) {
      EXPECT_EQ(Of(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes))),
                GuestFrame::kForbidden)
          << bytes;
    }
    EXPECT_NE(Of(whole), GuestFrame::kForbidden);
  }
}

TEST(GuestFilterTest, WhatIsClassifiedNeedsNoMoreThanItsFirstBytes) {
  const Bytes longest = Ipv4(6, 2, 1, 15) + Tcp(0x02);
  EXPECT_EQ(Of(Bytes(longest.begin(), longest.begin() + kClassifiedBytes)), GuestFrame::kForbidden);
  const Bytes answer = Ipv4(6, 2, 1, 15) + Tcp(0x12);
  EXPECT_EQ(Of(Bytes(answer.begin(), answer.begin() + kClassifiedBytes)), GuestFrame::kAllowed);
}

TEST(GuestFilterTest, UdpLeavesOnlyToWhoeverReachedAForwardedPort) {
  GuestFilter filter({5000, 5001});
  const auto leaves = [&](const Bytes& frame) { return filter.MayLeave(frame); };
  for (const bool six : {false, true}) {
    const auto ip = [&](uint8_t from, uint8_t to) {
      return six ? Ipv6(17, from, to) : Ipv4(17, from, to);
    };
    EXPECT_FALSE(leaves(ip(2, 1) + Udp(5000, 777)));
    filter.OnArrival(ip(1, 2) + Udp(777, 5000));
    EXPECT_TRUE(leaves(ip(2, 1) + Udp(5000, 777)));
    EXPECT_FALSE(leaves(ip(2, 1) + Udp(5000, 53))) << "another port of the peer";
    EXPECT_FALSE(leaves(ip(2, 3) + Udp(5000, 777))) << "another peer";
    EXPECT_FALSE(leaves(ip(2, 1) + Udp(5001, 777))) << "another port of the guest";
    filter.OnArrival(ip(1, 2) + Udp(777, 5002));
    EXPECT_FALSE(leaves(ip(2, 1) + Udp(5002, 777))) << "a port that is not forwarded";
  }
}

TEST(GuestFilterTest, NewPeersTakeThePlaceOfTheOldest) {
  GuestFilter filter({5000});
  for (uint16_t port = 1; port <= 256; ++port) filter.OnArrival(Ipv4(17, 1, 2) + Udp(port, 5000));
  filter.OnArrival(Ipv4(17, 1, 2) + Udp(1, 5000));  // is now the newest
  filter.OnArrival(Ipv4(17, 1, 2) + Udp(999, 5000));
  EXPECT_TRUE(filter.MayLeave(Ipv4(17, 2, 1) + Udp(5000, 1)));
  EXPECT_FALSE(filter.MayLeave(Ipv4(17, 2, 1) + Udp(5000, 2)));
  EXPECT_TRUE(filter.MayLeave(Ipv4(17, 2, 1) + Udp(5000, 3)));
  EXPECT_TRUE(filter.MayLeave(Ipv4(17, 2, 1) + Udp(5000, 999)));
}

// Whatever the bytes are, the functions look at nothing beyond them, and what is allowed is one of
// what the header lists.
TEST(GuestFilterTest, AnyBytesHaveAnAnswer) {
  std::mt19937 random(3);
  GuestFilter filter({5000});
  const Bytes bases[] = {Ethernet(0x0806) + Bytes(28), Ipv4(6) + Tcp(2), Ipv6(6) + Tcp(2),
                         Ipv4(17) + Udp(68, 67), Ipv6(58) + Bytes(20)};
  for (int i = 0; i < 200000; ++i) {
    Bytes frame = bases[random() % std::size(bases)];
    frame.resize(random() % (frame.size() + 1));
    frame.shrink_to_fit();
    for (unsigned k = random() % 4; k > 0 && !frame.empty(); --k) {
      frame[random() % frame.size()] = static_cast<uint8_t>(random());
    }
    filter.OnArrival(frame);
    if (!filter.MayLeave(frame)) continue;
    const unsigned type = frame[12] << 8 | frame[13];
    EXPECT_TRUE(type == 0x0806 || type == 0x0800 || type == 0x86dd) << type;
  }
}

}  // namespace
}  // namespace net
