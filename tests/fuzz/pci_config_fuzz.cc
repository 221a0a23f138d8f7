// Fuzzes the configuration space of a bus with two functions: writes and reads of every size at
// every place, mixed with accesses to the places where the BARs are or might be.
//
// Must hold: nothing crashes, the memory that a guest reads without an exit has the same contents
// as a read with an exit, and a BAR responds only at the address that is programmed into it.
#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/log.h"
#include "devices/bus.h"
#include "devices/pci/host_bridge.h"
#include "devices/pci/pci_root.h"
#include "tests/fakes/fake_interrupts.h"
#include "tests/fuzz/pci_operations.h"

namespace {

using devices::PciRoot;

constexpr uint64_t kWindow = 0xc000'0000;
constexpr uint64_t kHighWindow = uint64_t{1} << 36;
constexpr unsigned kSlots = 4;  // bridge, function, empty, function

class Function final : public devices::PciHandler {
 public:
  Function(devices::MsiController& msi, uint8_t tag) : msix(msi, 3, "_f"), tag_(tag) {}
  absl::string_view name() const override { return "_f"; }
  void ReadBar(unsigned, uint64_t offset, std::span<uint8_t> data) override {
    CHECK(offset + data.size() <= 0x4000);
    std::fill(data.begin(), data.end(), tag_);
  }
  void WriteBar(unsigned, uint64_t offset, std::span<const uint8_t> data) override {
    msix.WriteTable(offset, data);
  }
  void OnBarMoved(unsigned bar, std::optional<uint64_t> address) override {
    // A BAR disappears from its old address before it appears at a new one.
    CHECK(address.has_value() != mapped_[bar]);
    mapped_[bar] = address.has_value();
  }

  devices::MsixTable msix;

 private:
  const uint8_t tag_;
  std::array<bool, devices::kPciBars> mapped_ = {};
};

class Machine {
 public:
  Machine() {
    root_ = *PciRoot::Create(mmio_, {.window_32bit = {kWindow, 0x10'0000},
                                     .window_64bit = {kHighWindow, 0x10'0000},
                                     .disable_fast_reads = nullptr});
    CHECK(bridge_.AddTo(*root_).ok());
    devices::PciFunctionSpec spec;
    spec.vendor_id = 0x1af4;
    spec.bars[0].size = 0x1000;
    spec.bars[2] = {.size = 0x4000, .is_64bit = true, .prefetchable = true};
    for (Function* function : {&one_, &three_}) {
      devices::PciFunctionSpec own = spec;
      own.AddMsix(function->msix, 0, 0, 0x800);
      own.AddCapability({PCI_CAP_ID_VNDR, 0, 5, 0, 0}, {0, 0, 0, 0xff, 0x0f});
      CHECK(root_->Add(function == &one_ ? 1 : 3, own, *function).ok());
    }
    memory_ = root_->FastReads();
  }

  void Run(const PciOperation& op) {
    const uint64_t ecam = op.where % (kSlots * 4096) / 4096 * PciRoot::kSlotBytes + op.where % 4096;
    switch (op.kind & 7) {
      case 0:
      case 1:
        root_->Write(ecam, op.bytes());
        break;
      case 2:
        CompareRead(ecam, op.size());
        break;
      case 3:
        AccessBar(op);
        break;
      case 4: {
        std::array<uint8_t, 8> bytes;
        mmio_.Read(kWindow + op.where * uint64_t{16}, std::span(bytes).first(op.size()));
        mmio_.Write(kWindow + op.where * uint64_t{16}, op.bytes());
        break;
      }
      case 5:
        one_.msix.Trigger(op.where);
        three_.msix.Trigger(op.where % 4);
        break;
      case 6:
        root_->SetInterruptStatus(op.where % PciRoot::kSlots, op.value[0] % 2 == 1);
        break;
      case 7:
        if (op.value[0] == 0) root_->Reset();
        break;
    }
  }

  void CompareAll() {
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      for (uint32_t at = 0; at < 256; at += 8) CompareRead(slot * PciRoot::kSlotBytes + at, 8);
    }
  }

 private:
  void CompareRead(uint64_t at, size_t size) {
    std::array<uint8_t, 8> bytes;
    root_->Read(at, std::span(bytes).first(size));
    CHECK(std::equal(bytes.begin(), bytes.begin() + static_cast<long>(size),
                     memory_.begin() + static_cast<long>(at)));
  }

  // Reads at the address of a function's BAR. Only that function may respond.
  void AccessBar(const PciOperation& op) {
    const unsigned slot = op.where % 2 == 0 ? 1 : 3;
    const bool high = op.value[0] % 2 == 1;
    const uint32_t reg = high ? PCI_BASE_ADDRESS_2 : PCI_BASE_ADDRESS_0;
    uint64_t address = root_->LoadConfig(slot, reg) & ~0xfu;
    if (high) address |= uint64_t{root_->LoadConfig(slot, reg + 4)} << 32;
    std::array<uint8_t, 8> bytes;
    mmio_.Read(address, std::span(bytes).first(op.size()));
    const bool decodes = (root_->LoadConfig(slot, PCI_COMMAND) & PCI_COMMAND_MEMORY) != 0;
    const bool in_window = address - kWindow < 0x10'0000 || address - kHighWindow < 0x10'0000;
    // The converse need not hold: something else may be in the BAR's place.
    if (bytes[0] == slot) CHECK(decodes && in_window);
    mmio_.Write(address, op.bytes());
  }

  devices::Bus mmio_;
  devices::FakeMsiController msi_;
  devices::HostBridge bridge_;
  Function one_{msi_, 1};
  Function three_{msi_, 3};
  std::unique_ptr<PciRoot> root_;
  std::span<uint8_t> memory_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::SetLogLevel(base::LogLevel::kFatal);
  Machine machine;
  std::span<const uint8_t> input(data, size);
  PciOperation operation;
  for (int i = 0; i < 500 && TakeOperation(input, operation); ++i) machine.Run(operation);
  machine.CompareAll();
  return 0;
}
