// One test for each device-normative MUST of VIRTIO 1.2 §4.1.4.4 to §4.1.5, named after its clause.
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <initializer_list>
#include <set>
#include <vector>

#include "virtio/transport/pci_transport.h"
#include "virtio/transport/testing/transport_fixtures.h"

namespace virtio {
namespace {

// "The device MUST present at least one notification capability." "The cap.offset MUST be 2-byte
// aligned." "notify_off_multiplier as an even power of 2, or 0." "cap.length >= queue_notify_off *
// notify_off_multiplier + 2" for all queues.
TEST(Pci, Pci_4_1_4_4_1_NotificationCapability) {
  TransportHarness t({.queue_sizes = std::vector<uint16_t>(1024, 16)});
  t.EnableMemory();
  const uint32_t at = t.FindCapability(VIRTIO_PCI_CAP_NOTIFY_CFG);
  ASSERT_NE(at, 0u);
  EXPECT_EQ(t.ReadPci<uint32_t>(at + VIRTIO_PCI_CAP_OFFSET) % 2, 0u);
  const uint32_t multiplier = t.ReadPci<uint32_t>(at + VIRTIO_PCI_NOTIFY_CAP_MULT);
  EXPECT_EQ(multiplier, 4u);
  const uint32_t length = t.ReadPci<uint32_t>(at + VIRTIO_PCI_CAP_LENGTH);
  std::set<uint32_t> addresses;
  for (uint16_t i = 0; i < 1024; ++i) {
    t.SelectQueue(i);
    const uint32_t offset = t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_NOFF) * multiplier;
    EXPECT_GE(length, offset + 2);
    addresses.insert(offset);
  }
  EXPECT_EQ(addresses.size(), 1024u);
}

// "The device MUST present at least one VIRTIO_PCI_CAP_ISR_CFG capability."
TEST(Pci, Pci_4_1_4_5_1_IsrCapability) {
  TransportHarness t;
  const uint32_t at = t.FindCapability(VIRTIO_PCI_CAP_ISR_CFG);
  ASSERT_NE(at, 0u);
  EXPECT_GE(t.ReadPci<uint32_t>(at + VIRTIO_PCI_CAP_LENGTH), 1u);
}

// "The device MUST set the Device Configuration Interrupt bit in ISR status before sending a device
// configuration change notification to the driver", with MSI-X too.
TEST(Pci, Pci_4_1_4_5_1_ConfigurationInterruptBit) {
  for (bool msix : {false, true}) {
    TransportHarness t;
    if (msix) t.InitialiseMsix();
    t.Initialise();
    t.loop.RunUntilIdle();
    t.device.Change();
    EXPECT_EQ(t.ReadBar<uint8_t>(kIsrOffset), 2);
  }
}

// "If MSI-X capability is disabled, the device MUST set the Queue Interrupt bit in ISR status
// before sending a virtqueue notification to the driver."
TEST(Pci, Pci_4_1_4_5_1_QueueInterruptBit) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  t.device.notifier->NotifyQueue(1);
  EXPECT_EQ(t.ReadBar<uint8_t>(kIsrOffset), 1);
}

// "If MSI-X capability is disabled, the device MUST set the Interrupt Status bit in the PCI Status
// register in the PCI Configuration Header of the device to the logical OR of all bits in ISR
// status of the device."
TEST(Pci, Pci_4_1_4_5_1_PciInterruptStatus) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  const auto asserted = [&t] {
    return (t.ReadPci<uint16_t>(PCI_STATUS) & PCI_STATUS_INTERRUPT) != 0;
  };
  EXPECT_FALSE(asserted());
  t.device.Change();
  EXPECT_TRUE(asserted());
  t.SetMsix(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_FALSE(asserted());
  t.SetMsix(0);
  EXPECT_TRUE(asserted());
  t.ReadBar<uint8_t>(kIsrOffset);
  EXPECT_FALSE(asserted());
}

// "The device MUST reset ISR status to 0 on driver read."
TEST(Pci, Pci_4_1_4_5_1_IsrIsClearedByReading) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  t.device.notifier->NotifyQueue(0);
  t.device.Change();
  EXPECT_EQ(t.ReadBar<uint32_t>(kIsrOffset), 3u);
  EXPECT_EQ(t.ReadBar<uint8_t>(kIsrOffset), 0);
}

// "The device MUST present at least one VIRTIO_PCI_CAP_DEVICE_CFG capability for any device type
// which has a device-specific configuration."
TEST(Pci, Pci_4_1_4_6_DeviceConfigurationCapability) {
  EXPECT_NE(TransportHarness().FindCapability(VIRTIO_PCI_CAP_DEVICE_CFG), 0u);
  EXPECT_EQ(TransportHarness({.config_bytes = 0}).FindCapability(VIRTIO_PCI_CAP_DEVICE_CFG), 0u);
}

// "The offset for the device-specific configuration MUST be 4-byte aligned."
TEST(Pci, Pci_4_1_4_6_1_DeviceConfigurationAlignment) {
  TransportHarness t;
  const uint32_t at = t.FindCapability(VIRTIO_PCI_CAP_DEVICE_CFG);
  EXPECT_EQ(t.ReadPci<uint32_t>(at + VIRTIO_PCI_CAP_OFFSET) % 4, 0u);
  EXPECT_EQ(t.ReadPci<uint32_t>(at + VIRTIO_PCI_CAP_LENGTH), 8u);
}

// "The region defined by the combination of cap.offset, offset_hi, and cap.length, length_hi MUST
// be contained within the BAR specified by cap.bar. The cap.id MUST be unique for any one device
// instance."
TEST(Pci, Pci_4_1_4_7_1_SharedMemory) {
  const uint64_t size = uint64_t{5} << 30;
  TransportHarness t({.shared_memory = {{.id = 1, .offset = 0, .length = 0x10000},
                                        {.id = 7, .offset = 0x10000, .length = size}}});
  t.WritePci<uint64_t>(PCI_BASE_ADDRESS_2, ~uint64_t{0});
  const uint64_t mask = t.ReadPci<uint64_t>(PCI_BASE_ADDRESS_2);
  EXPECT_EQ(mask & 0xf, 0xcu);
  const uint64_t bar_bytes = ~(mask & ~uint64_t{0xf}) + 1;
  std::set<uint8_t> ids;
  for (uint32_t at = t.FindCapability(VIRTIO_PCI_CAP_SHARED_MEMORY_CFG); at != 0;
       at = t.ReadPci<uint8_t>(at + 1)) {
    EXPECT_EQ(t.ReadPci<uint8_t>(at + VIRTIO_PCI_CAP_CFG_TYPE), VIRTIO_PCI_CAP_SHARED_MEMORY_CFG);
    EXPECT_EQ(t.ReadPci<uint8_t>(at + VIRTIO_PCI_CAP_BAR), 2);
    const uint64_t offset = t.ReadPci<uint32_t>(at + VIRTIO_PCI_CAP_OFFSET) |
                            uint64_t{t.ReadPci<uint32_t>(at + 16)} << 32;
    const uint64_t length = t.ReadPci<uint32_t>(at + VIRTIO_PCI_CAP_LENGTH) |
                            uint64_t{t.ReadPci<uint32_t>(at + 20)} << 32;
    EXPECT_LE(offset + length, bar_bytes);
    ids.insert(t.ReadPci<uint8_t>(at + 5));
  }
  EXPECT_EQ(ids, (std::set<uint8_t>{1, 7}));
}

// "The device MUST present at least one VIRTIO_PCI_CAP_PCI_CFG capability." "Upon detecting driver
// write access to pci_cfg_data, the device MUST execute a write access at offset cap.offset at BAR
// selected by cap.bar using the first cap.length bytes from pci_cfg_data. Upon detecting driver
// read access to pci_cfg_data, the device MUST execute a read access of length cap.length at offset
// cap.offset at BAR selected by cap.bar and store the first cap.length bytes in pci_cfg_data."
TEST(Pci, Pci_4_1_4_9_1_ConfigurationAccess) {
  TransportHarness t;  // memory decoding is off: the capability exists for this case
  const uint32_t at = t.FindCapability(VIRTIO_PCI_CAP_PCI_CFG);
  ASSERT_NE(at, 0u);
  const auto open = [&](uint32_t offset, uint32_t length) {
    t.WritePci<uint8_t>(at + VIRTIO_PCI_CAP_BAR, 0);
    t.WritePci<uint32_t>(at + VIRTIO_PCI_CAP_OFFSET, offset);
    t.WritePci<uint32_t>(at + VIRTIO_PCI_CAP_LENGTH, length);
  };
  const uint32_t data = at + 16;
  EXPECT_EQ(t.ReadPci<uint32_t>(data), 0u);
  EXPECT_EQ(t.fast_reads_disabled, 0);
  open(kCommonOffset + VIRTIO_PCI_COMMON_STATUS, 1);
  EXPECT_EQ(t.fast_reads_disabled, 1);  // from now on each read must cause an exit
  t.WritePci<uint8_t>(data, kDriverReady);
  EXPECT_EQ(t.ReadPci<uint8_t>(data), kDriverReady);
  open(kCommonOffset + VIRTIO_PCI_COMMON_Q_SIZE, 2);
  t.WritePci<uint32_t>(data, 0xffff'0020);
  EXPECT_EQ(t.ReadPci<uint16_t>(data), 0x20);
  open(kDeviceConfigOffset + 4, 4);
  EXPECT_EQ(t.ReadPci<uint32_t>(data), 0x08070605u);
  t.device.config[4] = 0x55;
  EXPECT_EQ(t.ReadPci<uint8_t>(data), 0x55);
  EXPECT_EQ(t.fast_reads_disabled, 1);
}

TEST(Pci, Pci_4_1_4_9_1_InvalidWindowsAccessNothing) {
  TransportHarness t;
  const uint32_t at = t.FindCapability(VIRTIO_PCI_CAP_PCI_CFG);
  struct Window {
    uint8_t bar;
    uint32_t offset;
    uint32_t length;
  };
  for (const Window& window : std::vector<Window>{{0, 0, 0},
                                                  {0, 0, 3},
                                                  {0, 0, 8},
                                                  {0, 1, 2},
                                                  {0, kRegisterBarBytes, 4},
                                                  {0, 0xffff'fffc, 4},
                                                  {1, 0, 4},
                                                  {0xff, 0, 4}}) {
    t.WritePci<uint8_t>(at + VIRTIO_PCI_CAP_BAR, window.bar);
    t.WritePci<uint32_t>(at + VIRTIO_PCI_CAP_OFFSET, window.offset);
    t.WritePci<uint32_t>(at + VIRTIO_PCI_CAP_LENGTH, window.length);
    t.WritePci<uint32_t>(at + 16, 0x1122'3344);
    EXPECT_EQ(t.ReadPci<uint32_t>(at + 16), 0x1122'3344u);
    t.WritePci<uint32_t>(at + VIRTIO_PCI_CAP_LENGTH, 0);
  }
}

// "Device MUST report the number of vectors supported in Table Size in the MSI-X Capability."
// "SHOULD support at least 2 and at most 0x800 MSI-X vectors."
TEST(Pci, Pci_4_1_5_1_2_1_TableSize) {
  TransportHarness t;
  EXPECT_EQ(t.ReadPci<uint16_t>(t.FindMsix() + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE, 3 - 1);
}

// "Device MUST support mapping any event type to any valid vector 0 to MSI-X Table Size." "The
// device MUST return vector mapped to a given event, (NO_VECTOR if unmapped) on read."
TEST(Pci, Pci_4_1_5_1_2_1_AnyEventToAnyVector) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  for (uint16_t vector = 0; vector < 3; ++vector) {
    t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_MSIX, vector);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_MSIX), vector);
    const uint64_t before = t.msi.delivered(100u + vector);
    t.device.Change();
    EXPECT_EQ(t.msi.delivered(100u + vector), before + 1);
    for (uint16_t queue = 0; queue < 2; ++queue) {
      t.SelectQueue(queue);
      t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX, vector);
      EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX), vector);
      t.device.notifier->NotifyQueue(queue);
      EXPECT_EQ(t.msi.delivered(100u + vector), before + 2 + queue);
    }
  }
}

// "Device MUST support unmapping any event type." "If MSI-X capability is enabled and
// queue_msix_vector is NO_VECTOR for a virtqueue, the device MUST NOT deliver an interrupt for that
// virtqueue." (§4.1.5.3.1; the same for configuration changes, §4.1.5.4.1)
TEST(Pci, Pci_4_1_5_1_2_1_UnmappedEventsDeliverNothing) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_MSIX, VIRTIO_MSI_NO_VECTOR);
  t.SelectQueue(0);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX, VIRTIO_MSI_NO_VECTOR);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_MSIX), VIRTIO_MSI_NO_VECTOR);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX), VIRTIO_MSI_NO_VECTOR);
  t.device.notifier->NotifyQueue(0);
  t.device.Change();
  EXPECT_EQ(t.msi.delivered(), 0u);
}

// "The device MUST have all queue and configuration change events are unmapped upon reset."
TEST(Pci, Pci_4_1_5_1_2_1_ResetUnmapsEverything) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SetStatus(0);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_MSIX), VIRTIO_MSI_NO_VECTOR);
  for (uint16_t queue = 0; queue < 2; ++queue) {
    t.SelectQueue(queue);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX), VIRTIO_MSI_NO_VECTOR);
  }
}

// "Devices MUST report mapping failures by returning the NO_VECTOR value when the relevant
// config_msix_vector/queue_msix_vector field is read."
TEST(Pci, Pci_4_1_5_1_2_1_VectorsThatDoNotExistAreNotMapped) {
  TransportHarness t;
  t.EnableMemory();
  for (uint16_t vector : std::initializer_list<uint16_t>{3, 0x7ff, 0x800, 0xfffe}) {
    t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_MSIX, 0);
    t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_MSIX, vector);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_MSIX), VIRTIO_MSI_NO_VECTOR);
    t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX, vector);
    EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX), VIRTIO_MSI_NO_VECTOR);
  }
}

// Requirements for vendor data bind only a device that presents vendor data.
TEST(Pci, Pci_4_1_4_8_1_NoVendorData) {
  EXPECT_EQ(TransportHarness().FindCapability(9 /* VIRTIO_PCI_CAP_VENDOR_CFG */), 0u);
}

// "If MSI-X capability is enabled and queue_msix_vector is NO_VECTOR for a virtqueue, the device
// MUST NOT deliver an interrupt for that virtqueue."
TEST(Pci, Pci_4_1_5_3_1_NoVectorNoQueueInterrupt) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SelectQueue(1);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX, VIRTIO_MSI_NO_VECTOR);
  t.device.notifier->NotifyQueue(1);
  EXPECT_EQ(t.msi.delivered(), 0u);
  EXPECT_EQ(t.ReadPci<uint16_t>(PCI_STATUS) & PCI_STATUS_INTERRUPT, 0);
  t.device.notifier->NotifyQueue(0);
  EXPECT_EQ(t.msi.delivered(), 1u);
}

// A queue that the host's kernel serves sends its interrupts through an eventfd.
TEST(Pci, SignalsOfAQueuesEventfdInterruptTheDriver) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  const int fd = t.device.notifier->QueueInterruptFd(1).value();
  ASSERT_EQ(eventfd_write(fd, 1), 0);
  t.msi.DeliverSignals();
  EXPECT_EQ(t.msi.delivered(102), 1u);
  EXPECT_EQ(t.msi.delivered(), 1u);
  t.SelectQueue(0);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX, VIRTIO_MSI_NO_VECTOR);
  EXPECT_FALSE(t.device.notifier->QueueInterruptFd(0).ok());
}

// "If MSI-X capability is enabled and config_msix_vector is NO_VECTOR, the device MUST NOT deliver
// an interrupt for device configuration space changes."
TEST(Pci, Pci_4_1_5_4_1_NoVectorNoConfigurationInterrupt) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_MSIX, VIRTIO_MSI_NO_VECTOR);
  t.device.Change();
  t.device.notifier->NeedsReset("a test");
  EXPECT_EQ(t.msi.delivered(), 0u);
}

}  // namespace
}  // namespace virtio
