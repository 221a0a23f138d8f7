#include "devices/x86_64/ioapic.h"

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace devices {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint32_t kMasked = 1 << 16;
constexpr uint32_t kLevel = 1 << 15;
constexpr uint32_t kRemoteIrr = 1 << 14;

class FakeController : public MsiController {
 public:
  absl::StatusOr<std::unique_ptr<MsiInterrupt>> CreateInterrupt() override {
    return absl::UnimplementedError("not here");
  }
  void Send(const MsiMessage& message) override { sent.push_back(message); }
  std::vector<MsiMessage> sent;
};

class FakeRoutes : public LevelRoutes {
 public:
  void SetLevelRoute(unsigned pin, std::optional<MsiMessage> message) override {
    ++calls;
    routes[pin] = message;
  }
  int calls = 0;
  std::map<unsigned, std::optional<MsiMessage>> routes;
};

class IoapicTest : public ::testing::Test {
 protected:
  void Write32(uint64_t offset, uint32_t value) {
    uint8_t bytes[4];
    std::memcpy(bytes, &value, 4);
    ioapic_.Write(offset, bytes);
  }
  uint32_t Read32(uint64_t offset) {
    uint8_t bytes[4];
    ioapic_.Read(offset, bytes);
    uint32_t value;
    std::memcpy(&value, bytes, 4);
    return value;
  }
  uint32_t ReadRegister(uint32_t reg) {
    Write32(0, reg);
    return Read32(0x10);
  }
  void WriteRegister(uint32_t reg, uint32_t value) {
    Write32(0, reg);
    Write32(0x10, value);
  }
  void SetEntry(unsigned pin, uint32_t high, uint32_t low) {
    WriteRegister(0x11 + 2 * pin, high);
    WriteRegister(0x10 + 2 * pin, low);
  }
  uint32_t EntryLow(unsigned pin) { return ReadRegister(0x10 + 2 * pin); }

  FakeController controller_;
  FakeRoutes routes_;
  Ioapic ioapic_{controller_, routes_};
};

TEST_F(IoapicTest, IdentifiesItself) {
  EXPECT_EQ(ReadRegister(1), 0x00170020u);
  EXPECT_EQ(ReadRegister(0), 0u);
  WriteRegister(0, 0xff000000);
  EXPECT_EQ(ReadRegister(0), 0x0f000000u);
  EXPECT_EQ(ReadRegister(2), 0x0f000000u);
  WriteRegister(1, 0);
  EXPECT_EQ(ReadRegister(1), 0x00170020u);
  EXPECT_EQ(Read32(0x00), 1u);  // the select register reads back
}

TEST_F(IoapicTest, TableHasAsManyEntriesAsPins) {
  Ioapic small(controller_, routes_, 2);
  const auto select = [&](uint8_t reg) { small.Write(0, std::array<uint8_t, 4>{reg}); };
  std::array<uint8_t, 4> value;
  select(1);
  small.Read(0x10, value);
  EXPECT_THAT(value, ElementsAre(0x20, 0, 1, 0));
  select(0x12);  // the second pin is the last
  small.Write(0x10, std::array<uint8_t, 4>{0x31});
  small.line(1).Set(true);
  EXPECT_EQ(controller_.sent.size(), 1u);
  select(0x14);
  small.Write(0x10, std::array<uint8_t, 4>{0x32});
  small.Read(0x10, value);
  EXPECT_THAT(value, ElementsAre(0, 0, 0, 0));
}

TEST_F(IoapicTest, RegistersOutsideTheTableReadZeroAndIgnoreWrites) {
  for (const uint32_t reg : {3u, 0x0fu, 0x40u, 0xffu}) {
    WriteRegister(reg, 0xffffffff);
    EXPECT_EQ(ReadRegister(reg), 0u) << reg;
  }
  EXPECT_EQ(Read32(0x20), 0u);
  EXPECT_THAT(controller_.sent, IsEmpty());
}

TEST_F(IoapicTest, AllPinsStartMasked) {
  for (unsigned pin = 0; pin < Ioapic::kPinCount; ++pin) EXPECT_EQ(EntryLow(pin), kMasked);
}

TEST_F(IoapicTest, StatusBitsAreReadOnlyAndReservedBitsAreZero) {
  SetEntry(3, 0, 0xffffffff);
  EXPECT_EQ(EntryLow(3), 0x1ffffu & ~(1u << 12) & ~kRemoteIrr);
}

TEST_F(IoapicTest, EntryBecomesAMessage) {
  SetEntry(4, 0x05000000, 0x0000'0931);  // APIC 5, logical, lowest priority, vector 0x31
  ioapic_.line(4).Set(true);
  ASSERT_EQ(controller_.sent.size(), 1u);
  EXPECT_EQ(controller_.sent[0].address, 0xfee05004u);
  EXPECT_EQ(controller_.sent[0].data, 0x4131u);
  SetEntry(5, 0xff000000, 0x0000'0032);  // physical, fixed
  ioapic_.line(5).Set(true);
  EXPECT_EQ(controller_.sent[1].address, 0xfeeff000u);
  EXPECT_EQ(controller_.sent[1].data, 0x4032u);
}

TEST_F(IoapicTest, ExtendedDestinationGoesToItsMessageBits) {
  SetEntry(4, 0x01fe0000, 0x31);
  ioapic_.line(4).Set(true);
  EXPECT_EQ(controller_.sent.at(0).address, 0xfee01000u | 0x7fu << 5);
}

TEST_F(IoapicTest, EdgeFiresOnRisingOnly) {
  SetEntry(4, 0, 0x31);
  ioapic_.line(4).Set(true);
  ioapic_.line(4).Set(true);
  ioapic_.line(4).Set(false);
  EXPECT_EQ(controller_.sent.size(), 1u);
  ioapic_.line(4).Set(true);
  EXPECT_EQ(controller_.sent.size(), 2u);
}

// [82093AA §3.2.4]: edges on a masked pin are ignored, not kept.
TEST_F(IoapicTest, EdgeWhileMaskedIsLost) {
  SetEntry(4, 0, 0x31 | kMasked);
  ioapic_.line(4).Set(true);
  SetEntry(4, 0, 0x31);
  EXPECT_THAT(controller_.sent, IsEmpty());
  ioapic_.line(4).Set(false);
  ioapic_.line(4).Set(true);
  EXPECT_EQ(controller_.sent.size(), 1u);
}

TEST_F(IoapicTest, LevelSendsOnceUntilItsEnd) {
  SetEntry(9, 0, 0x41 | kLevel);
  ioapic_.line(9).Set(true);
  EXPECT_EQ(controller_.sent.size(), 1u);
  EXPECT_EQ(controller_.sent[0].data, 0xc041u);
  EXPECT_EQ(EntryLow(9) & kRemoteIrr, kRemoteIrr);
  ioapic_.line(9).Set(false);
  ioapic_.line(9).Set(true);
  EXPECT_EQ(controller_.sent.size(), 1u);
  ioapic_.line(9).Set(false);
  ioapic_.EndOfInterrupt(0x41);
  EXPECT_EQ(controller_.sent.size(), 1u);
  EXPECT_EQ(EntryLow(9) & kRemoteIrr, 0u);
}

TEST_F(IoapicTest, LevelStillAssertedIsSentAgainAfterItsEnd) {
  SetEntry(9, 0, 0x41 | kLevel);
  ioapic_.line(9).Set(true);
  ioapic_.EndOfInterrupt(0x42);  // the vector of another interrupt
  EXPECT_EQ(controller_.sent.size(), 1u);
  ioapic_.EndOfInterrupt(0x41);
  EXPECT_EQ(controller_.sent.size(), 2u);
  EXPECT_EQ(EntryLow(9) & kRemoteIrr, kRemoteIrr);
}

TEST_F(IoapicTest, EoiRegisterEndsTheInterrupt) {
  SetEntry(9, 0, 0x41 | kLevel);
  ioapic_.line(9).Set(true);
  Write32(0x40, 0x41);
  EXPECT_EQ(controller_.sent.size(), 2u);
}

TEST_F(IoapicTest, LevelAssertedWhileMaskedIsSentAtUnmask) {
  SetEntry(9, 0, 0x41 | kLevel | kMasked);
  ioapic_.line(9).Set(true);
  EXPECT_THAT(controller_.sent, IsEmpty());
  SetEntry(9, 0, 0x41 | kLevel);
  EXPECT_EQ(controller_.sent.size(), 1u);
}

TEST_F(IoapicTest, EndOfInterruptEndsBothPinsOnOneVector) {
  SetEntry(9, 0, 0x41 | kLevel);
  SetEntry(10, 0, 0x41 | kLevel);
  ioapic_.line(9).Set(true);
  ioapic_.line(10).Set(true);
  ioapic_.line(9).Set(false);
  ioapic_.EndOfInterrupt(0x41);
  EXPECT_EQ(EntryLow(9) & kRemoteIrr, 0u);
  EXPECT_EQ(controller_.sent.size(), 3u);  // pin 10 again
}

// LINUX: __eoi_ioapic_pin() where the version has no EOI register.
TEST_F(IoapicTest, SwitchingToEdgeClearsRemoteIrr) {
  SetEntry(9, 0, 0x41 | kLevel);
  ioapic_.line(9).Set(true);
  WriteRegister(0x10 + 18, 0x41 | kMasked);
  EXPECT_EQ(EntryLow(9) & kRemoteIrr, 0u);
  WriteRegister(0x10 + 18, 0x41 | kLevel);
  EXPECT_EQ(controller_.sent.size(), 2u);
}

TEST_F(IoapicTest, ExtIntIsNeverSent) {
  SetEntry(0, 0, 7 << 8);
  ioapic_.line(0).Set(true);
  EXPECT_THAT(controller_.sent, IsEmpty());
}

// LINUX: clear_IO_APIC() masks every pin at boot; each change of a route costs a grace period.
TEST_F(IoapicTest, MaskingAllPinsCallsNoRoutes) {
  for (unsigned pin = 0; pin < Ioapic::kPinCount; ++pin) {
    SetEntry(pin, 0, kMasked);
    WriteRegister(0x10 + 2 * pin, kMasked | kLevel);
    WriteRegister(0x11 + 2 * pin, 0xff000000);
    WriteRegister(0x10 + 2 * pin, kMasked);
  }
  EXPECT_EQ(routes_.calls, 0);
}

TEST_F(IoapicTest, EdgePinsCallNoRoutes) {
  SetEntry(4, 0, 0x31);
  SetEntry(4, 0x01000000, 0x32);
  EXPECT_EQ(routes_.calls, 0);
}

TEST_F(IoapicTest, LevelPinHasItsRouteBeforeItSends) {
  ioapic_.line(9).Set(true);
  SetEntry(9, 0, 0x41 | kLevel);
  EXPECT_EQ(routes_.calls, 1);
  EXPECT_EQ(routes_.routes[9], controller_.sent.at(0));
  SetEntry(9, 0, 0x41 | kLevel);  // the same entry once more
  EXPECT_EQ(routes_.calls, 1);
  SetEntry(9, 0, 0x43 | kLevel);
  EXPECT_EQ(routes_.calls, 2);
  EXPECT_EQ(routes_.routes[9]->data, 0xc043u);
  SetEntry(9, 0, 0x43);  // edge-triggered from now on
  EXPECT_EQ(routes_.calls, 3);
  EXPECT_EQ(routes_.routes[9], std::nullopt);
}

// A threaded handler masks its pin before the end of the interrupt, which must still be reported.
TEST_F(IoapicTest, MaskingKeepsTheRouteUntilTheInterruptHasEnded) {
  SetEntry(9, 0, 0x41 | kLevel);
  ioapic_.line(9).Set(true);
  WriteRegister(0x10 + 18, 0x41 | kLevel | kMasked);
  EXPECT_NE(routes_.routes[9], std::nullopt);
  ioapic_.EndOfInterrupt(0x41);
  EXPECT_EQ(controller_.sent.size(), 1u);
  WriteRegister(0x10 + 18, 0x41 | kLevel);
  EXPECT_EQ(controller_.sent.size(), 2u);
  EXPECT_EQ(routes_.calls, 1);
}

TEST_F(IoapicTest, ResetMasksPinsRemovesRoutesAndKeepsTheWires) {
  SetEntry(9, 0, 0x41 | kLevel);
  SetEntry(4, 0, 0x31);
  ioapic_.line(9).Set(true);
  ioapic_.Reset();
  EXPECT_EQ(routes_.calls, 2);
  EXPECT_EQ(routes_.routes[9], std::nullopt);
  for (unsigned pin = 0; pin < Ioapic::kPinCount; ++pin) EXPECT_EQ(EntryLow(pin), kMasked);
  EXPECT_EQ(controller_.sent.size(), 1u);
  SetEntry(9, 0, 0x42 | kLevel);
  EXPECT_EQ(controller_.sent.size(), 2u);
}

TEST_F(IoapicTest, WritesOfOtherSizesAreIgnoredAndWideReadsPadded) {
  for (const size_t size : {1, 2, 8}) {
    std::vector<uint8_t> data(size, 0x10);
    ioapic_.Write(0x00, data);
    ioapic_.Write(0x10, data);
    ioapic_.Read(0x10, data);
    EXPECT_EQ(EntryLow(0), kMasked);
  }
  uint8_t wide[8];
  Write32(0, 1);
  ioapic_.Read(0x10, wide);
  EXPECT_THAT(wide, ElementsAre(0x20, 0, 0x17, 0, 0, 0, 0, 0));
}

TEST_F(IoapicTest, LinesAndRegistersMayRace) {
  SetEntry(9, 0, 0x41 | kLevel);
  std::thread device([&] {
    for (int i = 0; i < 2000; ++i) {
      ioapic_.line(9).Set(true);
      ioapic_.line(9).Set(false);
    }
  });
  for (int i = 0; i < 2000; ++i) {
    ioapic_.EndOfInterrupt(0x41);
    SetEntry(9, 0, 0x41 | kLevel);
  }
  device.join();
  EXPECT_GT(controller_.sent.size(), 0u);
}

}  // namespace
}  // namespace devices
