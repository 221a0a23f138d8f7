// A hostile driver at the registers: rings outside RAM, features and status in any order, MSI-X
// tables rewritten while interrupts arrive, BARs moved onto RAM and onto other BARs while the
// device runs. tests/fakes/hostile_driver.h has the attacks on the device itself.
#include <gtest/gtest.h>

#include <ios>
#include <vector>

#include "virtio/transport/pci_transport.h"
#include "virtio/transport/testing/transport_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t kIndirect = uint64_t{1} << 28;

// Checks that the device works after a reset and an initialisation: kicks and interrupts arrive.
void ExpectWorks(TransportHarness& t) {
  t.EnableMemory();
  t.SetStatus(0);
  t.loop.RunUntilIdle();
  ASSERT_EQ(t.status(), 0);
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  ASSERT_EQ(t.status(), kDriverOk);
  ASSERT_EQ(t.device.running.size(), 2u);
  const uint64_t before = t.msi.delivered(101);
  t.device.notifier->NotifyQueue(0);
  EXPECT_EQ(t.msi.delivered(101), before + 1);
}

TEST(PciHostile, RingsOutsideRamStartNoDevice) {
  const std::vector<uint64_t> places = {
      TransportHarness::kWindow,         // BARs, including this device's own
      0xe800'0000,                       // ECAM
      0xfee0'0000,                       // the local APIC
      TransportHarness::kRamBytes,       // right behind RAM
      TransportHarness::kRamBytes - 16,  // across the end of RAM
      uint64_t{1} << 52,                 // beyond physical addresses
      ~uint64_t{0} & ~uint64_t{15},      // wraps around
      0x10001,                           // misaligned
  };
  TransportHarness t;
  for (const uint64_t place : places) {
    for (const uint32_t ring :
         {VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_PCI_COMMON_Q_AVAILLO, VIRTIO_PCI_COMMON_Q_USEDLO}) {
      t.EnableMemory();
      t.SetStatus(kDriverReady);
      t.SetDriverFeatures(kFeatureVersion1 | kFeatureRingReset);
      t.SetStatus(kFeaturesOk);
      t.EnableQueue(0);
      t.SetQueueAddresses(1, TransportHarness::RingAddress(1));
      t.SetCommon<uint32_t>(ring, static_cast<uint32_t>(place));
      t.SetCommon<uint32_t>(ring + 4, static_cast<uint32_t>(place >> 32));
      t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE, 1);
      t.SetStatus(kDriverOk);
      EXPECT_EQ(t.status(), kDriverOk | VIRTIO_CONFIG_S_NEEDS_RESET) << std::hex << place;
      // None of the following writes starts a device in this state.
      t.WriteBar<uint16_t>(kNotifyOffset, 0);
      t.SetStatus(kDriverOk);
      t.EnableQueue(0);
      t.SelectQueue(1);
      t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
      t.loop.RunUntilIdle();
      EXPECT_EQ(t.device.TakeOrders(), "") << std::hex << place;
      t.SetStatus(0);
      t.loop.RunUntilIdle();
      EXPECT_EQ(t.status(), 0);
    }
  }
  ExpectWorks(t);
}

TEST(PciHostile, FeaturesCannotBeChangedAfterFeaturesOk) {
  TransportHarness t({.features = kIndirect});
  t.EnableMemory();
  // Features are changed after FEATURES_OK, with every selector.
  t.SetStatus(kDriverReady);
  t.SetDriverFeatures(kFeatureVersion1);
  t.SetStatus(kFeaturesOk);
  for (const uint32_t select : {0u, 1u, 2u, 0x8000'0000u, ~0u}) {
    t.SetCommon<uint32_t>(VIRTIO_PCI_COMMON_GFSELECT, select);
    for (const uint32_t bits : {0u, ~0u}) t.SetCommon<uint32_t>(VIRTIO_PCI_COMMON_GF, bits);
  }
  t.SetStatus(kDriverOk);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.accepted, kFeatureVersion1);
  // Features are refused, then accepted without a reset in between.
  t.SetStatus(0);
  t.loop.RunUntilIdle();
  t.SetDriverFeatures(~uint64_t{0});
  t.SetStatus(kDriverOk);
  EXPECT_EQ(t.status() & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK), 0);
  t.SetDriverFeatures(kFeatureVersion1 | kIndirect);
  t.SetStatus(kDriverOk);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.status(), kDriverOk);
  EXPECT_EQ(t.device.accepted, kFeatureVersion1 | kIndirect);
  ExpectWorks(t);
}

TEST(PciHostile, EveryPairOfStatusesIsHarmless) {
  for (uint32_t first = 0; first < 256; ++first) {
    TransportHarness t;
    t.EnableMemory();
    t.SetDriverFeatures(kFeatureVersion1 | kFeatureRingReset);
    for (uint32_t second = 0; second < 256; second += 5) {
      t.SetStatus(static_cast<uint8_t>(first));
      t.EnableQueue(static_cast<uint16_t>(second % 2));
      t.SetStatus(static_cast<uint8_t>(second));
      if (second % 3 == 0) t.loop.RunUntilIdle();
      EXPECT_EQ(t.status() & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
    }
    ExpectWorks(t);
  }
}

// Vectors are remapped and masked, and messages rewritten, while interrupts arrive.
TEST(PciHostile, MsixChangesUnderInterruptsAreHarmless) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  const uint32_t vectors = 3;
  for (uint32_t round = 0; round < 2000; ++round) {
    const uint32_t entry = kMsixTableOffset + (round % (vectors + 2)) * 16;  // two do not exist
    switch (round % 11) {
      case 0:
        t.WriteBar<uint32_t>(entry + PCI_MSIX_ENTRY_LOWER_ADDR, round * 0x9e37'79b9);
        break;
      case 1:
        t.WriteBar<uint32_t>(entry + PCI_MSIX_ENTRY_UPPER_ADDR, round);
        break;
      case 2:
        t.WriteBar<uint32_t>(entry + PCI_MSIX_ENTRY_DATA, ~round);
        break;
      case 3:
        t.WriteBar<uint32_t>(entry + PCI_MSIX_ENTRY_VECTOR_CTRL, round);
        break;
      case 4:
        t.SetMsix(static_cast<uint16_t>(round << 12));
        break;
      case 5:
        t.SelectQueue(static_cast<uint16_t>(round % 3));
        t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX, static_cast<uint16_t>(round % 5));
        break;
      case 6:
        t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_MSIX, static_cast<uint16_t>(round % 5));
        break;
      case 7:
        t.WriteBar<uint64_t>(kMsixPbaOffset, ~uint64_t{0});
        EXPECT_LT(t.ReadBar<uint64_t>(kMsixPbaOffset), uint64_t{1} << vectors);
        break;
      case 8:
        t.device.Change();
        break;
      default:
        t.device.notifier->NotifyQueue(static_cast<uint16_t>(round % 2));
    }
    EXPECT_LE(t.msi.in_use(), vectors) << "host interrupts are bounded by the table";
  }
  ExpectWorks(t);
  EXPECT_LE(t.msi.in_use(), vectors);
}

// The register BAR is moved while the device runs. The registers move along to any place where BARs
// may be, and are found nowhere else. The doorbells never leave the windows.
TEST(PciHostile, BarsMayMoveUnderARunningDevice) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  const auto home = static_cast<uint32_t>(t.BarAddress());
  const uint32_t elsewhere = home + 0x10'0000u;
  for (const uint32_t place :
       {0u, 0x1000u, 0xe800'0000u, 0xfec0'0000u, 0xfee0'0000u, 0xffff'f000u, elsewhere}) {
    t.WritePci<uint32_t>(PCI_BASE_ADDRESS_0, place);
    for (const auto& [address, fd] : t.mapper.mapped()) {
      const uint64_t expected = place == elsewhere ? elsewhere : home;
      EXPECT_EQ(address & ~uint64_t{0xffff}, expected & ~uint64_t{0xffff}) << std::hex << place;
    }
    t.device.notifier->NotifyQueue(0);  // the device is not affected
    t.SetStatus(0);                     // reaches the device only where the BAR decodes
    t.loop.RunUntilIdle();
    EXPECT_EQ(t.device.notifier == nullptr, place == elsewhere) << std::hex << place;
  }
  t.WritePci<uint32_t>(PCI_BASE_ADDRESS_0, home);
  ExpectWorks(t);
  for (const auto& [address, fd] : t.mapper.mapped()) EXPECT_GE(address, home);
}

}  // namespace
}  // namespace virtio
