#include "devices/x86_64/i8042.h"

#include <array>

#include "gtest/gtest.h"

namespace devices {
namespace {

TEST(I8042Test, OnlyTheResetCommandResets) {
  int resets = 0;
  I8042 device([&resets] { ++resets; });
  for (unsigned value = 0; value < 256; ++value) {
    for (const uint64_t offset : {0, 1, 2, 3, 4}) {
      const int before = resets;
      device.Write(offset, std::array<uint8_t, 1>{static_cast<uint8_t>(value)});
      EXPECT_EQ(resets - before, offset == 4 && value == 0xfe ? 1 : 0);
    }
  }
}

TEST(I8042Test, StatusShowsNoKeyboardAndIsNeverBusy) {
  I8042 device([] {});
  std::array<uint8_t, 5> ports = {};
  device.Read(0, ports);
  EXPECT_EQ(ports[4] & 0x01, 0x01);  // data without end, so a prober gives up
  EXPECT_EQ(ports[4] & 0x02, 0x00);  // ready for the reset command
  EXPECT_EQ(ports[1], 0x20);
  EXPECT_EQ(ports[0], 0xff);
}

}  // namespace
}  // namespace devices
