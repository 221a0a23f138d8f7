#include "devices/x86_64/acpi_power.h"

#include <array>

#include "gtest/gtest.h"

namespace devices {
namespace {

class EdgeCounter : public InterruptLine {
 public:
  void Set(bool asserted) override {
    if (asserted && !asserted_) ++edges;
    asserted_ = asserted;
  }
  int edges = 0;
  bool asserted_ = false;
};

class AcpiPowerTest : public ::testing::Test {
 protected:
  void Out(uint64_t port, uint8_t value) {
    power_.Write(port - AcpiPower::kPort, std::array<uint8_t, 1>{value});
  }
  uint8_t In(uint64_t port) {
    std::array<uint8_t, 1> value;
    power_.Read(port - AcpiPower::kPort, value);
    return value[0];
  }

  int power_offs_ = 0;
  int resets_ = 0;
  EdgeCounter line_;
  AcpiPower power_{{.power_off = [this] { ++power_offs_; }, .reset = [this] { ++resets_; }}, line_};
};

TEST_F(AcpiPowerTest, Acpi_4_8_3_7_OnlyS5WithSleepEnablePowersOff) {
  for (unsigned value = 0; value < 256; ++value) {
    const int before = power_offs_;
    Out(0x600, static_cast<uint8_t>(value));
    EXPECT_EQ(power_offs_ - before, (value & 0x3c) == (5 << 2 | 1 << 5) ? 1 : 0) << value;
  }
  EXPECT_EQ(resets_, 0);
}

TEST_F(AcpiPowerTest, Acpi_4_8_3_6_ResetValueResets) {
  Out(0x602, 0);
  Out(0x602, 2);
  EXPECT_EQ(resets_, 0);
  Out(0x602, 1);
  EXPECT_EQ(resets_, 1);
  EXPECT_EQ(power_offs_, 0);
}

TEST_F(AcpiPowerTest, SleepStatusReadsAwake) { EXPECT_EQ(In(0x601), 0); }

TEST_F(AcpiPowerTest, ButtonSetsTheEventAndPulsesTheLine) {
  EXPECT_EQ(In(0x604), 0);
  power_.PressPowerButton();
  EXPECT_EQ(line_.edges, 1);
  EXPECT_FALSE(line_.asserted_);
  EXPECT_EQ(In(0x604), 1);
  EXPECT_EQ(In(0x604), 0);
}

TEST_F(AcpiPowerTest, EachPressIsASeparateEdge) {
  power_.PressPowerButton();
  power_.PressPowerButton();
  EXPECT_EQ(line_.edges, 2);
  EXPECT_EQ(In(0x604), 1);
}

TEST_F(AcpiPowerTest, EventRegisterIgnoresWrites) {
  power_.PressPowerButton();
  Out(0x604, 0xff);
  EXPECT_EQ(In(0x604), 1);
}

}  // namespace
}  // namespace devices
