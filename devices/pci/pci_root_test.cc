#include "devices/pci/pci_root.h"

#include <gtest/gtest.h>
#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/pci/host_bridge.h"
#include "tests/fakes/fake_interrupts.h"

namespace devices {
namespace {

constexpr uint64_t kWindow = 0xc000'0000;
constexpr uint64_t kWindowBytes = 0x0100'0000;
constexpr uint64_t kHighWindow = uint64_t{1} << 36;

// Answers reads with its own tag, and remembers what happens to it.
class Function final : public PciHandler {
 public:
  explicit Function(uint8_t tag) : tag_(tag), name_("_f" + std::to_string(tag)) {}
  absl::string_view name() const override { return name_; }
  void ReadBar(unsigned, uint64_t, std::span<uint8_t> data) override {
    std::fill(data.begin(), data.end(), tag_);
  }
  void WriteBar(unsigned, uint64_t offset, std::span<const uint8_t>) override {
    writes.push_back(offset);
  }
  void OnBarMoved(unsigned, std::optional<uint64_t> address) override { moves.push_back(address); }

  std::vector<uint64_t> writes;
  std::vector<std::optional<uint64_t>> moves;

 private:
  const uint8_t tag_;
  const std::string name_;
};

class PciRootTest : public testing::Test {
 protected:
  PciRootTest()
      : root(*PciRoot::Create(mmio, {.window_32bit = {kWindow, kWindowBytes},
                                     .window_64bit = {kHighWindow, kHighWindow}})) {}

  static PciFunctionSpec Spec(uint64_t bar_size = 0x1000) {
    PciFunctionSpec spec;
    spec.vendor_id = 0x1234;
    spec.device_id = 0x5678;
    spec.class_code = 0x010203;
    spec.bars[0].size = bar_size;
    return spec;
  }
  template <typename T>
  T Read(unsigned slot, uint32_t offset) {
    std::array<uint8_t, sizeof(T)> bytes = {};
    root->Read(slot * PciRoot::kSlotBytes + offset, bytes);
    return std::bit_cast<T>(bytes);
  }
  template <typename T>
  void Write(unsigned slot, uint32_t offset, T value) {
    root->Write(slot * PciRoot::kSlotBytes + offset,
                std::bit_cast<std::array<uint8_t, sizeof(T)>>(value));
  }
  void EnableMemory(unsigned slot, bool on = true) {
    Write<uint16_t>(slot, PCI_COMMAND, on ? PCI_COMMAND_MEMORY : 0);
  }
  // Who answers at `address`: a function's tag, or 0xff.
  uint8_t At(uint64_t address) {
    std::array<uint8_t, 1> byte;
    mmio.Read(address, byte);
    return byte[0];
  }

  Bus mmio;
  std::unique_ptr<PciRoot> root;
  Function one{1};
  Function two{2};
};

TEST_F(PciRootTest, EmptySlotsReadAsAllOnes) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  EXPECT_EQ(Read<uint32_t>(0, 0), ~0u);
  EXPECT_EQ(Read<uint32_t>(31, PCI_CLASS_REVISION), ~0u);
  EXPECT_EQ(Read<uint64_t>(31, 0xff8), ~uint64_t{0});
  Write<uint32_t>(31, PCI_COMMAND, 7);
}

TEST_F(PciRootTest, HeaderHasTheValuesOfTheSpec) {
  PciFunctionSpec spec = Spec();
  spec.subsystem_vendor_id = 0x1af4;
  spec.subsystem_id = 0x42;
  spec.revision = 3;
  ASSERT_TRUE(root->Add(1, spec, one).ok());
  EXPECT_EQ(Read<uint32_t>(1, PCI_VENDOR_ID), 0x56781234u);
  EXPECT_EQ(Read<uint32_t>(1, PCI_CLASS_REVISION), 0x01020303u);
  EXPECT_EQ(Read<uint8_t>(1, PCI_HEADER_TYPE), PCI_HEADER_TYPE_NORMAL);
  EXPECT_EQ(Read<uint32_t>(1, PCI_SUBSYSTEM_VENDOR_ID), 0x00421af4u);
  EXPECT_EQ(Read<uint8_t>(1, PCI_INTERRUPT_PIN), 0);
  EXPECT_EQ(Read<uint16_t>(1, PCI_STATUS) & PCI_STATUS_CAP_LIST, 0);
  EXPECT_EQ(Read<uint32_t>(1, 0x100), 0u);  // no extended capabilities
}

TEST_F(PciRootTest, ReadOnlyRegistersDoNotChange) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  std::array<uint8_t, 256> before;
  root->Read(PciRoot::kSlotBytes, before);
  for (uint32_t at = 0; at < 256; at += 4) {
    if (at == PCI_COMMAND || at == PCI_BASE_ADDRESS_0) continue;
    Write<uint32_t>(1, at, ~0u);
  }
  for (uint32_t at = 256; at < 4096; at += 8) Write<uint64_t>(1, at, ~uint64_t{0});
  std::array<uint8_t, 256> after;
  root->Read(PciRoot::kSlotBytes, after);
  before[PCI_CACHE_LINE_SIZE] = after[PCI_CACHE_LINE_SIZE] = 0;  // scratch registers
  before[PCI_INTERRUPT_LINE] = after[PCI_INTERRUPT_LINE] = 0;
  EXPECT_EQ(before, after);
  EXPECT_EQ(Read<uint64_t>(1, 0x100), 0u);
}

TEST_F(PciRootTest, CommandRegisterHasThreeBits) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  Write<uint16_t>(1, PCI_COMMAND, 0xffff);
  EXPECT_EQ(Read<uint16_t>(1, PCI_COMMAND),
            PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
}

// What the guest reads straight from memory must be what an exit would answer.
TEST_F(PciRootTest, MemoryAndExitsAgree) {
  PciFunctionSpec spec = Spec();
  FakeMsiController msi;
  MsixTable msix(msi, 4, "_f1");
  spec.AddMsix(msix, 0, 0x400, 0x800);
  ASSERT_TRUE(root->Add(0, Spec(0), two).ok());
  ASSERT_TRUE(root->Add(3, spec, one).ok());
  const std::span<const uint8_t> memory = root->FastReads();
  ASSERT_EQ(memory.size(), 4 * PciRoot::kSlotBytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 4096, 0u);
  const auto agree = [&] {
    for (uint64_t at = 0; at < memory.size(); at += 8) {
      std::array<uint8_t, 8> exit;
      root->Read(at, exit);
      if (!std::equal(exit.begin(), exit.end(), memory.begin() + static_cast<long>(at))) {
        return testing::AssertionFailure() << "at " << at;
      }
    }
    return testing::AssertionSuccess();
  };
  EXPECT_TRUE(agree());
  EXPECT_EQ(Read<uint32_t>(1, 0), ~0u);      // an empty slot
  EXPECT_EQ(Read<uint32_t>(0, 0x1000), 0u);  // function 1 of a slot that has only function 0
  Write<uint16_t>(3, 0x42, 0xffff);
  Write<uint32_t>(3, PCI_BASE_ADDRESS_0, ~0u);
  Write<uint16_t>(3, PCI_COMMAND, 0xffff);
  root->SetInterruptStatus(3, true);
  EXPECT_TRUE(agree());
  EXPECT_EQ(memory[3 * PciRoot::kSlotBytes + 0x43], 0xc0);
}

// [PCI 3.0 §6.2.5.1]
TEST_F(PciRootTest, BarSizing) {
  PciFunctionSpec spec = Spec(0x10000);
  spec.bars[2] = {.size = uint64_t{1} << 33, .is_64bit = true, .prefetchable = true};
  ASSERT_TRUE(root->Add(1, spec, one).ok());
  EXPECT_EQ(Read<uint32_t>(1, PCI_BASE_ADDRESS_0), kWindow);
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, ~0u);
  EXPECT_EQ(Read<uint32_t>(1, PCI_BASE_ADDRESS_0), 0xffff0000u);
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, 0xc012'3456);
  EXPECT_EQ(Read<uint32_t>(1, PCI_BASE_ADDRESS_0), 0xc012'0000u);

  EXPECT_EQ(Read<uint64_t>(1, PCI_BASE_ADDRESS_2), kHighWindow | 0xc);
  Write<uint32_t>(1, PCI_BASE_ADDRESS_2, ~0u);
  Write<uint32_t>(1, PCI_BASE_ADDRESS_3, ~0u);
  EXPECT_EQ(Read<uint32_t>(1, PCI_BASE_ADDRESS_2), 0xcu);
  EXPECT_EQ(Read<uint32_t>(1, PCI_BASE_ADDRESS_3), 0xfffffffeu);

  for (uint32_t at :
       {PCI_BASE_ADDRESS_1, PCI_BASE_ADDRESS_4, PCI_BASE_ADDRESS_5, PCI_ROM_ADDRESS}) {
    Write<uint32_t>(1, at, ~0u);
    EXPECT_EQ(Read<uint32_t>(1, at), 0u) << at;
  }
}

TEST_F(PciRootTest, BarsAnswerOnlyWhileDecodingIsOn) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  EXPECT_EQ(At(kWindow), 0xff);
  EnableMemory(1);
  EXPECT_EQ(At(kWindow), 1);
  EXPECT_EQ(At(kWindow + 0xfff), 1);
  EXPECT_EQ(At(kWindow + 0x1000), 0xff);
  EnableMemory(1, false);
  EXPECT_EQ(At(kWindow), 0xff);
  mmio.Write(kWindow, std::array<uint8_t, 1>{1});
  EXPECT_TRUE(one.writes.empty());
}

// Each move of a doorbell costs the host a grace period. Linux sizes BARs with decoding switched
// off, and writes the same address back.
TEST_F(PciRootTest, SizingMovesNothing) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  EnableMemory(1);
  ASSERT_EQ(one.moves.size(), 1u);
  EnableMemory(1, false);
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, ~0u);
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, kWindow);
  EnableMemory(1);
  EXPECT_EQ(one.moves.size(), 1u);
  // The same with decoding left on.
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, ~0u);
  EXPECT_EQ(At(kWindow), 0xff);
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, kWindow);
  EXPECT_EQ(At(kWindow), 1);
  EXPECT_EQ(one.moves.size(), 1u);
}

TEST_F(PciRootTest, BarsMove) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  EnableMemory(1);
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, kWindow + 0x5000);
  EXPECT_EQ(At(kWindow), 0xff);
  EXPECT_EQ(At(kWindow + 0x5000), 1);
  EXPECT_EQ(one.moves,
            (std::vector<std::optional<uint64_t>>{kWindow, std::nullopt, kWindow + 0x5000}));
}

TEST_F(PciRootTest, BarsOverRamOrAnythingElseDecodeNothing) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  EnableMemory(1);
  for (uint32_t address : {0u, 0x1000u, 0x8000'0000u, 0xe800'0000u, 0xfec0'0000u, 0xfee0'0000u,
                           0xffff'f000u, static_cast<uint32_t>(kWindow + kWindowBytes)}) {
    Write<uint32_t>(1, PCI_BASE_ADDRESS_0, address);
    EXPECT_EQ(At(address), 0xff) << address;
    EXPECT_EQ(At(kWindow), 0xff) << address;
  }
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, kWindow);
  EXPECT_EQ(At(kWindow), 1);
}

TEST_F(PciRootTest, WrappingSixtyFourBitBarsDecodeNothing) {
  PciFunctionSpec spec = Spec(0);
  spec.bars[4] = {.size = 0x4000, .is_64bit = true};
  ASSERT_TRUE(root->Add(1, spec, one).ok());
  EnableMemory(1);
  EXPECT_EQ(At(kHighWindow), 1);
  Write<uint64_t>(1, PCI_BASE_ADDRESS_4, ~uint64_t{0});
  EXPECT_EQ(At(~uint64_t{0}), 0xff);
  EXPECT_EQ(At(kHighWindow), 0xff);
  Write<uint64_t>(1, PCI_BASE_ADDRESS_4, kWindow + 0x8000);
  EXPECT_EQ(At(kWindow + 0x8000), 1);
}

TEST_F(PciRootTest, FirstOfTwoBarsAtOneAddressKeepsTheAddress) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  ASSERT_TRUE(root->Add(2, Spec(0x4000), two).ok());
  EnableMemory(1);
  EnableMemory(2);
  EXPECT_EQ(At(kWindow + 0x4000), 2);
  Write<uint32_t>(2, PCI_BASE_ADDRESS_0, kWindow);  // covers function 1's page too
  EXPECT_EQ(At(kWindow), 1);
  EXPECT_EQ(At(kWindow + 0x1000), 0xff);
  // As soon as the place is free the other one gets it.
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, kWindow + 0x8000);
  EXPECT_EQ(At(kWindow), 2);
  EXPECT_EQ(At(kWindow + 0x8000), 1);
}

TEST_F(PciRootTest, DisabledBarMakesRoom) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  ASSERT_TRUE(root->Add(2, Spec(), two).ok());
  EnableMemory(1);
  EnableMemory(1, false);
  Write<uint32_t>(2, PCI_BASE_ADDRESS_0, kWindow);
  EnableMemory(2);
  EXPECT_EQ(At(kWindow), 2);
  EnableMemory(1);
  EXPECT_EQ(At(kWindow), 2);
  Write<uint32_t>(2, PCI_BASE_ADDRESS_0, kWindow + 0x8000);
  EXPECT_EQ(At(kWindow), 1);
}

TEST_F(PciRootTest, ABarNeverTakesAnotherDevicesPlace) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  class Other final : public BusDevice {
   public:
    absl::string_view name() const override { return "other"; }
    void Read(uint64_t, std::span<uint8_t> data) override {
      std::fill(data.begin(), data.end(), uint8_t{0x77});
    }
    void Write(uint64_t, std::span<const uint8_t>) override {}
  } other;
  ASSERT_TRUE(mmio.Insert(kWindow + 0x2000, 0x1000, other).ok());
  EnableMemory(1);
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, kWindow + 0x2000);
  EXPECT_EQ(At(kWindow + 0x2000), 0x77);
}

TEST_F(PciRootTest, BarAddressesAreAlignedAscendingAndApart) {
  ASSERT_TRUE(root->Add(1, Spec(0x10), one).ok());
  ASSERT_TRUE(root->Add(2, Spec(0x10000), two).ok());
  EXPECT_EQ(Read<uint32_t>(1, PCI_BASE_ADDRESS_0), kWindow);
  EXPECT_EQ(Read<uint32_t>(2, PCI_BASE_ADDRESS_0), kWindow + 0x10000);
}

TEST_F(PciRootTest, AddSaysWhatIsWrong) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  EXPECT_EQ(root->Add(1, Spec(), two).message(), "_f2: PCI slot 1 is taken by _f1");
  EXPECT_EQ(root->Add(32, Spec(), two).message(), "_f2: PCI slot 32 does not exist, use 0 to 31");
  EXPECT_EQ(root->Add(2, Spec(kWindowBytes * 2), two).message(),
            "_f2: no room for BAR 0 of 33554432 bytes in the 32-bit PCI window");
  EXPECT_EQ(Read<uint32_t>(2, 0), ~0u);
}

TEST_F(PciRootTest, RemovedFunctionsAreGone) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  EnableMemory(1);
  root->Remove(1, two);  // not its slot
  EXPECT_EQ(At(kWindow), 1);
  root->Remove(1, one);
  EXPECT_EQ(At(kWindow), 0xff);
  EXPECT_EQ(Read<uint32_t>(1, 0), ~0u);
  ASSERT_TRUE(root->Add(1, Spec(), two).ok());
  EXPECT_EQ(Read<uint16_t>(1, PCI_COMMAND), 0);
}

TEST_F(PciRootTest, AccessesOfEverySizeAndOffsetAreBytes) {
  ASSERT_TRUE(root->Add(1, Spec(), one).ok());
  EXPECT_EQ(Read<uint8_t>(1, 1), 0x12);
  EXPECT_EQ(Read<uint16_t>(1, 1), 0x7812);
  EXPECT_EQ(Read<uint32_t>(1, 3), 0x00000056u);
  // Across the pages of function 0 and function 1, and into the next slot.
  EXPECT_EQ(Read<uint64_t>(1, 0xffc) >> 32, 0xffffffffu);
  Write<uint64_t>(0, 0x7ffc, ~uint64_t{0});
  EXPECT_EQ(Read<uint32_t>(1, 0), 0x56781234u);
  Write<uint8_t>(1, PCI_BASE_ADDRESS_0 + 1, 0x70);  // only that byte of the register
  EXPECT_EQ(Read<uint32_t>(1, PCI_BASE_ADDRESS_0), kWindow + 0x7000);
}

TEST_F(PciRootTest, ResetIsPowerOn) {
  PciFunctionSpec spec = Spec();
  FakeMsiController msi;
  MsixTable msix(msi, 2, "_f1");
  spec.AddMsix(msix, 0, 0x400, 0x800);
  ASSERT_TRUE(root->Add(1, spec, one).ok());
  std::array<uint8_t, 256> before;
  root->Read(PciRoot::kSlotBytes, before);
  EnableMemory(1);
  Write<uint32_t>(1, PCI_BASE_ADDRESS_0, kWindow + 0x5000);
  Write<uint16_t>(1, 0x42, PCI_MSIX_FLAGS_ENABLE);
  EXPECT_TRUE(msix.enabled());
  root->Reset();
  std::array<uint8_t, 256> after;
  root->Read(PciRoot::kSlotBytes, after);
  EXPECT_EQ(before, after);
  EXPECT_FALSE(msix.enabled());
  EXPECT_EQ(At(kWindow + 0x5000), 0xff);
  EnableMemory(1);
  EXPECT_EQ(At(kWindow), 1);
}

TEST_F(PciRootTest, FastReadsAreDisabledOnce) {
  int disabled = 0;
  root = *PciRoot::Create(mmio, {.disable_fast_reads = [&disabled] { ++disabled; }});
  root->DisableFastReads();
  root->DisableFastReads();
  EXPECT_EQ(disabled, 1);
  root->Reset();
  root->DisableFastReads();
  EXPECT_EQ(disabled, 2);
}

TEST_F(PciRootTest, HostBridge) {
  HostBridge bridge;
  ASSERT_TRUE(bridge.AddTo(*root).ok());
  EXPECT_EQ(Read<uint32_t>(0, 0), 0x0d578086u);
  EXPECT_EQ(Read<uint32_t>(0, PCI_CLASS_REVISION), 0x06000000u);
}

}  // namespace
}  // namespace devices
