#include "devices/bus.h"

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace devices {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RecordingDevice : public BusDevice {
 public:
  explicit RecordingDevice(std::string name) : name_(std::move(name)) {}
  absl::string_view name() const override { return name_; }
  void Read(uint64_t offset, std::span<uint8_t> data) override {
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(offset++);
    ++reads;
  }
  void Write(uint64_t offset, std::span<const uint8_t> data) override {
    last_offset = offset;
    last_data.assign(data.begin(), data.end());
  }
  std::atomic<int> reads = 0;
  uint64_t last_offset = 0;
  std::vector<uint8_t> last_data;

 private:
  std::string name_;
};

TEST(BusTest, RoutesByAddressWithOffsetRelativeToTheRange) {
  Bus bus;
  RecordingDevice low("low"), high("high");
  ASSERT_TRUE(bus.Insert(0x100, 0x10, low).ok());
  ASSERT_TRUE(bus.Insert(0x110, 0x10, high).ok());
  std::array<uint8_t, 4> data = {};
  EXPECT_TRUE(bus.Read(0x10c, data));
  EXPECT_THAT(data, ElementsAre(0xc, 0xd, 0xe, 0xf));
  const std::array<uint8_t, 2> out = {7, 8};
  EXPECT_TRUE(bus.Write(0x110, out));
  EXPECT_EQ(high.last_offset, 0u);
  EXPECT_THAT(high.last_data, ElementsAre(7, 8));
  EXPECT_TRUE(low.last_data.empty());
}

TEST(BusTest, AccessWithoutADeviceReadsAllOnesAndDropsWrites) {
  Bus bus;
  RecordingDevice device("device");
  ASSERT_TRUE(bus.Insert(0x100, 0x10, device).ok());
  for (const uint64_t addr : {0x0ull, 0xffull, 0x110ull, ~0ull}) {
    std::array<uint8_t, 1> data = {0};
    EXPECT_FALSE(bus.Read(addr, data)) << addr;
    EXPECT_EQ(data[0], 0xff);
    EXPECT_FALSE(bus.Write(addr, data));
  }
  EXPECT_EQ(device.reads, 0);
}

TEST(BusTest, AccessAcrossTheEndOfARangeReachesNoDevice) {
  Bus bus;
  RecordingDevice first("first"), second("second");
  ASSERT_TRUE(bus.Insert(0x100, 0x10, first).ok());
  ASSERT_TRUE(bus.Insert(0x110, 0x10, second).ok());
  std::array<uint8_t, 4> data = {};
  EXPECT_FALSE(bus.Read(0x10e, data));
  EXPECT_THAT(data, ElementsAre(0xff, 0xff, 0xff, 0xff));
  EXPECT_FALSE(bus.Write(0x10d, data));
  EXPECT_EQ(first.reads + second.reads, 0);
}

TEST(BusTest, OverlapIsAnErrorThatNamesBothDevices) {
  Bus bus;
  RecordingDevice serial("serial"), rtc("rtc");
  ASSERT_TRUE(bus.Insert(0x3f8, 8, serial).ok());
  for (const auto& [start, size] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0x3f8, 8}, {0x3f0, 9}, {0x3ff, 1}, {0x3fa, 1}, {0, 0x10000}}) {
    const absl::Status status = bus.Insert(start, size, rtc);
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("serial at [0x3f8, 0x3ff]"), HasSubstr("rtc")));
  }
  EXPECT_TRUE(bus.Insert(0x3f0, 8, rtc).ok());
  EXPECT_TRUE(bus.Insert(0x400, 8, rtc).ok());
}

TEST(BusTest, EmptyAndWrappingRangesAreErrors) {
  Bus bus;
  RecordingDevice device("device");
  EXPECT_EQ(bus.Insert(0x10, 0, device).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(bus.Insert(~0ull, 2, device).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(bus.Insert(~0ull, 1, device).ok());  // the very last byte is an address like others
  std::array<uint8_t, 1> data = {};
  EXPECT_TRUE(bus.Read(~0ull, data));
}

TEST(BusTest, RemoveNeedsStartAndDevice) {
  Bus bus;
  RecordingDevice device("device"), other("other");
  ASSERT_TRUE(bus.Insert(0x100, 0x10, device).ok());
  std::array<uint8_t, 1> data = {};
  bus.Remove(0x100, other);
  bus.Remove(0x104, device);
  EXPECT_TRUE(bus.Read(0x100, data));
  bus.Remove(0x100, device);
  EXPECT_FALSE(bus.Read(0x100, data));
}

// Moves itself to the address that is written, as a PCI device does when its BAR is programmed.
class MovingDevice : public BusDevice {
 public:
  explicit MovingDevice(Bus& bus) : bus_(bus) {}
  absl::string_view name() const override { return "moving"; }
  void Read(uint64_t, std::span<uint8_t> data) override { data[0] = 0x5a; }
  void Write(uint64_t, std::span<const uint8_t> data) override {
    bus_.Remove(where_, *this);
    where_ = uint64_t{data[0]} << 8;
    EXPECT_TRUE(bus_.Insert(where_, 1, *this).ok());
  }

 private:
  Bus& bus_;
  uint64_t where_ = 0x100;
};

TEST(BusTest, DeviceMayRemapItselfFromItsOwnWriteWhileOthersLookUp) {
  Bus bus;
  MovingDevice moving(bus);
  RecordingDevice still("still");
  ASSERT_TRUE(bus.Insert(0x100, 1, moving).ok());
  ASSERT_TRUE(bus.Insert(0x10000, 8, still).ok());
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    std::array<uint8_t, 8> data;
    while (!stop) EXPECT_TRUE(bus.Read(0x10000, data));
  });
  uint64_t where = 0x100;
  for (int i = 0; i < 1000; ++i) {
    const std::array<uint8_t, 1> to = {static_cast<uint8_t>(1 + i % 200)};
    ASSERT_TRUE(bus.Write(where, to));
    where = uint64_t{to[0]} << 8;
    std::array<uint8_t, 1> data = {};
    ASSERT_TRUE(bus.Read(where, data));
    ASSERT_EQ(data[0], 0x5a);
  }
  stop = true;
  reader.join();
}

}  // namespace
}  // namespace devices
