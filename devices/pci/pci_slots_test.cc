// Slots that are filled and emptied while vCPUs run. Meant for TSan and ASan too.
#include <gtest/gtest.h>
#include <linux/pci_regs.h>

#include <array>
#include <atomic>
#include <bit>
#include <memory>
#include <span>
#include <thread>

#include "devices/pci/pci_root.h"

namespace devices {
namespace {

constexpr uint64_t kWindow = 0xc000'0000;
constexpr uint64_t kWindowBytes = 0x1'0000;
constexpr uint64_t kEcam = 0xe000'0000;
constexpr uint32_t kBarBytes = 0x1000;
constexpr unsigned kSlot = 1;
constexpr unsigned kLastMappedSlot = 2;
constexpr uint16_t kVendor = 0x1234;

void WaitUntil(const auto& condition) {
  while (!condition()) std::this_thread::yield();
}

// Calls `work` again and again until the end of the scope.
std::jthread Vcpu(auto work) {
  return std::jthread([work](const std::stop_token& stop) {
    while (!stop.stop_requested()) work();
  });
}

class Silent final : public PciHandler {
 public:
  absl::string_view name() const override { return "_silent"; }
  void ReadBar(unsigned, uint64_t, std::span<uint8_t>) override {}
  void WriteBar(unsigned, uint64_t, std::span<const uint8_t>) override {}
};

class PciSlotsTest : public testing::Test {
 protected:
  PciSlotsTest() : root(*PciRoot::Create(mmio, {.window_32bit = {kWindow, kWindowBytes}})) {
    EXPECT_TRUE(mmio.Insert(kEcam, PciRoot::kEcamBytes, *root).ok());
    PciFunctionSpec spec;
    spec.vendor_id = kVendor;
    EXPECT_TRUE(root->Add(kLastMappedSlot, spec, silent).ok());
    memory = root->FastReads();
  }

  // A function of which every register that is not 0 depends on `generation`.
  static PciFunctionSpec Spec(uint16_t generation) {
    PciFunctionSpec spec;
    spec.vendor_id = kVendor;
    spec.device_id = generation;
    spec.class_code = generation;
    spec.subsystem_vendor_id = spec.subsystem_id = generation;
    spec.bars[0].size = kBarBytes;
    spec.AddCapability({PCI_CAP_ID_VNDR, 0, static_cast<uint8_t>(generation),
                        static_cast<uint8_t>(generation >> 8)});
    return spec;
  }
  // As a vCPU reads: straight from the memory that is mapped, or by an exit.
  uint32_t FromMemory(unsigned slot, uint32_t offset) {
    uint8_t* at = memory.data() + slot * PciRoot::kSlotBytes + offset;
    return std::atomic_ref(*reinterpret_cast<uint32_t*>(at)).load(std::memory_order_acquire);
  }
  uint32_t ByExit(unsigned slot, uint32_t offset) {
    std::array<uint8_t, 4> bytes;
    mmio.Read(kEcam + slot * PciRoot::kSlotBytes + offset, bytes);
    return std::bit_cast<uint32_t>(bytes);
  }
  template <typename T>
  void Write(unsigned slot, uint32_t offset, T value) {
    mmio.Write(kEcam + slot * PciRoot::kSlotBytes + offset,
               std::bit_cast<std::array<uint8_t, sizeof(T)>>(value));
  }
  uint8_t At(uint64_t address) {
    std::array<uint8_t, 1> byte;
    mmio.Read(address, byte);
    return byte[0];
  }

  // Reads a function as a guest that scans the bus. Returns its generation if it was there before
  // and after; then all of it must have been. 0: no function.
  template <typename ReadWord>
  static uint16_t Scan(const ReadWord& read) {
    // The last word is the farthest from the vendor id in time, too.
    const uint32_t id = read(PCI_VENDOR_ID);
    const uint32_t last = read(ConfigSpace::kSizeBytes - 4);
    if (read(PCI_VENDOR_ID) != id || id == ~0u) return 0;
    EXPECT_EQ(last, 0u);

    std::array<uint32_t, 80> words;
    for (uint32_t i = 0; i < words.size(); ++i) words[i] = read(i * 4);
    if (read(PCI_VENDOR_ID) != id) return 0;
    const auto generation = static_cast<uint16_t>(id >> 16);
    EXPECT_EQ(id & 0xffff, kVendor);
    EXPECT_EQ(words[PCI_COMMAND / 4], uint32_t{PCI_STATUS_CAP_LIST} << 16);
    EXPECT_EQ(words[PCI_CLASS_REVISION / 4], uint32_t{generation} << 8);
    EXPECT_EQ(words[PCI_BASE_ADDRESS_0 / 4], kWindow);
    EXPECT_EQ(words[PCI_BASE_ADDRESS_1 / 4], 0u);
    EXPECT_EQ(words[PCI_SUBSYSTEM_VENDOR_ID / 4], generation * 0x10001u);
    EXPECT_EQ(words[PCI_CAPABILITY_LIST / 4], 0x40u);
    EXPECT_EQ(words[0x40 / 4], uint32_t{PCI_CAP_ID_VNDR} | uint32_t{generation} << 16);
    EXPECT_EQ(words[0x100 / 4], 0u);  // no extended capabilities
    return generation;
  }

  template <typename ReadWord>
  void ScanWhileFunctionsComeAndGo(uint16_t count, const ReadWord& read) {
    std::atomic<uint16_t> last_seen = 0;  // the generation
    const std::jthread vcpu = Vcpu([&] {
      if (const uint16_t seen = Scan(read)) last_seen = seen;
    });
    for (uint16_t generation = 1; generation <= count && !HasFailure(); ++generation) {
      ASSERT_TRUE(root->Add(kSlot, Spec(generation), silent).ok());
      // Most come and go as fast as they can; some stay until they have been seen.
      if (generation % 50 == 0) WaitUntil([&] { return last_seen == generation; });
      root->Remove(kSlot, silent);
    }
  }

  Bus mmio;
  std::unique_ptr<PciRoot> root;
  Silent silent;
  std::span<uint8_t> memory;
};

TEST_F(PciSlotsTest, AScanOfTheMemoryNeverSeesAPartOfAFunction) {
  ScanWhileFunctionsComeAndGo(3000, [this](uint32_t at) { return FromMemory(kSlot, at); });
}

TEST_F(PciSlotsTest, AScanByExitsNeverSeesAPartOfAFunction) {
  ScanWhileFunctionsComeAndGo(500, [this](uint32_t at) { return ByExit(kSlot, at); });
}

TEST_F(PciSlotsTest, AnEmptiedSlotReadsAsAllOnes) {
  for (const unsigned slot : {kSlot, kLastMappedSlot + 1}) {
    ASSERT_TRUE(root->Add(slot, Spec(1), silent).ok());
    EXPECT_EQ(ByExit(slot, PCI_CLASS_REVISION), 0x100u);
    root->Remove(slot, silent);
    for (uint32_t at = 0; at < ConfigSpace::kSizeBytes; at += 4) {
      ASSERT_EQ(ByExit(slot, at), ~0u) << at;
      if (slot > kLastMappedSlot) continue;
      ASSERT_EQ(FromMemory(slot, at), ~0u) << at;
    }
    Write<uint32_t>(slot, PCI_BASE_ADDRESS_0, 0);  // is dropped
    EXPECT_EQ(ByExit(slot, PCI_BASE_ADDRESS_0), ~0u);
    EXPECT_EQ(root->LoadConfig(slot, 0), ~0u);
  }
}

// Does in each call what PciTransport does in it, and must not be removed during a call.
class Busy final : public PciHandler {
 public:
  explicit Busy(PciRoot& root) : root_(root) {}
  ~Busy() override { EXPECT_EQ(inside_, 0); }
  absl::string_view name() const override { return "_busy"; }
  void ReadBar(unsigned, uint64_t, std::span<uint8_t> data) override {
    const Inside inside(*this, kRead);
    data[0] = 1;
    root_.SetInterruptStatus(kSlot, false);
  }
  void WriteBar(unsigned, uint64_t, std::span<const uint8_t>) override {
    const Inside inside(*this, kWrite);
    root_.SetInterruptStatus(kSlot, true);
  }
  void BeforeConfigRead(uint32_t, size_t) override {
    const Inside inside(*this, kConfigRead);
    root_.StoreConfig(kSlot, 0xf0, 1);
  }
  void AfterConfigWrite(uint32_t, size_t) override {
    const Inside inside(*this, kConfigWrite);
    root_.LoadConfig(kSlot, 0xf0);
  }
  bool was_called_in_every_way() const { return calls_ == 15; }

 private:
  enum Call { kRead = 1, kWrite = 2, kConfigRead = 4, kConfigWrite = 8 };
  class Inside {
   public:
    Inside(Busy& busy, Call call) : busy_(busy) {
      ++busy_.inside_;
      busy_.calls_ |= call;
      std::this_thread::yield();
    }
    ~Inside() { --busy_.inside_; }

   private:
    Busy& busy_;
  };

  PciRoot& root_;
  std::atomic<int> inside_ = 0, calls_ = 0;
};

TEST_F(PciSlotsTest, NoVcpuIsInAHandlerThatHasBeenRemoved) {
  const std::jthread registers = Vcpu([&] {
    Write<uint16_t>(kSlot, PCI_COMMAND, PCI_COMMAND_MEMORY);
    At(kWindow);
    mmio.Write(kWindow, std::array<uint8_t, 1>{1});
    ByExit(kSlot, PCI_BASE_ADDRESS_0);
  });
  const std::jthread mover = Vcpu([&] {
    Write<uint32_t>(kSlot, PCI_BASE_ADDRESS_0, kWindow + 2 * kBarBytes);
    At(kWindow + 2 * kBarBytes);
    Write<uint32_t>(kSlot, PCI_BASE_ADDRESS_0, kWindow);
    At(kWindow);
  });
  for (int i = 0; i < 200; ++i) {
    auto handler = std::make_unique<Busy>(*root);
    ASSERT_TRUE(root->Add(kSlot, Spec(1), *handler).ok());
    WaitUntil([&] { return handler->was_called_in_every_way(); });
    root->Remove(kSlot, *handler);
  }
}

TEST_F(PciSlotsTest, AddressesOfTenThousandFunctionsAreGivenOutAgain) {
  PciFunctionSpec spec = Spec(1);
  spec.bars[0].size = kWindowBytes / 2;
  spec.bars[2] = {.size = kWindowBytes / 2, .is_64bit = true};  // there is no 64-bit window
  PciFunctionSpec too_much = spec;
  too_much.bars[5].size = kBarBytes;
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_EQ(root->Add(kSlot, too_much, silent).code(), absl::StatusCode::kResourceExhausted);
    ASSERT_TRUE(root->Add(kSlot, spec, silent).ok());
    ASSERT_EQ(ByExit(kSlot, PCI_BASE_ADDRESS_0), kWindow);
    // Wherever the guest has put it: what is given back is what was given out.
    Write<uint32_t>(kSlot, PCI_BASE_ADDRESS_0, kWindow + kWindowBytes / 2);
    root->Remove(kSlot, silent);
  }
}

TEST_F(PciSlotsTest, NextBarGetsTheAddressOfARemovedBar) {
  class Tagged final : public PciHandler {
   public:
    explicit Tagged(uint8_t tag) : tag_(tag) {}
    absl::string_view name() const override { return "_tagged"; }
    void ReadBar(unsigned, uint64_t, std::span<uint8_t> data) override { data[0] = tag_; }
    void WriteBar(unsigned, uint64_t, std::span<const uint8_t>) override {}

   private:
    const uint8_t tag_;
  } one{1}, two{2};
  ASSERT_TRUE(root->Add(4, Spec(1), one).ok());
  ASSERT_TRUE(root->Add(5, Spec(2), two).ok());
  Write<uint16_t>(4, PCI_COMMAND, PCI_COMMAND_MEMORY);
  Write<uint32_t>(5, PCI_BASE_ADDRESS_0, kWindow);
  Write<uint16_t>(5, PCI_COMMAND, PCI_COMMAND_MEMORY);
  EXPECT_EQ(At(kWindow), 1);
  root->Remove(4, one);
  EXPECT_EQ(At(kWindow), 2);
}

TEST_F(PciSlotsTest, RemoveInsideAnAccessAborts) {
  class RemovesItself final : public PciHandler {
   public:
    explicit RemovesItself(PciRoot& root) : root_(root) {}
    absl::string_view name() const override { return "_removes_itself"; }
    void ReadBar(unsigned, uint64_t, std::span<uint8_t>) override {}
    void WriteBar(unsigned, uint64_t, std::span<const uint8_t>) override {}
    void AfterConfigWrite(uint32_t, size_t) override { root_.Remove(kSlot, *this); }

   private:
    PciRoot& root_;
  } handler(*root);
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  ASSERT_TRUE(root->Add(kSlot, Spec(1), handler).ok());
  EXPECT_DEATH(Write<uint32_t>(kSlot, PCI_COMMAND, 0), "InAccess");
}

}  // namespace
}  // namespace devices
