// One test for each device-normative MUST of VIRTIO 1.2 that concerns the PCI transport, named
// after its clause: general facilities, identity and common configuration. structures_test.cc has
// the other structures and interrupts. The SHOULDs that the transport follows are included.
// Notification data, administration queues, vendor data and the packed ring are not offered.
#include <gtest/gtest.h>

#include <initializer_list>
#include <map>
#include <vector>

#include "virtio/transport/pci_transport.h"
#include "virtio/transport/testing/transport_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t kEventIndex = uint64_t{1} << 29;
constexpr uint64_t kIndirect = uint64_t{1} << 28;

// "The device status field starts out as 0, and is reinitialized to 0 by the device during reset."
TEST(Pci, Pci_2_4_1_StatusIsZeroAfterReset) {
  TransportHarness t;
  t.EnableMemory();
  EXPECT_EQ(t.status(), 0);
  t.SetStatus(kDriverReady | VIRTIO_CONFIG_S_FAILED);
  t.SetStatus(0);
  EXPECT_EQ(t.status(), 0);
}

// "The device MUST NOT consume buffers or send any used buffer notifications to the driver before
// DRIVER_OK."
TEST(Pci, Pci_2_1_2_NothingRunsBeforeDriverOk) {
  TransportHarness t;
  t.mapper.FailMap(true);
  t.EnableMemory();
  t.SetStatus(kDriverReady);
  t.SetDriverFeatures(kFeatureVersion1);
  t.SetStatus(kFeaturesOk);
  t.EnableQueue(0);
  t.WriteBar<uint16_t>(kNotifyOffset, 0);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "");
  EXPECT_EQ(t.ReadBar<uint8_t>(kIsrOffset), 0);
}

// "If DRIVER_OK is set, after it sets DEVICE_NEEDS_RESET, the device MUST send a device
// configuration change notification to the driver."
TEST(Pci, Pci_2_1_2_NeedsResetIsNotified) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  t.device.notifier->NeedsReset("a test");
  EXPECT_EQ(t.status(), kDriverOk | VIRTIO_CONFIG_S_NEEDS_RESET);
  EXPECT_EQ(t.msi.delivered(100), 1u);
}

// "The device SHOULD accept any valid subset of features the driver accepts, otherwise it MUST fail
// to set the FEATURES_OK device status bit when the driver writes it."
TEST(Pci, Pci_2_2_2_FeaturesOkIsRefusedForFeaturesNotOffered) {
  for (uint64_t bad : {uint64_t{1} << 5, uint64_t{1} << 33, uint64_t{1} << 38, uint64_t{1} << 63}) {
    TransportHarness t({.features = kIndirect});
    t.EnableMemory();
    t.SetStatus(kDriverReady);
    t.SetDriverFeatures(kFeatureVersion1 | bad);
    t.SetStatus(kFeaturesOk);
    EXPECT_EQ(t.status(), kDriverReady) << bad;
    t.SetStatus(kDriverOk);
    EXPECT_EQ(t.status(), kDriverReady) << bad;
  }
}

TEST(Pci, Pci_2_2_2_EveryValidSubsetIsAccepted) {
  TransportHarness t({.features = kIndirect | kEventIndex | 3});
  t.EnableMemory();
  const std::vector<uint64_t> optional = {1, 2, kIndirect, kEventIndex, kFeatureRingReset};
  for (uint32_t subset = 0; subset < 32; ++subset) {
    uint64_t features = kFeatureVersion1;
    for (unsigned i = 0; i < optional.size(); ++i) {
      if ((subset >> i & 1) != 0) features |= optional[i];
    }
    t.SetStatus(kDriverReady);
    t.SetDriverFeatures(features);
    t.SetStatus(kFeaturesOk);
    EXPECT_EQ(t.status(), kFeaturesOk) << subset;
    t.SetStatus(0);
  }
}

// "it SHOULD NOT fail re-negotiation of the same set of features after a device or system reset."
TEST(Pci, Pci_2_2_2_TheSameFeaturesAreAcceptedAgain) {
  TransportHarness t({.features = kIndirect});
  for (int i = 0; i < 3; ++i) {
    t.Initialise(kFeatureVersion1 | kIndirect);
    EXPECT_EQ(t.status(), kDriverOk);
    t.SetStatus(0);
    t.loop.RunUntilIdle();
    EXPECT_EQ(t.status(), 0);
  }
}

// "The driver MUST NOT clear a bit", and features are final after FEATURES_OK: later writes change
// nothing.
TEST(Pci, Pci_2_2_FeaturesAreFinalAfterFeaturesOk) {
  TransportHarness t({.features = kIndirect});
  t.EnableMemory();
  t.SetDriverFeatures(kFeatureVersion1);
  t.SetStatus(kFeaturesOk);
  t.SetDriverFeatures(kFeatureVersion1 | kIndirect | 0x55);
  t.SetStatus(kDriverOk);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.accepted, kFeatureVersion1);
}

// "The device MUST NOT offer feature bits corresponding to features it would not support": the
// transport adds only features that it serves; no packed ring, IN_ORDER, SR_IOV or
// NOTIFICATION_DATA.
TEST(Pci, Pci_2_2_2_OnlyVersion1AndRingResetAreAdded) {
  for (uint64_t features : {uint64_t{0}, kIndirect | kEventIndex, kEventIndex | 0xff'ffff}) {
    TransportHarness t({.features = features});
    t.EnableMemory();
    EXPECT_EQ(t.DeviceFeatures(), features | kFeatureVersion1 | kFeatureRingReset);
  }
}

// "The device MUST NOT offer a feature which requires another feature which was not offered": none
// of the transport's features requires another one, so each of them can be masked.
TEST(Pci, Pci_2_2_2_NoOfferedFeatureRequiresAnotherOne) {
  for (int bit = 0; bit < 64; ++bit) {
    TransportHarness t({.features = kIndirect | kEventIndex},
                       {.features_mask = ~(uint64_t{1} << bit)});
    t.EnableMemory();
    const uint64_t offered = t.DeviceFeatures();
    EXPECT_NE(offered & kFeatureVersion1, 0u) << bit;
    t.Initialise(offered);
    EXPECT_EQ(t.status(), kDriverOk) << bit;
    t.loop.RunUntilIdle();
    EXPECT_EQ(t.device.accepted, offered) << bit;
  }
}

// "Shared memory regions MUST NOT be used to control the operation of the device, nor to stream
// data": the transport adds no regions to those of the device.
TEST(Pci, Pci_2_10_2_NoSharedMemoryUnlessTheDeviceHasIt) {
  TransportHarness t;
  EXPECT_EQ(t.FindCapability(VIRTIO_PCI_CAP_SHARED_MEMORY_CFG), 0u);
  EXPECT_EQ(t.ReadPci<uint32_t>(PCI_BASE_ADDRESS_2), 0u);
}

// "A Virtio device using Virtio Over PCI Bus MUST expose to guest an interface that meets the
// specification requirements of the appropriate PCI specification." The rest is in
// devices/pci/pci_root_test.cc.
TEST(Pci, Pci_4_1_1_FunctionFollowsThePciSpecification) {
  TransportHarness t;
  EXPECT_EQ(t.ReadPci<uint8_t>(PCI_HEADER_TYPE), PCI_HEADER_TYPE_NORMAL);
  EXPECT_NE(t.ReadPci<uint16_t>(PCI_STATUS) & PCI_STATUS_CAP_LIST, 0);
  int capabilities = 0;
  for (uint32_t at = t.ReadPci<uint8_t>(PCI_CAPABILITY_LIST); at != 0;
       at = t.ReadPci<uint8_t>(at + PCI_CAP_LIST_NEXT)) {
    EXPECT_GE(at, 0x40u);
    EXPECT_EQ(at % 4, 0u);
    ASSERT_LT(++capabilities, 48);
  }
  EXPECT_GE(capabilities, 6);
  // Decoding is off at power-on, and the size of the BAR can be determined.
  EXPECT_EQ(t.ReadPci<uint16_t>(PCI_COMMAND) & PCI_COMMAND_MEMORY, 0);
  t.WritePci<uint32_t>(PCI_BASE_ADDRESS_0, ~0u);
  EXPECT_EQ(~(t.ReadPci<uint32_t>(PCI_BASE_ADDRESS_0) & ~0xfu) + 1, kRegisterBarBytes);
}

// "A device MUST reinitialize device status to 0 after receiving a reset."
TEST(Pci, Pci_2_4_1_StatusIsZeroOnceResetIsDone) {
  TransportHarness t({.slow_stop = true});
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SetStatus(0);
  t.loop.RunUntilIdle();
  EXPECT_NE(t.status(), 0);
  t.device.FinishStops();
  EXPECT_EQ(t.status(), 0);
}

// "A device MUST NOT send notifications or interact with the queues after indicating completion of
// the reset by reinitializing device status to 0, until the driver re-initializes the device."
TEST(Pci, Pci_2_4_1_NothingHappensAfterReset) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  // An interrupt that a masked vector holds back must not be delivered after the reset.
  t.WriteBar<uint32_t>(kMsixTableOffset + 16 + PCI_MSIX_ENTRY_VECTOR_CTRL, 1);
  t.device.notifier->NotifyQueue(0);
  t.SetStatus(0);
  t.loop.RunUntilIdle();
  EXPECT_TRUE(t.device.running.empty());
  EXPECT_EQ(t.device.notifier, nullptr);
  t.WriteBar<uint32_t>(kMsixTableOffset + 16 + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
  EXPECT_EQ(t.msi.delivered(), 0u);
}

// "The device MUST allow reading of any device-specific configuration field before FEATURES_OK is
// set by the driver."
TEST(Pci, Pci_2_5_2_ConfigurationReadsBeforeFeaturesOk) {
  TransportHarness t;
  t.EnableMemory();
  EXPECT_EQ(t.ReadBar<uint8_t>(kDeviceConfigOffset + 7), 8);
}

// "After a queue has been reset by the driver, the device MUST NOT execute any requests from that
// virtqueue, or notify the driver for it."
TEST(Pci, Pci_2_6_1_1_1_AResetQueueIsStopped) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SelectQueue(0);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.running.count(0), 0u);
  EXPECT_EQ(t.device.running.count(1), 1u);
  t.device.notifier->NotifyQueue(0);  // even if a device tried to notify
  EXPECT_EQ(t.msi.delivered(101), 0u);
}

// "The device MUST reset any state of a virtqueue to the default state, including the available
// state and the used state."
TEST(Pci, Pci_2_6_1_1_1_AResetQueueHasItsStateOfPowerOn) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  t.device.running[0].ring->set_positions({.next_avail = 7, .next_used = 7});
  t.SelectQueue(0);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 256);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX), VIRTIO_MSI_NO_VECTOR);
  EXPECT_EQ(t.Common<uint64_t>(VIRTIO_PCI_COMMON_Q_DESCLO), 0u);
  EXPECT_EQ(t.Common<uint64_t>(VIRTIO_PCI_COMMON_Q_AVAILLO), 0u);
  EXPECT_EQ(t.Common<uint64_t>(VIRTIO_PCI_COMMON_Q_USEDLO), 0u);
  t.EnableQueue(0);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.running[0].ring->positions().next_avail, 0);
  EXPECT_EQ(t.device.running[0].ring->positions().next_used, 0);
}

// "The device MUST observe any queue configuration that may have been changed by the driver, like
// the maximum queue size."
TEST(Pci, Pci_2_6_1_2_1_AReEnabledQueueHasItsNewConfiguration) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SelectQueue(0);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
  t.loop.RunUntilIdle();
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE, 16);
  t.SetQueueAddresses(0, 0x40000);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE, 1);
  t.loop.RunUntilIdle();
  const QueueAddresses& addresses = t.device.running[0].ring->addresses();
  EXPECT_EQ(addresses.size, 16);
  EXPECT_EQ(addresses.descriptor_table, 0x40000u);
  EXPECT_EQ(addresses.driver_area, 0x42000u);
  EXPECT_EQ(addresses.device_area, 0x43000u);
}

// "Devices MUST have the PCI Vendor ID 0x1AF4. Devices MUST either have the PCI Device ID
// calculated by adding 0x1040 to the Virtio Device ID". The revision and the subsystem keep legacy
// drivers away.
TEST(Pci, Pci_4_1_2_1_Identity) {
  for (uint16_t type : std::initializer_list<uint16_t>{1, 2, 3, 4, 9, 19, 26}) {
    TransportHarness t({.type = type});
    EXPECT_EQ(t.ReadPci<uint16_t>(PCI_VENDOR_ID), 0x1af4);
    EXPECT_EQ(t.ReadPci<uint16_t>(PCI_DEVICE_ID), 0x1040 + type);
    EXPECT_GE(t.ReadPci<uint8_t>(PCI_REVISION_ID), 1);
    EXPECT_GE(t.ReadPci<uint16_t>(PCI_SUBSYSTEM_ID), 0x40);
  }
}

// "For 64-bit device configuration fields, the device MUST allow driver independent access to high
// and low 32-bit parts of the field."
TEST(Pci, Pci_4_1_3_2_HalvesOf64BitFields) {
  TransportHarness t;
  t.EnableMemory();
  t.SetCommon<uint32_t>(VIRTIO_PCI_COMMON_Q_AVAILHI, 0x11);
  t.SetCommon<uint32_t>(VIRTIO_PCI_COMMON_Q_AVAILLO, 0x22);
  EXPECT_EQ(t.Common<uint32_t>(VIRTIO_PCI_COMMON_Q_AVAILHI), 0x11u);
  EXPECT_EQ(t.Common<uint32_t>(VIRTIO_PCI_COMMON_Q_AVAILLO), 0x22u);
  EXPECT_EQ(t.ReadBar<uint32_t>(kDeviceConfigOffset + 4), 0x08070605u);
  EXPECT_EQ(t.ReadBar<uint32_t>(kDeviceConfigOffset), 0x04030201u);
}

// "The device MUST include any extra data (from the beginning of the cap_vndr field through end of
// the extra data fields if any) in cap_len."
TEST(Pci, Pci_4_1_4_2_CapabilityLengths) {
  TransportHarness t({.shared_memory = {{.id = 0, .offset = 0, .length = 0x10000}}});
  const std::map<uint8_t, uint8_t> expected = {
      {VIRTIO_PCI_CAP_COMMON_CFG, 16}, {VIRTIO_PCI_CAP_NOTIFY_CFG, 20},
      {VIRTIO_PCI_CAP_ISR_CFG, 16},    {VIRTIO_PCI_CAP_DEVICE_CFG, 16},
      {VIRTIO_PCI_CAP_PCI_CFG, 20},    {VIRTIO_PCI_CAP_SHARED_MEMORY_CFG, 24}};
  for (const auto& [type, length] : expected) {
    const uint32_t at = t.FindCapability(type);
    ASSERT_NE(at, 0u) << int{type};
    EXPECT_EQ(t.ReadPci<uint8_t>(at + VIRTIO_PCI_CAP_LEN), length) << int{type};
  }
}

// "offset MUST be 4-byte aligned. The device MUST present at least one common configuration
// capability."
TEST(Pci, Pci_4_1_4_3_1_CommonCapability) {
  TransportHarness t;
  const uint32_t at = t.FindCapability(VIRTIO_PCI_CAP_COMMON_CFG);
  ASSERT_NE(at, 0u);
  EXPECT_EQ(t.ReadPci<uint32_t>(at + VIRTIO_PCI_CAP_OFFSET) % 4, 0u);
  EXPECT_GE(t.ReadPci<uint32_t>(at + VIRTIO_PCI_CAP_LENGTH), 60u);
}

// "The device MUST present the feature bits it is offering in device_feature, starting at bit
// device_feature_select * 32 for any device_feature_select written by the driver."
TEST(Pci, Pci_4_1_4_3_1_DeviceFeatures) {
  TransportHarness t({.features = kIndirect | 1});
  t.EnableMemory();
  EXPECT_EQ(t.DeviceFeatures(), kIndirect | 1 | kFeatureVersion1 | kFeatureRingReset);
  for (uint32_t select : {2u, 3u, 0x8000'0000u, ~0u}) {
    t.SetCommon<uint32_t>(VIRTIO_PCI_COMMON_DFSELECT, select);
    EXPECT_EQ(t.Common<uint32_t>(VIRTIO_PCI_COMMON_DFSELECT), select);
    EXPECT_EQ(t.Common<uint32_t>(VIRTIO_PCI_COMMON_DF), 0u);
  }
}

TEST(Pci, Pci_4_1_4_3_1_FeaturesMaskHidesAllButVersion1) {
  TransportHarness t({.features = kIndirect | 1}, {.features_mask = 1});
  t.EnableMemory();
  EXPECT_EQ(t.DeviceFeatures(), 1 | kFeatureVersion1);
}

// "The device MUST present any valid feature bits the driver has written in driver_feature,
// starting at bit driver_feature_select * 32 for any driver_feature_select written by the driver."
TEST(Pci, Pci_4_1_4_3_1_DriverFeatures) {
  TransportHarness t({.features = kIndirect | 1});
  t.EnableMemory();
  t.SetDriverFeatures(kFeatureVersion1 | kIndirect);
  const std::map<uint32_t, uint32_t> expected = {{0, 1u << 28}, {1, 1}, {2, 0}, {~0u, 0}};
  for (const auto& [select, bits] : expected) {
    t.SetCommon<uint32_t>(VIRTIO_PCI_COMMON_GFSELECT, select);
    if (select > 1) t.SetCommon<uint32_t>(VIRTIO_PCI_COMMON_GF, ~0u);
    EXPECT_EQ(t.Common<uint32_t>(VIRTIO_PCI_COMMON_GF), bits) << select;
  }
}

// "The device MUST present a changed config_generation after the driver has read a device-specific
// configuration value which has changed since any part of the device-specific configuration was
// last read."
TEST(Pci, Pci_4_1_4_3_1_ConfigGeneration) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  uint8_t generation = t.Common<uint8_t>(VIRTIO_PCI_COMMON_CFGGENERATION);
  t.ReadBar<uint32_t>(kDeviceConfigOffset);
  EXPECT_EQ(t.Common<uint8_t>(VIRTIO_PCI_COMMON_CFGGENERATION), generation);
  // 256 changes between two reads must not bring the same generation back.
  for (int changes : {1, 2, 256, 512}) {
    for (int i = 0; i < changes; ++i) t.device.Change();
    t.ReadBar<uint32_t>(kDeviceConfigOffset);
    const uint8_t next = t.Common<uint8_t>(VIRTIO_PCI_COMMON_CFGGENERATION);
    EXPECT_NE(next, generation) << changes;
    generation = next;
  }
}

// "The device MUST reset when 0 is written to device_status, and present a 0 in device_status once
// that is done."
TEST(Pci, Pci_4_1_4_3_1_WritingZeroResets) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SetStatus(0);
  EXPECT_EQ(t.status(), kDriverOk);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.status(), 0);
  EXPECT_EQ(t.device.TakeOrders(), "activate start0 start1 stop0 stop1 deactivate");
}

// "The device MUST present a 0 in queue_enable on reset." "MUST present a 0 in queue_reset on
// reset."
TEST(Pci, Pci_4_1_4_3_1_QueuesAreDisabledOnReset) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE), 1);
  t.SetStatus(0);
  t.loop.RunUntilIdle();
  for (uint16_t i = 0; i < 2; ++i) {
    t.SelectQueue(i);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE), 0);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET), 0);
  }
}

// "The device MUST reset the queue when 1 is written to queue_reset. The device MUST continue to
// present 1 in queue_reset as long as the queue reset is ongoing. The device MUST present 0 in both
// queue_reset and queue_enable when queue reset has completed."
TEST(Pci, Pci_4_1_4_3_1_QueueReset) {
  TransportHarness t({.slow_stop = true});
  t.Initialise();
  t.loop.RunUntilIdle();
  t.device.TakeOrders();
  t.SelectQueue(1);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET), 1);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET), 1);
  EXPECT_EQ(t.device.TakeOrders(), "stop1");
  t.device.FinishStops();
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET), 0);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE), 0);
}

// "If VIRTIO_F_RING_RESET has been negotiated, the device MUST present a 0 in queue_reset after the
// virtqueue is enabled with queue_enable."
TEST(Pci, Pci_4_1_4_3_1_QueueResetReadsZeroAfterEnable) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SelectQueue(0);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
  t.loop.RunUntilIdle();
  t.EnableQueue(0);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET), 0);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE), 1);
}

// The field exists only if VIRTIO_F_RING_RESET has been negotiated.
TEST(Pci, Pci_4_1_4_3_QueueResetOnlyIfNegotiated) {
  TransportHarness t;
  t.Initialise(kFeatureVersion1);
  t.loop.RunUntilIdle();
  t.device.TakeOrders();
  t.SelectQueue(0);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET), 0);
  EXPECT_EQ(t.device.TakeOrders(), "");
}

// Writing 0 does not disable a queue (a driver MUST NOT do this).
TEST(Pci, Pci_4_1_4_3_2_ZeroToQueueEnableIsIgnored) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SelectQueue(0);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE, 0);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE), 1);
}

// "The driver MUST configure the other virtqueue fields before enabling the virtqueue": later
// writes change nothing.
TEST(Pci, Pci_4_1_4_3_2_AnEnabledQueueIsFixed) {
  TransportHarness t;
  t.Initialise();
  t.SetQueueAddresses(0, 0x40000);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE, 2);
  EXPECT_EQ(t.Common<uint64_t>(VIRTIO_PCI_COMMON_Q_DESCLO), TransportHarness::RingAddress(0));
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 256);
}

// "The device MUST present a 0 in queue_size if the virtqueue corresponding to the current
// queue_select is unavailable."
TEST(Pci, Pci_4_1_4_3_1_UnavailableQueuesHaveNoSize) {
  TransportHarness t;
  t.EnableMemory();
  for (uint16_t queue : std::initializer_list<uint16_t>{2, 3, 0x7fff, 0xffff}) {
    t.SelectQueue(queue);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 0);
    t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE, 16);
    t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX, 0);
    t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE, 1);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 0);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX), VIRTIO_MSI_NO_VECTOR);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE), 0);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SELECT), queue);
  }
}

// "If VIRTIO_F_RING_PACKED has not been negotiated, the device MUST present either a value of 0 or
// a power of 2 in queue_size."
TEST(Pci, Pci_4_1_4_3_1_QueueSizesArePowersOfTwo) {
  TransportHarness t;
  t.EnableMemory();
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 256);
  for (uint16_t size : std::initializer_list<uint16_t>{0, 3, 100, 255, 257, 512, 0x8000, 0xffff}) {
    t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE, size);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 256) << size;
  }
  for (uint16_t size : std::initializer_list<uint16_t>{1, 2, 128, 256}) {
    t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE, size);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), size);
  }
}

// "device_feature, num_queues, config_generation, queue_notify_off" are read-only for the driver.
TEST(Pci, Pci_4_1_4_3_ReadOnlyFields) {
  TransportHarness t;
  t.EnableMemory();
  for (uint32_t at :
       {VIRTIO_PCI_COMMON_NUMQ, VIRTIO_PCI_COMMON_Q_NOFF, VIRTIO_PCI_COMMON_Q_NDATA}) {
    const uint16_t before = t.Common<uint16_t>(at);
    t.SetCommon<uint16_t>(at, static_cast<uint16_t>(~before));
    EXPECT_EQ(t.Common<uint16_t>(at), before);
  }
  t.SetCommon<uint32_t>(VIRTIO_PCI_COMMON_DF, ~0u);
  EXPECT_EQ(t.DeviceFeatures(), kFeatureVersion1 | kFeatureRingReset);
  t.SetCommon<uint8_t>(VIRTIO_PCI_COMMON_CFGGENERATION, 9);
  EXPECT_EQ(t.Common<uint8_t>(VIRTIO_PCI_COMMON_CFGGENERATION), 0);
}

// "A device MUST offer VIRTIO_F_VERSION_1. A device MAY fail to operate further if
// VIRTIO_F_VERSION_1 is not accepted."
TEST(Pci, Pci_6_2_VersionOneIsOfferedAndRequired) {
  TransportHarness t({.features = kIndirect});
  t.EnableMemory();
  EXPECT_NE(t.DeviceFeatures() & kFeatureVersion1, 0u);
  t.SetStatus(kDriverReady);
  t.SetDriverFeatures(kIndirect);
  t.SetStatus(kFeaturesOk);
  EXPECT_EQ(t.status(), kDriverReady);
}

// "A device SHOULD offer VIRTIO_F_SR_IOV if it [...] presents a PCI SR-IOV capability structure,
// otherwise it MUST NOT offer VIRTIO_F_SR_IOV."
TEST(Pci, Pci_6_2_SrIovIsNotOffered) {
  TransportHarness t;
  t.EnableMemory();
  EXPECT_EQ(t.ReadPci<uint32_t>(0x100), 0u);  // there is no extended capability
  EXPECT_EQ(t.DeviceFeatures() & (uint64_t{1} << VIRTIO_F_SR_IOV), 0u);
}

}  // namespace
}  // namespace virtio
