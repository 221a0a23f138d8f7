// Ethernet addresses: how they are written, and which one a network device has by default.
#ifndef NET_MAC_ADDRESS_H_
#define NET_MAC_ADDRESS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace net {

// The six bytes of an Ethernet address, in the order in which they are sent. [IEEE 802-2014 §8.2]
using MacAddress = std::array<uint8_t, 6>;

// True for group addresses, which no interface can have.
inline bool IsMulticast(const MacAddress& mac) { return (mac[0] & 1) != 0; }

// Reads "02:00:5e:10:00:01"; upper and lower case. Returns nullopt for everything else.
std::optional<MacAddress> ParseMac(absl::string_view text);
// Returns "02:00:5e:10:00:01".
std::string FormatMac(const MacAddress& mac);

// Returns the address of network device `index` of the VM called `name` (or its UUID). The address
// is unicast and locally administered, and depends on nothing else, so it is the same at each start
// and on each host. The other 46 bits are a hash: of 10,000 names, two have the same address with a
// probability of 1 in 1.4 million.
MacAddress DeriveMac(absl::string_view name, size_t index);

}  // namespace net

#endif  // NET_MAC_ADDRESS_H_
