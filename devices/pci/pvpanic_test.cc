#include "devices/pci/pvpanic.h"

#include <gtest/gtest.h>
#include <linux/pci_regs.h>

#include <array>
#include <memory>
#include <vector>

namespace devices {
namespace {

class PvpanicTest : public testing::Test {
 protected:
  static constexpr uint64_t kBar = 0xc000'0000;

  PvpanicTest() {
    root = *PciRoot::Create(mmio, {.window_32bit = {kBar, 0x10000}});
    pvpanic = *Pvpanic::Create(*root, 1, [this](uint8_t e) { events.push_back(e); });
    const std::array<uint8_t, 2> memory = {PCI_COMMAND_MEMORY, 0};
    root->Write(PciRoot::kSlotBytes + PCI_COMMAND, memory);
  }

  Bus mmio;
  std::unique_ptr<PciRoot> root;
  std::vector<uint8_t> events;
  std::unique_ptr<Pvpanic> pvpanic;
};

TEST_F(PvpanicTest, ReadReturnsTheSupportedEvents) {
  std::array<uint8_t, 4> data = {9, 9, 9, 9};
  mmio.Read(kBar, data);
  EXPECT_EQ(data, (std::array<uint8_t, 4>{7, 0, 0, 0}));
  mmio.Read(kBar + 1, std::span(data).first(1));
  EXPECT_EQ(data[0], 0);
}

TEST_F(PvpanicTest, ReportsEvents) {
  mmio.Write(kBar, std::array<uint8_t, 1>{Pvpanic::kPanicked});
  mmio.Write(kBar, std::array<uint8_t, 2>{Pvpanic::kCrashLoaded, 0});
  EXPECT_EQ(events, (std::vector<uint8_t>{1, 2}));
}

TEST_F(PvpanicTest, IgnoresWritesThatAreNoEvent) {
  mmio.Write(kBar, std::array<uint8_t, 1>{0xf8});
  mmio.Write(kBar, std::array<uint8_t, 1>{0});
  mmio.Write(kBar + 1, std::array<uint8_t, 1>{1});
  EXPECT_TRUE(events.empty());
}

TEST_F(PvpanicTest, TwoCannotShareASlot) {
  const auto second = Pvpanic::Create(*root, 1, [](uint8_t) {});
  EXPECT_EQ(second.status().message(), "_pvpanic: PCI slot 1 is taken by _pvpanic");
  mmio.Write(kBar, std::array<uint8_t, 1>{Pvpanic::kPanicked});
  EXPECT_EQ(events.size(), 1u);  // the first is still there
}

}  // namespace
}  // namespace devices
