#include "net/mac_address.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace net {
namespace {

// FNV-1a with 64 bits, whose high half is mixed into the low one at the end, because similar names
// differ mostly in the low bits of their last letters. The constants are part of what users see:
// they must never change. [Fowler, Noll, Vo: draft-eastlake-fnv]
uint64_t Hash(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char letter : text) {
    hash ^= static_cast<uint8_t>(letter);
    hash *= 0x100000001b3;
  }
  hash ^= hash >> 32;
  hash *= 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

}  // namespace

std::optional<MacAddress> ParseMac(absl::string_view text) {
  MacAddress mac;
  if (text.size() != mac.size() * 3 - 1) return std::nullopt;
  for (size_t i = 0; i < mac.size(); ++i) {
    uint32_t value = 0;
    for (const char digit : text.substr(i * 3, 2)) {
      const bool is_digit = digit >= '0' && digit <= '9';
      const char letter = static_cast<char>(digit | 0x20);
      if (!is_digit && (letter < 'a' || letter > 'f')) return std::nullopt;
      value = value * 16 + static_cast<uint32_t>(is_digit ? digit - '0' : letter - 'a' + 10);
    }
    if (i + 1 < mac.size() && text[i * 3 + 2] != ':') return std::nullopt;
    mac[i] = static_cast<uint8_t>(value);
  }
  return mac;
}

std::string FormatMac(const MacAddress& mac) {
  return absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                         mac[5]);
}

MacAddress DeriveMac(absl::string_view name, size_t index) {
  // A name may contain anything, so the index comes first: "1/a" of device 1 is not "/1/a".
  const uint64_t hash = Hash(absl::StrCat(index, "/", name));
  MacAddress mac;
  for (size_t i = 0; i < mac.size(); ++i) mac[i] = static_cast<uint8_t>(hash >> (8 * i));
  mac[0] = static_cast<uint8_t>((mac[0] & ~1u) | 2u);  // unicast, locally administered
  return mac;
}

}  // namespace net
