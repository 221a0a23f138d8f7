#include "net/mac_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"

namespace net {
namespace {

TEST(MacAddressTest, TextIsReadAndWritten) {
  const MacAddress mac = {0x02, 0x00, 0x5e, 0xab, 0xCD, 0x01};
  EXPECT_EQ(FormatMac(mac), "02:00:5e:ab:cd:01");
  EXPECT_EQ(ParseMac("02:00:5e:ab:cd:01"), mac);
  EXPECT_EQ(ParseMac("02:00:5E:AB:CD:01"), mac);
}

TEST(MacAddressTest, OtherTextIsRefused) {
  for (const char* text :
       {"", "02:00:5e:ab:cd", "02:00:5e:ab:cd:01:02", "02-00-5e-ab-cd-01", "02:00:5e:ab:cd:0g",
        "2:0:5e:ab:cd:1", "02:00:5e:ab:cd:0 ", "+2:00:5e:ab:cd:01", "0x:00:5e:ab:cd:01"}) {
    EXPECT_EQ(ParseMac(text), std::nullopt) << text;
  }
}

TEST(MacAddressTest, DerivedAddressIsUnicastAndLocal) {
  for (int i = 0; i < 1000; ++i) {
    const MacAddress mac = DeriveMac(absl::StrCat("vm", i), 0);
    EXPECT_FALSE(IsMulticast(mac));
    EXPECT_EQ(mac[0] & 2, 2);
  }
}

// Guests have these addresses: a change would give every VM another one.
TEST(MacAddressTest, DerivedAddressNeverChanges) {
  EXPECT_EQ(FormatMac(DeriveMac("web", 0)), "ea:be:3a:5d:d9:75");
  EXPECT_EQ(FormatMac(DeriveMac("web", 1)), "5a:af:68:32:0c:2a");
}

TEST(MacAddressTest, TenThousandNamesHaveDifferentAddresses) {
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; ++i) {
    for (const std::string& name :
         {absl::StrCat("vm", i), absl::StrCat("service-", i), absl::StrCat(i, ".example.org")}) {
      for (const size_t index : {0, 1, 2}) {
        EXPECT_TRUE(seen.insert(FormatMac(DeriveMac(name, index))).second) << name << " " << index;
      }
    }
  }
}

}  // namespace
}  // namespace net
