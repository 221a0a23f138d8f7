#include "devices/x86_64/cmos_rtc.h"

#include <time.h>

#include <array>

#include "gtest/gtest.h"

namespace devices {
namespace {

uint8_t ReadRegister(CmosRtc& rtc, uint8_t index) {
  rtc.Write(0, std::array<uint8_t, 1>{index});
  std::array<uint8_t, 1> value;
  rtc.Read(1, value);
  return value[0];
}

void WriteRegister(CmosRtc& rtc, uint8_t index, uint8_t value) {
  rtc.Write(0, std::array<uint8_t, 1>{index});
  rtc.Write(1, std::array<uint8_t, 1>{value});
}

TEST(CmosRtcTest, ShowsUtcInBcdWithCentury) {
  CmosRtc rtc([] { return int64_t{1709251199}; });  // Thursday 2024-02-29 23:59:59
  EXPECT_EQ(ReadRegister(rtc, 0x00), 0x59);
  EXPECT_EQ(ReadRegister(rtc, 0x02), 0x59);
  EXPECT_EQ(ReadRegister(rtc, 0x04), 0x23);
  EXPECT_EQ(ReadRegister(rtc, 0x06), 0x05);
  EXPECT_EQ(ReadRegister(rtc, 0x07), 0x29);
  EXPECT_EQ(ReadRegister(rtc, 0x08), 0x02);
  EXPECT_EQ(ReadRegister(rtc, 0x09), 0x24);
  EXPECT_EQ(ReadRegister(rtc, 0x32), 0x20);
}

TEST(CmosRtcTest, DefaultClockIsTheHosts) {
  CmosRtc rtc;
  const time_t now = time(nullptr);
  tm utc;
  gmtime_r(&now, &utc);
  const int year = utc.tm_year + 1900;
  EXPECT_EQ(ReadRegister(rtc, 0x09), (year / 10 % 10) << 4 | year % 10);
}

TEST(CmosRtcTest, StatusSaysValid24HourBcdAndNeverUpdating) {
  CmosRtc rtc;
  EXPECT_EQ(ReadRegister(rtc, 0x0a) & 0x80, 0);
  EXPECT_EQ(ReadRegister(rtc, 0x0b), 0x02);
  EXPECT_EQ(ReadRegister(rtc, 0x0c), 0x00);
  EXPECT_EQ(ReadRegister(rtc, 0x0d), 0x80);
}

TEST(CmosRtcTest, NmiBitOfTheIndexIsIgnored) {
  CmosRtc rtc;
  EXPECT_EQ(ReadRegister(rtc, 0x8d), 0x80);
}

TEST(CmosRtcTest, RamKeepsItsBytesOverResetAndTheClockCannotBeSet) {
  CmosRtc rtc([] { return int64_t{0}; });
  WriteRegister(rtc, 0x0f, 0x0a);  // shutdown status, as Linux writes it before starting vCPUs
  WriteRegister(rtc, 0x34, 0x77);
  WriteRegister(rtc, 0x09, 0x42);
  WriteRegister(rtc, 0x0b, 0x00);
  WriteRegister(rtc, 0x32, 0x42);
  rtc.Reset();
  EXPECT_EQ(ReadRegister(rtc, 0x0f), 0x0a);
  EXPECT_EQ(ReadRegister(rtc, 0x34), 0x77);
  EXPECT_EQ(ReadRegister(rtc, 0x35), 0x00);
  EXPECT_EQ(ReadRegister(rtc, 0x09), 0x70);
  EXPECT_EQ(ReadRegister(rtc, 0x0b), 0x02);
  EXPECT_EQ(ReadRegister(rtc, 0x32), 0x19);
}

TEST(CmosRtcTest, ClockBeforeTheEpochAndFarAwayStaysInRange) {
  for (const int64_t seconds : {int64_t{-1}, int64_t{-86400} * 365 * 80, int64_t{253402300799}}) {
    CmosRtc rtc([seconds] { return seconds; });
    for (const uint8_t index : std::array<uint8_t, 8>{0, 2, 4, 6, 7, 8, 9, 0x32}) {
      const uint8_t value = ReadRegister(rtc, index);
      EXPECT_LT(value & 0xf, 10);
      EXPECT_LT(value >> 4, 10);
    }
  }
}

TEST(CmosRtcTest, IndexPortReadsAllOnes) {
  CmosRtc rtc;
  std::array<uint8_t, 1> value = {0};
  rtc.Read(0, value);
  EXPECT_EQ(value[0], 0xff);
}

}  // namespace
}  // namespace devices
