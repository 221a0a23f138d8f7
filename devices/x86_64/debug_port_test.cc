#include "devices/x86_64/debug_port.h"

#include "gtest/gtest.h"

namespace devices {
namespace {

void Out(DebugPort& port, uint8_t value) { port.Write(0, std::array<uint8_t, 1>{value}); }

TEST(DebugPortTest, RecordsCodesInOrderWithAscendingTimes) {
  DebugPort port;
  Out(port, 0x10);
  Out(port, 0x20);
  const auto records = port.records();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].code, 0x10);
  EXPECT_EQ(records[1].code, 0x20);
  EXPECT_GT(records[0].since_start.count(), 0);
  EXPECT_LE(records[0].since_start, records[1].since_start);
}

TEST(DebugPortTest, KeepsTheFirstRecordsWhenTheGuestWritesMore) {
  DebugPort port;
  for (unsigned i = 0; i < 1000; ++i) Out(port, static_cast<uint8_t>(i));
  const auto records = port.records();
  ASSERT_EQ(records.size(), DebugPort::kMaxRecords);
  for (size_t i = 0; i < records.size(); ++i) EXPECT_EQ(records[i].code, i);
}

TEST(DebugPortTest, ResetRemovesAllRecords) {
  DebugPort port;
  for (unsigned i = 0; i < 1000; ++i) Out(port, 1);
  port.Reset();
  EXPECT_TRUE(port.records().empty());
  Out(port, 0x33);
  ASSERT_EQ(port.records().size(), 1u);
}

}  // namespace
}  // namespace devices
