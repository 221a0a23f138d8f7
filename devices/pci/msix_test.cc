#include "devices/pci/msix.h"

#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>

#include <array>
#include <bit>
#include <thread>

#include "tests/fakes/fake_interrupts.h"

namespace devices {
namespace {

class Msix : public testing::Test {
 protected:
  void Write32(uint64_t offset, uint32_t value) {
    table.WriteTable(offset, std::bit_cast<std::array<uint8_t, 4>>(value));
  }
  void Write64(uint64_t offset, uint64_t value) {
    table.WriteTable(offset, std::bit_cast<std::array<uint8_t, 8>>(value));
  }
  uint32_t Read32(uint64_t offset) {
    std::array<uint8_t, 4> bytes;
    table.ReadTable(offset, bytes);
    return std::bit_cast<uint32_t>(bytes);
  }
  uint64_t Pending(uint64_t offset = 0) {
    std::array<uint8_t, 8> bytes;
    table.ReadPba(offset, bytes);
    return std::bit_cast<uint64_t>(bytes);
  }
  static uint64_t Entry(unsigned vector) { return vector * MsixTable::kEntryBytes; }
  void SetMessage(unsigned vector, uint32_t data) {
    Write64(Entry(vector), 0xfee00000);
    Write32(Entry(vector) + PCI_MSIX_ENTRY_DATA, data);
  }
  void Mask(unsigned vector, bool masked) {
    Write32(Entry(vector) + PCI_MSIX_ENTRY_VECTOR_CTRL, masked ? 1 : 0);
  }

  FakeMsiController controller;
  MsixTable table{controller, 70, "_disk0"};
};

TEST_F(Msix, AllVectorsAreMaskedAtPowerOn) {
  for (unsigned i = 0; i < 70; ++i) {
    EXPECT_EQ(Read32(Entry(i) + PCI_MSIX_ENTRY_VECTOR_CTRL), 1u) << i;
  }
  EXPECT_EQ(table.pba_bytes(), 16u);
}

TEST_F(Msix, ReservedBitsDoNotStick) {
  Write32(Entry(1), 0xfee0'0fff);
  Write32(Entry(1) + PCI_MSIX_ENTRY_VECTOR_CTRL, 0xffff'ffff);
  EXPECT_EQ(Read32(Entry(1)), 0xfee0'0ffcu);
  EXPECT_EQ(Read32(Entry(1) + PCI_MSIX_ENTRY_VECTOR_CTRL), 1u);
}

TEST_F(Msix, NarrowAndMisalignedAccessesAreMerged) {
  table.WriteTable(Entry(2) + 8, std::array<uint8_t, 2>{0x11, 0x22});
  table.WriteTable(Entry(2) + 10, std::array<uint8_t, 1>{0x33});
  EXPECT_EQ(Read32(Entry(2) + 8), 0x332211u);
  // Across two entries: the mask of one, the address of the next.
  table.WriteTable(Entry(2) + 14, std::array<uint8_t, 4>{0, 0, 0xf0, 0xee});
  EXPECT_EQ(Read32(Entry(3)), 0xeef0u);
  EXPECT_EQ(Read32(Entry(2) + 12), 1u);
}

TEST_F(Msix, AccessesBeyondTheTableHaveNoEffect) {
  Write64(Entry(70), ~uint64_t{0});
  Write64(Entry(70) - 4, ~uint64_t{0});
  EXPECT_EQ(Read32(Entry(70)), 0u);
  EXPECT_EQ(Read32(Entry(70) - 4), 1u);
  EXPECT_EQ(Pending(16), 0u);
  table.Trigger(70);
  table.Trigger(0xffff);
}

TEST_F(Msix, NothingIsSentWhileDisabled) {
  SetMessage(0, 5);
  Mask(0, false);
  table.Trigger(0);
  EXPECT_EQ(controller.delivered(), 0u);
  EXPECT_EQ(controller.in_use(), 0);
  table.SetControl(true, false);
  EXPECT_EQ(controller.delivered(), 0u);  // what was triggered then is not an interrupt now
}

TEST_F(Msix, InterruptsAreTakenAtFirstUnmaskOnly) {
  for (unsigned i = 0; i < 70; ++i) SetMessage(i, i);
  table.SetControl(true, false);
  EXPECT_EQ(controller.in_use(), 0);
  Mask(3, false);
  EXPECT_EQ(controller.in_use(), 1);
  table.Trigger(3);
  EXPECT_EQ(controller.delivered(3), 1u);
}

TEST_F(Msix, RoutesChangeOnlyWhenUnmaskedWithAnotherMessage) {
  SetMessage(0, 5);
  table.SetControl(true, false);
  Mask(0, false);
  EXPECT_EQ(controller.route_changes(), 1u);
  for (int i = 0; i < 10; ++i) {
    Mask(0, true);
    Mask(0, false);
  }
  table.SetControl(true, true);
  table.SetControl(true, false);
  EXPECT_EQ(controller.route_changes(), 1u);
  Mask(0, true);
  SetMessage(0, 6);
  SetMessage(0, 7);
  EXPECT_EQ(controller.route_changes(), 1u);
  Mask(0, false);
  EXPECT_EQ(controller.route_changes(), 2u);
  table.Trigger(0);
  EXPECT_EQ(controller.delivered(7), 1u);
}

TEST_F(Msix, AChangedMessageCountsWithoutMaskToo) {
  SetMessage(0, 5);
  table.SetControl(true, false);
  Mask(0, false);
  SetMessage(0, 6);
  table.Trigger(0);
  EXPECT_EQ(controller.delivered(6), 1u);
}

// [PCI 3.0 §6.8.2.9]: "the function is prohibited from sending the message" while masked, and sends
// it at unmask when the pending bit is set.
TEST_F(Msix, MaskedInterruptsArePendingAndSentOnceAtUnmask) {
  SetMessage(65, 5);
  table.SetControl(true, false);
  table.Trigger(65);
  table.Trigger(65);
  EXPECT_EQ(controller.delivered(), 0u);
  EXPECT_EQ(Pending(8), uint64_t{1} << 1);
  EXPECT_EQ(Pending(0), 0u);
  Mask(65, false);
  EXPECT_EQ(controller.delivered(5), 1u);
  EXPECT_EQ(Pending(8), 0u);
}

TEST_F(Msix, FunctionMaskHoldsEveryVector) {
  SetMessage(0, 5);
  SetMessage(1, 6);
  Mask(0, false);
  table.SetControl(true, true);
  table.Trigger(0);
  table.Trigger(1);
  EXPECT_EQ(Pending(), 3u);
  table.SetControl(true, false);
  EXPECT_EQ(controller.delivered(5), 1u);
  EXPECT_EQ(controller.delivered(6), 0u);  // its own mask is still set
  EXPECT_EQ(Pending(), 2u);
}

TEST_F(Msix, DisablingForgetsPendingInterrupts) {
  SetMessage(0, 5);
  table.SetControl(true, false);
  table.Trigger(0);
  table.SetControl(false, false);
  EXPECT_EQ(Pending(), 0u);
  table.SetControl(true, false);
  Mask(0, false);
  EXPECT_EQ(controller.delivered(), 0u);
}

TEST_F(Msix, WithoutHostInterruptsMessagesAreSentOneByOne) {
  controller.FailCreate(true);
  SetMessage(0, 5);
  table.SetControl(true, false);
  Mask(0, false);
  table.Trigger(0);
  EXPECT_EQ(controller.delivered(5), 1u);
  EXPECT_EQ(controller.sent(), 1u);
}

TEST_F(Msix, WithoutARouteMessagesAreSentOneByOne) {
  SetMessage(0, 5);
  table.SetControl(true, false);
  controller.FailRoute(true);
  Mask(0, false);
  table.Trigger(0);
  EXPECT_EQ(controller.sent(), 1u);
  EXPECT_EQ(controller.in_use(), 0);
}

TEST_F(Msix, ResetGivesEverythingBack) {
  SetMessage(0, 5);
  table.SetControl(true, false);
  Mask(0, false);
  table.Trigger(1);
  table.Reset();
  EXPECT_EQ(controller.in_use(), 0);
  EXPECT_FALSE(table.enabled());
  EXPECT_EQ(Read32(Entry(0) + PCI_MSIX_ENTRY_DATA), 0u);
  EXPECT_EQ(Read32(Entry(0) + PCI_MSIX_ENTRY_VECTOR_CTRL), 1u);
  table.SetControl(true, false);
  SetMessage(0, 5);
  Mask(0, false);
  EXPECT_EQ(controller.in_use(), 1);
  EXPECT_EQ(controller.route_changes(), 2u);  // a new interrupt knows nothing of the old message
  EXPECT_EQ(Pending(), 0u);
}

// --- Eventfds that others signal ---

TEST_F(Msix, AnEventfdSendsTheVectorsMessage) {
  SetMessage(0, 5);
  SetMessage(1, 6);
  table.SetControl(true, false);
  Mask(0, false);
  const int fd = table.EventFd(0).value();
  EXPECT_EQ(table.EventFd(0).value(), fd) << "always the same";
  EXPECT_NE(table.EventFd(1).value(), fd);
  ASSERT_EQ(eventfd_write(fd, 1), 0);
  controller.DeliverSignals();
  EXPECT_EQ(controller.delivered(5), 1u);
  table.Trigger(0);
  EXPECT_EQ(controller.delivered(5), 2u);
  EXPECT_EQ(controller.in_use(), 2);
  EXPECT_FALSE(table.EventFd(70).ok());
  EXPECT_FALSE(table.EventFd(0xffff).ok());
}

TEST_F(Msix, SignalsOfAMaskedVectorWaitInItsEventfd) {
  SetMessage(0, 5);
  table.SetControl(true, false);
  const int fd = table.EventFd(0).value();  // before it is unmasked for the first time
  ASSERT_EQ(eventfd_write(fd, 1), 0);
  controller.DeliverSignals();
  EXPECT_EQ(controller.delivered(), 0u);
  EXPECT_EQ(Pending(), 1u);
  Mask(0, false);
  controller.DeliverSignals();
  EXPECT_EQ(controller.delivered(5), 1u);
  EXPECT_EQ(Pending(), 0u);

  Mask(0, true);
  ASSERT_EQ(eventfd_write(fd, 1), 0);
  controller.DeliverSignals();
  EXPECT_EQ(controller.delivered(), 1u);
  SetMessage(0, 7);
  Mask(0, false);
  controller.DeliverSignals();
  EXPECT_EQ(controller.delivered(7), 1u) << "by the message that counts then";
  EXPECT_EQ(table.EventFd(0).value(), fd);
}

TEST_F(Msix, SignalsAreForgottenWithWhatIsPending) {
  SetMessage(0, 5);
  table.SetControl(true, false);
  const int fd = table.EventFd(0).value();
  ASSERT_EQ(eventfd_write(fd, 1), 0);
  table.ClearPending();
  EXPECT_EQ(Pending(), 0u);
  ASSERT_EQ(eventfd_write(fd, 1), 0);
  table.SetControl(false, false);
  table.SetControl(true, false);
  Mask(0, false);
  controller.DeliverSignals();
  EXPECT_EQ(controller.delivered(), 0u);
}

TEST_F(Msix, AnEventfdStaysValidWhenTheHostCannotRouteIt) {
  SetMessage(0, 5);
  table.SetControl(true, false);
  const int fd = table.EventFd(0).value();
  controller.FailRoute(true);
  Mask(0, false);
  EXPECT_EQ(controller.in_use(), 1);
  EXPECT_EQ(table.EventFd(0).value(), fd);
  table.Reset();
  EXPECT_EQ(controller.in_use(), 0);
}

TEST_F(Msix, WithoutInterruptsThereIsNoEventfd) {
  SetMessage(0, 5);
  table.SetControl(true, false);
  controller.FailCreate(true);
  EXPECT_FALSE(table.EventFd(0).ok());
  Mask(0, false);
  table.Trigger(0);
  EXPECT_EQ(controller.sent(), 1u);
  controller.FailCreate(false);
  ASSERT_EQ(eventfd_write(table.EventFd(0).value(), 1), 0);
  controller.DeliverSignals();
  EXPECT_EQ(controller.delivered(5), 2u);
}

// One thread triggers, one masks, moves and unmasks: no interrupt may be lost, whatever the order.
TEST_F(Msix, NoInterruptIsLostWhileTheGuestChangesVectors) {
  SetMessage(0, 0);
  table.SetControl(true, false);
  Mask(0, false);
  constexpr uint64_t kRounds = 2000;
  std::thread trigger([this] {
    for (uint64_t i = 0; i < kRounds; ++i) {
      const uint64_t before = controller.delivered();
      table.Trigger(0);
      // Merged with others while masked, but delivered in the end.
      while (controller.delivered() == before) std::this_thread::yield();
    }
  });
  std::atomic<bool> done{false};
  std::thread driver([this, &done] {
    for (uint32_t i = 1; !done; ++i) {
      Mask(0, true);
      SetMessage(0, i % 8);
      Mask(0, false);
      table.SetControl(true, true);
      static_cast<void>(Pending());
      table.SetControl(true, false);
      Write32(PCI_MSIX_ENTRY_DATA, i % 4);
    }
  });
  trigger.join();
  done = true;
  driver.join();
  EXPECT_GE(controller.delivered(), kRounds);
  EXPECT_EQ(Pending(), 0u);
}

}  // namespace
}  // namespace devices
