// The life cycle of the transport, and drivers that break the rules. conformance_test.cc tests the
// rules themselves.
#include "virtio/transport/pci_transport.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "virtio/transport/testing/transport_fixtures.h"

namespace virtio {
namespace {

bool Signalled(int fd) {
  pollfd poll_fd = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&poll_fd, 1, 0) == 1;
}

TEST(PciTransport, DrivesADeviceFromResetToResetAgain) {
  TransportHarness t;
  t.Initialise();
  EXPECT_EQ(t.status(), kDriverOk);
  EXPECT_EQ(t.device.TakeOrders(), "");  // no vCPU calls the device
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "activate start0 start1");
  EXPECT_EQ(t.device.accepted, kFeatureVersion1 | kFeatureRingReset);

  t.SetStatus(0);
  EXPECT_EQ(t.status(), kDriverOk);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "stop0 stop1 deactivate");
  EXPECT_EQ(t.status(), 0);
  t.Initialise();
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "activate start0 start1");
}

TEST(PciTransport, ResetOfAnIdleDeviceIsDoneAtOnce) {
  TransportHarness t;
  t.EnableMemory();
  t.SetStatus(kDriverReady);
  t.SetDriverFeatures(kFeatureVersion1);
  t.SetStatus(kFeaturesOk);
  t.EnableQueue(0);
  t.SetStatus(0);
  EXPECT_EQ(t.status(), 0);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE), 0);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "");
}

TEST(PciTransport, ResetDuringActivationStopsTheDevice) {
  TransportHarness t;
  t.Initialise();
  t.SetStatus(0);
  EXPECT_EQ(t.status(), kDriverOk);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "activate start0 start1 stop0 stop1 deactivate");
  EXPECT_EQ(t.status(), 0);
}

TEST(PciTransport, RepeatedResetsStopTheDeviceOnce) {
  TransportHarness t({.slow_stop = true});
  t.Initialise();
  t.loop.RunUntilIdle();
  t.device.TakeOrders();
  for (int i = 0; i < 3; ++i) {
    t.SetStatus(0);
    t.loop.RunUntilIdle();
  }
  EXPECT_EQ(t.device.TakeOrders(), "stop0 stop1");
  EXPECT_EQ(t.status(), kDriverOk);
  t.device.FinishStops();
  EXPECT_EQ(t.device.TakeOrders(), "deactivate");
  EXPECT_EQ(t.status(), 0);
}

TEST(PciTransport, RegistersDoNotChangeDuringReset) {
  TransportHarness t({.slow_stop = true});
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SetStatus(0);
  t.SetStatus(kDriverReady | VIRTIO_CONFIG_S_FAILED);
  t.SetDriverFeatures(1);
  t.SelectQueue(1);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_MSIX, 1);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.status(), kDriverOk);
  t.device.FinishStops();
  EXPECT_EQ(t.status(), 0);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_MSIX), VIRTIO_MSI_NO_VECTOR);
}

TEST(PciTransport, RepeatedDriverOkStartsTheDeviceOnce) {
  TransportHarness t;
  t.Initialise();
  t.SetStatus(kDriverOk);
  t.loop.RunUntilIdle();
  t.SetStatus(kDriverOk);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "activate start0 start1");
}

TEST(PciTransport, OneStatusWriteMaySetAllBits) {
  TransportHarness t;
  t.EnableMemory();
  t.SetDriverFeatures(kFeatureVersion1);
  t.EnableQueue(1);
  t.SetStatus(kDriverOk);
  EXPECT_EQ(t.status(), kDriverOk);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "activate start1");
}

TEST(PciTransport, StatusBitsCannotBeClearedOrInvented) {
  TransportHarness t;
  t.EnableMemory();
  t.SetStatus(kDriverReady);
  t.SetStatus(VIRTIO_CONFIG_S_DRIVER);
  EXPECT_EQ(t.status(), kDriverReady);
  t.SetStatus(kDriverReady | VIRTIO_CONFIG_S_NEEDS_RESET | 0x30);
  EXPECT_EQ(t.status(), kDriverReady);
  t.SetStatus(kDriverReady | VIRTIO_CONFIG_S_FAILED);
  EXPECT_EQ(t.status(), kDriverReady | VIRTIO_CONFIG_S_FAILED);
}

TEST(PciTransport, ADeviceWithoutQueuesWorks) {
  TransportHarness t({.queue_sizes = {}});
  t.Initialise();
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "activate");
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_NUMQ), 0);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 0);
  t.WriteBar<uint16_t>(kNotifyOffset, 0);
  t.SetStatus(0);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "deactivate");
}

TEST(PciTransport, InvalidRingNeedsAReset) {
  TransportHarness t;
  t.EnableMemory();
  t.SetStatus(kDriverReady);
  t.SetDriverFeatures(kFeatureVersion1);
  t.SetStatus(kFeaturesOk);
  t.EnableQueue(0);
  t.SetQueueAddresses(1, TransportHarness::kRamBytes - 16);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE, 1);
  t.SetStatus(kDriverOk);
  EXPECT_EQ(t.status(), kDriverOk | VIRTIO_CONFIG_S_NEEDS_RESET);
  EXPECT_EQ(t.ReadBar<uint8_t>(kIsrOffset), 2);  // the driver was notified
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "");
  t.SetStatus(0);
  EXPECT_EQ(t.status(), 0);
  t.Initialise();
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "activate start0 start1");
}

TEST(PciTransport, NeedsResetFromTheDeviceReachesTheDriverOnce) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  DriverNotifier* notifier = t.device.notifier;
  notifier->NeedsReset("queue 0: a test");
  EXPECT_EQ(t.status(), kDriverOk | VIRTIO_CONFIG_S_NEEDS_RESET);
  EXPECT_EQ(t.msi.delivered(100), 1u);
  t.SetStatus(kDriverOk);
  EXPECT_EQ(t.status(), kDriverOk | VIRTIO_CONFIG_S_NEEDS_RESET);
  t.SetStatus(0);
  notifier->NeedsReset("queue 0: too late");  // the device does not know of the reset yet
  EXPECT_EQ(t.msi.delivered(100), 1u);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.status(), 0);
}

TEST(PciTransport, QueueResetWorksInEveryState) {
  TransportHarness t({.slow_stop = true});
  const auto reset_queue = [&t](uint16_t queue) {
    t.SelectQueue(queue);
    t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
    t.loop.RunUntilIdle();
    return t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET);
  };
  t.EnableMemory();
  EXPECT_EQ(reset_queue(0), 0);  // not negotiated
  t.SetStatus(kDriverReady);
  t.SetDriverFeatures(kFeatureVersion1 | kFeatureRingReset);
  t.SetStatus(kFeaturesOk);
  EXPECT_EQ(reset_queue(0), 0);  // not enabled, so done at once
  t.EnableQueue(0);
  EXPECT_EQ(reset_queue(0), 0);  // not running
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE), 0);
  t.EnableQueue(0);
  t.SetStatus(kDriverOk);
  EXPECT_EQ(reset_queue(7), 0);  // there is no such queue
  EXPECT_EQ(t.device.TakeOrders(), "activate start0");
  EXPECT_EQ(reset_queue(0), 1);
  EXPECT_EQ(reset_queue(0), 1);  // requests are in flight
  t.EnableQueue(0);              // too early: ignored
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "stop0");
  t.device.FinishStops();
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET), 0);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE), 0);
  EXPECT_EQ(reset_queue(0), 0);  // stopped already
  EXPECT_EQ(t.device.TakeOrders(), "");
  t.EnableQueue(0);
  EXPECT_EQ(reset_queue(0), 1);  // the start of the queue is still posted
  EXPECT_EQ(t.device.TakeOrders(), "start0 stop0");
  t.SetStatus(0);  // the device is reset while its queue is being reset: one stop serves both
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "");
  t.device.FinishStops();
  EXPECT_EQ(t.device.TakeOrders(), "deactivate");
  EXPECT_EQ(t.status(), 0);
}

TEST(PciTransport, QueueReEnabledWithAnInvalidRingNeedsAReset) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  t.SelectQueue(0);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
  t.loop.RunUntilIdle();
  t.device.TakeOrders();
  t.SetQueueAddresses(0, 0x10001);
  t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE, 1);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.status(), kDriverOk | VIRTIO_CONFIG_S_NEEDS_RESET);
  EXPECT_EQ(t.device.TakeOrders(), "");
}

TEST(PciTransport, AQueueEnabledAfterDriverOkStarts) {
  TransportHarness t;
  t.EnableMemory();
  t.SetDriverFeatures(kFeatureVersion1);
  t.SetStatus(kDriverOk);
  t.EnableQueue(1);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "activate start1");
}

TEST(PciTransport, DoorbellsAreMappedOnceAndStayMapped) {
  TransportHarness t;
  t.Initialise();
  const uint64_t notify = t.BarAddress() + kNotifyOffset;
  const auto mapped = t.mapper.mapped();
  ASSERT_EQ(mapped.size(), 2u);
  EXPECT_EQ(t.mapper.changes(), 2u);
  t.loop.RunUntilIdle();
  for (uint16_t i = 0; i < 2; ++i) {
    const int fd = t.doorbells->fd(i);
    EXPECT_EQ(mapped.at(notify + 4u * i), fd);
    EXPECT_FALSE(Signalled(fd));
    EXPECT_TRUE(t.mapper.Ring(notify + 4u * i));
    EXPECT_TRUE(Signalled(fd));
  }
  t.SetStatus(0);
  t.loop.RunUntilIdle();
  t.WritePci<uint16_t>(PCI_COMMAND, 0);
  t.Initialise();
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.mapper.changes(), 2u);
}

TEST(PciTransport, DoorbellsFollowTheBar) {
  TransportHarness t;
  t.Initialise();
  const uint64_t moved = TransportHarness::kWindow + 0x100000;
  t.WritePci<uint32_t>(PCI_BASE_ADDRESS_0, static_cast<uint32_t>(moved));
  EXPECT_EQ(t.mapper.mapped().size(), 2u);
  EXPECT_EQ(t.mapper.mapped().count(moved + kNotifyOffset), 1u);
  t.WritePci<uint32_t>(PCI_BASE_ADDRESS_0, 0x1000);  // over RAM
  t.WritePci<uint32_t>(PCI_BASE_ADDRESS_0, static_cast<uint32_t>(moved + 0x10000));
  EXPECT_EQ(t.mapper.mapped().count(moved + 0x10000 + kNotifyOffset + 4), 1u);
  EXPECT_EQ(t.mapper.mapped().size(), 2u);
}

TEST(PciTransport, UnmappedDoorbellsWorkByExits) {
  TransportHarness t;
  t.mapper.FailMap(true);
  t.Initialise();
  t.loop.RunUntilIdle();
  EXPECT_TRUE(t.mapper.mapped().empty());
  t.WriteBar<uint16_t>(kNotifyOffset + 4, 1);
  EXPECT_FALSE(Signalled(t.doorbells->fd(0)));
  EXPECT_TRUE(Signalled(t.doorbells->fd(1)));
  t.WriteBar<uint16_t>(kNotifyOffset + 8, 2);      // there is no such queue
  t.WriteBar<uint32_t>(kNotifyOffset + 0xffc, 0);  // the last address of the page
}

TEST(PciTransport, NotifyBeforeDriverOkDoesNothing) {
  TransportHarness t;
  t.mapper.FailMap(true);
  t.EnableMemory();
  t.SetDriverFeatures(kFeatureVersion1);
  t.EnableQueue(0);
  t.WriteBar<uint16_t>(kNotifyOffset, 0);
  t.SetStatus(kDriverOk);
  t.loop.RunUntilIdle();
  EXPECT_FALSE(Signalled(t.doorbells->fd(0)));
}

TEST(PciTransport, MachineResetReleasesInterruptsAndDoorbells) {
  TransportHarness t({.slow_stop = true});
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.msi.in_use(), 3);
  int done = 0;
  t.transport->Reset([&done] { ++done; });
  t.transport->Reset([&done] { ++done; });
  t.loop.RunUntilIdle();
  EXPECT_EQ(done, 0);
  t.device.FinishStops();
  EXPECT_EQ(done, 2);
  EXPECT_EQ(t.msi.in_use(), 0);
  EXPECT_TRUE(t.mapper.mapped().empty());
  EXPECT_EQ(t.status(), 0);
  t.root->Reset();
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.mapper.mapped().size(), 2u);
  t.device.notifier->NotifyQueue(1);
  EXPECT_EQ(t.msi.delivered(102), 1u);
}

TEST(PciTransport, AccessesOfEveryWidthAndOffsetAreHarmless) {
  TransportHarness t;
  t.InitialiseMsix();
  t.Initialise();
  t.loop.RunUntilIdle();
  for (uint32_t at = 0; at < kRegisterBarBytes; at += at < 0x4100 ? 1 : 251) {
    for (uint32_t size : {1u, 2u, 4u, 8u}) {
      if (at + size > kRegisterBarBytes) continue;
      std::array<uint8_t, 8> bytes;
      t.mmio.Read(t.BarAddress() + at, std::span(bytes).first(size));
      // Writing back the value that was read must change nothing that matters.
      t.mmio.Write(t.BarAddress() + at, std::span<const uint8_t>(bytes).first(size));
    }
  }
  EXPECT_EQ(t.status(), kDriverOk);
  EXPECT_EQ(t.Common<uint64_t>(VIRTIO_PCI_COMMON_Q_DESCLO), TransportHarness::RingAddress(1));
}

TEST(PciTransport, WideWritesReachEveryRegisterTheyCover) {
  TransportHarness t;
  t.EnableMemory();
  t.SetCommon<uint64_t>(VIRTIO_PCI_COMMON_Q_DESCLO, 0x1122334455667788);
  EXPECT_EQ(t.Common<uint64_t>(VIRTIO_PCI_COMMON_Q_DESCLO), 0x1122334455667788u);
  t.SetCommon<uint32_t>(VIRTIO_PCI_COMMON_Q_SIZE, 0x0001'0020);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 0x20);
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX), 1);
  t.SetCommon<uint8_t>(VIRTIO_PCI_COMMON_Q_SIZE, 0x40);  // half a register
  EXPECT_EQ(t.Common<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE), 0x20);
}

TEST(PciTransport, DeviceConfigurationHasAccessesOfEveryWidth) {
  TransportHarness t;
  t.EnableMemory();
  EXPECT_EQ(t.ReadBar<uint64_t>(kDeviceConfigOffset), 0x0807060504030201u);
  EXPECT_EQ(t.ReadBar<uint16_t>(kDeviceConfigOffset + 7),
            0x0008u);  // bytes behind the end read as 0
  EXPECT_EQ(t.ReadBar<uint32_t>(kDeviceConfigOffset + 0xffc), 0u);
  t.WriteBar<uint16_t>(kDeviceConfigOffset + 2, 0xaabb);
  EXPECT_EQ(t.ReadBar<uint32_t>(kDeviceConfigOffset), 0xaabb0201u);
  t.WriteBar<uint32_t>(kDeviceConfigOffset + 6,
                       ~0u);  // reaches beyond the end, so all of it is dropped
  EXPECT_EQ(t.ReadBar<uint16_t>(kDeviceConfigOffset + 6), 0x0807u);
}

// A vCPU brings the device up and down while the loop obeys and the device interrupts. Meant for
// the thread sanitizer, and for orders that come at any moment.
TEST(PciTransport, VcpuLoopAndInterruptsMayRunAtTheSameTime) {
  TransportHarness t;
  t.InitialiseMsix();
  std::atomic<bool> done{false};
  std::thread vcpu([&t, &done] {
    for (int i = 0; i < 200; ++i) {
      t.InitialiseMsix();
      t.Initialise();
      t.SelectQueue(0);
      t.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
      t.ReadBar<uint64_t>(kDeviceConfigOffset);
      t.ReadBar<uint8_t>(kIsrOffset);
      t.SetMsix(i % 2 == 0 ? PCI_MSIX_FLAGS_ENABLE : 0);
      t.WritePci<uint32_t>(PCI_BASE_ADDRESS_0,
                           static_cast<uint32_t>(TransportHarness::kWindow + 0x10000u * (i % 3)));
      t.SetStatus(0);
      while (t.status() != 0) std::this_thread::yield();
    }
    done = true;
  });
  while (!done) {
    t.loop.RunTurn();
    if (t.device.notifier == nullptr) continue;
    t.device.notifier->NotifyQueue(1);
    t.device.Change();
    t.device.notifier->NeedsReset("a test");
  }
  vcpu.join();
  EXPECT_EQ(t.status(), 0);
}

TEST(PciTransport, TooManyQueuesIsAnError) {
  base::FakeEventLoop loop;
  FakeDevice device(loop, {.queue_sizes = std::vector<uint16_t>(1025, 16)});
  TransportHarness t;
  const auto transport =
      PciTransport::Create(device, *t.doorbells, *t.memory, *t.root, 4, t.msi, t.mapper, {});
  EXPECT_EQ(transport.status().message(), "_disk0: 1025 queues, at most 1024 are possible");
}

// A driver that has read the old value before DRIVER_OK would keep it forever.
TEST(PciTransport, ChangeBeforeDriverOkIsAnnouncedAtDriverOk) {
  TransportHarness t;
  t.InitialiseMsix();
  t.SetStatus(kDriverReady);
  t.SetDriverFeatures(kFeatureVersion1);
  t.SetStatus(kFeaturesOk);
  const auto generation = t.Common<uint8_t>(VIRTIO_PCI_COMMON_CFGGENERATION);
  EXPECT_EQ(t.ReadBar<uint8_t>(kDeviceConfigOffset), 1);
  t.device.Change([&t] { t.device.config[0] = 9; });
  EXPECT_EQ(t.msi.delivered(), 0u) << "no interrupt before DRIVER_OK";
  t.SetStatus(kDriverOk);
  EXPECT_EQ(t.msi.delivered(100), 1u);
  EXPECT_EQ(t.ReadBar<uint8_t>(kDeviceConfigOffset), 9);
  EXPECT_NE(t.Common<uint8_t>(VIRTIO_PCI_COMMON_CFGGENERATION), generation);
  t.loop.RunUntilIdle();
  t.device.Change([] {});
  EXPECT_EQ(t.msi.delivered(100), 2u) << "after DRIVER_OK a change is announced at once";
}

TEST(PciTransport, ChangeBeforeAResetIsNotAnnouncedAfterIt) {
  TransportHarness t;
  t.EnableMemory();
  t.SetStatus(kDriverReady);
  t.device.Change();
  t.SetStatus(0);
  t.InitialiseMsix();
  t.Initialise();
  EXPECT_EQ(t.msi.delivered(100), 0u) << "the driver has read only new values";
}

TEST(PciTransport, ChangeIsAnnouncedOnlyToDriversThatAcceptedItsFeature) {
  constexpr uint64_t kFeature = 1 << 5;
  for (const bool accepted : {false, true}) {
    TransportHarness t({.features = kFeature});
    t.InitialiseMsix();
    t.device.Change([] {}, kFeature);
    t.Initialise(kFeatureVersion1 | (accepted ? kFeature : 0));
    EXPECT_EQ(t.msi.delivered(100), accepted ? 1u : 0u) << "announced at DRIVER_OK";
    t.device.Change([] {}, kFeature);
    EXPECT_EQ(t.msi.delivered(100), accepted ? 2u : 0u);
    EXPECT_NE(t.Common<uint8_t>(VIRTIO_PCI_COMMON_CFGGENERATION), 0)
        << "the generation must change in any case";
  }
}

// A 64-bit field is read in halves. The generation shows whether the halves belong together.
TEST(PciTransport, FieldThatChangesDuringAReadIsNeverReadTorn) {
  TransportHarness t;
  t.device.config = {};
  t.Initialise();
  t.loop.RunUntilIdle();
  std::atomic<bool> done = false;
  std::thread vcpu([&] {
    for (int i = 0; i < 20'000; ++i) {
      const auto before = t.Common<uint8_t>(VIRTIO_PCI_COMMON_CFGGENERATION);
      const auto low = t.ReadBar<uint32_t>(kDeviceConfigOffset);
      const auto high = t.ReadBar<uint32_t>(kDeviceConfigOffset + 4);
      if (t.Common<uint8_t>(VIRTIO_PCI_COMMON_CFGGENERATION) != before) continue;
      EXPECT_EQ(low, high) << i;
    }
    done = true;
  });
  for (uint8_t value = 0; !done; ++value) {
    t.device.Change([&] { std::fill_n(t.device.config.begin(), 8, value); });
  }
  vcpu.join();
}

TEST(PciTransport, ChangeWithoutATransportIsShownByTheNext) {
  TransportHarness t;
  t.transport->Reset([] {});
  t.loop.RunUntilIdle();
  t.transport.reset();
  t.device.Change([&t] { t.device.config[0] = 9; });
  EXPECT_EQ(t.device.config[0], 9) << "the next transport must show the new value";
  t.transport = *PciTransport::Create(t.device, *t.doorbells, *t.memory, *t.root,
                                      TransportHarness::kSlot, t.msi, t.mapper, {});
}

TEST(PciTransport, DoorbellsOutliveTheTransport) {
  TransportHarness t;
  t.Initialise();
  t.loop.RunUntilIdle();
  const uint64_t files = t.loop.files_added();
  const int file = t.device.running[1].doorbell.index();
  for (int reboot = 0; reboot < 300; ++reboot) {
    bool reset = false;
    t.transport->Reset([&reset] { reset = true; });
    t.loop.RunUntilIdle();
    ASSERT_TRUE(reset);
    t.transport.reset();
    t.transport = *PciTransport::Create(t.device, *t.doorbells, *t.memory, *t.root,
                                        TransportHarness::kSlot, t.msi, t.mapper, {});
    t.Initialise();
    t.loop.RunUntilIdle();
    ASSERT_EQ(t.device.running[1].doorbell.index(), file);
  }
  EXPECT_EQ(t.loop.files_added(), files);
}

TEST(PciTransport, TakenSlotIsAnError) {
  TransportHarness t;
  const auto transport = PciTransport::Create(t.device, *t.doorbells, *t.memory, *t.root,
                                              TransportHarness::kSlot, t.msi, t.mapper, {});
  EXPECT_EQ(transport.status().message(), "_disk0: PCI slot 3 is taken by _disk0");
  EXPECT_EQ(t.ReadPci<uint16_t>(PCI_VENDOR_ID), 0x1af4);
}

}  // namespace
}  // namespace virtio
