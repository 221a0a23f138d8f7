// Transports that come and go while a vCPU runs. Meant for TSan too.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "virtio/transport/testing/transport_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t kEcam = 0xe000'0000;

TEST(TransportRemovalTest, TheConfigurationIsReadAndChangedUnderOneLockFromFirstToLast) {
  TransportHarness t;
  ASSERT_TRUE(t.mmio.Insert(kEcam, devices::PciRoot::kEcamBytes, *t.root).ok());
  constexpr uint64_t kFunction = kEcam + TransportHarness::kSlot * devices::PciRoot::kSlotBytes;
  std::atomic<int> reads = 0;
  const auto change = [&t](uint8_t value) {
    t.device.Change([&] { t.device.config[0] = t.device.config[1] = value; });
  };
  change(1);

  const std::jthread vcpu([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      t.mmio.Write(kFunction + PCI_COMMAND, std::array<uint8_t, 2>{PCI_COMMAND_MEMORY, 0});
      std::array<uint8_t, 2> config = {};
      if (!t.mmio.Read(TransportHarness::kWindow + kDeviceConfigOffset, config)) continue;
      EXPECT_EQ(config[0], config[1]);
      ++reads;
    }
  });
  const std::jthread host([&](const std::stop_token& stop) {
    for (uint8_t value = 1; !stop.stop_requested(); ++value) change(value);
  });
  for (int i = 0; i < 40; ++i) {
    const int before = reads;
    while (reads == before) std::this_thread::yield();
    t.transport.reset();
    t.transport = *PciTransport::Create(t.device, *t.doorbells, *t.memory, *t.root,
                                        TransportHarness::kSlot, t.msi, t.mapper, {});
  }
}

}  // namespace
}  // namespace virtio
