#include "virtio/share/share_server.h"

#include <gtest/gtest.h>

namespace virtio {
namespace {

TEST(DeviceNumbers, AreEncodedAsLinuxDoes) {
  EXPECT_EQ(EncodeDevice(8, 1), 0x801U);
  EXPECT_EQ(EncodeDevice(0xabc, 0x12345), 0x123abc45U);
}

TEST(DeviceNumbers, DecodingReturnsMajorAndMinor) {
  for (const uint32_t major : {0U, 1U, 0xffU, 0x100U, 0xfffU}) {
    for (const uint32_t minor : {0U, 1U, 0xffU, 0x100U, 0xfffffU}) {
      EXPECT_EQ(MajorOf(EncodeDevice(major, minor)), major) << minor;
      EXPECT_EQ(MinorOf(EncodeDevice(major, minor)), minor) << major;
    }
  }
}

}  // namespace
}  // namespace virtio
