#include "virtio/transport/pci_transport.h"

#include <gtest/gtest.h>

#include "virtio/transport/transport_harness.h"

namespace virtio {
namespace {

TEST(PciTransport, DrivesADeviceFromResetToResetAgain) {
  TransportHarness t;
  t.Initialise();
  EXPECT_EQ(t.status(), kDriverOk);
  EXPECT_EQ(t.device.TakeOrders(), "");  // nothing of the device happens on a vCPU
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "activate start0 start1");
  EXPECT_EQ(t.device.accepted, kFeatureVersion1 | kFeatureRingReset);

  t.SetStatus(0);
  EXPECT_EQ(t.status(), kDriverOk);
  t.loop.RunUntilIdle();
  EXPECT_EQ(t.device.TakeOrders(), "stop0 stop1 deactivate");
  EXPECT_EQ(t.status(), 0);
}

}  // namespace
}  // namespace virtio
