// Fuzzes a virtio-pci function with a driver that does anything at any time: accesses of every size
// and place to its registers and configuration space, while the device's loop runs, stops are slow
// and the device interrupts.
//
// Must hold: the device gets its orders in an order that it can follow (FakeDevice checks this),
// and after any accesses a reset ends with device_status 0 and all interrupts and doorbells
// released.
#include <array>
#include <cstdint>
#include <span>

#include "base/log.h"
#include "tests/fuzz/pci_operations.h"
#include "virtio/transport/testing/transport_fixtures.h"

namespace {

class Driver {
 public:
  explicit Driver(uint8_t flags)
      : t_({.features = uint64_t{3} << 28,
            .queue_sizes = {8, 4, 2},
            .slow_stop = (flags & 1) != 0}) {
    if ((flags & 2) != 0) t_.InitialiseMsix();
    if ((flags & 4) != 0) t_.Initialise();
    if ((flags & 8) != 0) t_.loop.RunUntilIdle();
    if ((flags & 16) != 0) t_.mapper.FailMap(true);
    if ((flags & 32) != 0) t_.msi.FailCreate(true);
  }

  void Run(const PciOperation& op) {
    switch (op.kind & 15) {
      case 0:
      case 1:
      case 2:
      case 3:
        Write(op.where % 64, op);  // the common configuration
        break;
      case 4:
        Write(op.where, op);
        break;
      case 5: {
        std::array<uint8_t, 8> bytes;
        t_.mmio.Read(t_.BarAddress() + op.where, std::span(bytes).first(op.size()));
        break;
      }
      case 6:
        t_.root->Write(Config(op.where), op.bytes());
        break;
      case 7: {
        std::array<uint8_t, 8> bytes;
        t_.root->Read(Config(op.where), std::span(bytes).first(op.size()));
        break;
      }
      case 8:
        t_.loop.RunTurn();
        break;
      case 9:
        t_.loop.RunUntilIdle();
        break;
      case 10:
        t_.device.FinishStops();
        break;
      case 11:
        Interrupt(op);
        break;
      case 12:
        t_.SetStatus(op.value[0]);
        break;
      case 13:
        t_.EnableQueue(op.value[0] % 4);
        break;
      case 14:
        t_.SelectQueue(op.value[0] % 4);
        t_.SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_RESET, 1);
        break;
      case 15:
        if (op.value[0] == 0) t_.transport->Reset([] {});
        if (op.value[0] == 1) t_.EnableMemory();
        if (op.value[0] == 2) t_.Initialise();
        break;
    }
  }

  void Finish() {
    bool done = false;
    t_.transport->Reset([&done] { done = true; });
    for (int i = 0; i < 8 && !done; ++i) {
      t_.loop.RunUntilIdle();
      t_.device.FinishStops();
    }
    CHECK(done && t_.device.notifier == nullptr && t_.device.running.empty());
    CHECK(t_.msi.in_use() == 0 && t_.mapper.mapped().empty());
    t_.root->Reset();
    t_.EnableMemory();
    CHECK(t_.status() == 0);
  }

 private:
  static uint64_t Config(uint16_t where) {
    return virtio::TransportHarness::kSlot * devices::PciRoot::kSlotBytes + where % 256;
  }
  void Write(uint32_t offset, const PciOperation& op) {
    t_.mmio.Write(t_.BarAddress() + offset, op.bytes());
  }
  void Interrupt(const PciOperation& op) {
    if (t_.device.notifier == nullptr) return;
    switch (op.where % 3) {
      case 0:
        return t_.device.notifier->NotifyQueue(op.value[0] % 3);
      case 1:
        return t_.device.Change();
      case 2:
        return t_.device.notifier->NeedsReset("a test");
    }
  }

  virtio::TransportHarness t_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::SetLogLevel(base::LogLevel::kFatal);
  if (size == 0) return 0;
  Driver driver(data[0]);
  std::span<const uint8_t> input(data + 1, size - 1);
  PciOperation operation;
  for (int i = 0; i < 300 && TakeOperation(input, operation); ++i) driver.Run(operation);
  driver.Finish();
  return 0;
}
