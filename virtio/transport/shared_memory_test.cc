// The shared-memory BAR: where and when its memory is mapped. [VIRTIO 1.2 §2.10, §4.1.4.7]

#include <gtest/gtest.h>
#include <linux/pci_regs.h>

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "devices/memory_mapper.h"
#include "virtio/transport/testing/transport_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t kBytes = 0x20'0000;

class FakeMapper final : public devices::MemoryMapper {
 public:
  absl::Status MapReadOnly(uint64_t address, std::span<const uint8_t> host) override {
    if (fail) return absl::ResourceExhaustedError("no slot is left");
    EXPECT_EQ(host.size(), kBytes);
    EXPECT_TRUE(mapped.emplace(address, host.data()).second) << "mapped twice";
    return absl::OkStatus();
  }
  void UnmapMemory(uint64_t address) override { mapped.erase(address); }

  bool fail = false;
  std::map<uint64_t, const uint8_t*> mapped;
};

class SharedMemory : public testing::Test {
 protected:
  using Mapped = std::map<uint64_t, const uint8_t*>;

  SharedMemory()
      : memory_(kBytes),
        transport_({.shared_memory = {{.id = 0, .length = kBytes, .host = memory_.data()}}},
                   {.memory_mapper = &mapper_}) {
    transport_.memory->AddWindow(memory_.data(), kBytes);
  }

  uint64_t Bar() { return transport_.ReadPci<uint64_t>(PCI_BASE_ADDRESS_2) & ~uint64_t{0xf}; }
  void SetBar(uint64_t address) {
    transport_.WritePci<uint32_t>(PCI_BASE_ADDRESS_2, static_cast<uint32_t>(address));
    transport_.WritePci<uint32_t>(PCI_BASE_ADDRESS_3, static_cast<uint32_t>(address >> 32));
  }
  void SetDecoding(bool on) {
    transport_.WritePci<uint16_t>(PCI_COMMAND, on ? PCI_COMMAND_MEMORY : 0);
  }
  Mapped At(uint64_t address) { return {{address, memory_.data()}}; }
  bool KernelReads(uint64_t address) {
    return transport_.memory->WindowIoVec(*base::GuestRange::Create(address, 1)).has_value();
  }

  std::vector<uint8_t> memory_;
  FakeMapper mapper_;
  TransportHarness transport_;
};

TEST_F(SharedMemory, IsMappedWhileTheBarDecodes) {
  EXPECT_EQ(mapper_.mapped, Mapped());
  SetDecoding(true);
  EXPECT_EQ(mapper_.mapped, At(Bar()));
  EXPECT_TRUE(KernelReads(Bar()));
  SetDecoding(false);
  EXPECT_EQ(mapper_.mapped, Mapped());
  EXPECT_FALSE(KernelReads(Bar()));
  SetDecoding(true);
  EXPECT_EQ(mapper_.mapped, At(Bar()));
}

TEST_F(SharedMemory, FollowsTheBar) {
  SetDecoding(true);
  const uint64_t old = Bar();
  SetBar(old + 16 * kBytes);
  EXPECT_EQ(mapper_.mapped, At(old + 16 * kBytes));
  EXPECT_TRUE(KernelReads(old + 16 * kBytes));
  EXPECT_FALSE(KernelReads(old));
}

TEST_F(SharedMemory, IsNotMappedOverRamOrOtherDevices) {
  SetDecoding(true);
  for (const uint64_t address : {uint64_t{0}, uint64_t{0xfee0'0000}, uint64_t{1} << 50}) {
    SetBar(address);
    EXPECT_EQ(mapper_.mapped, Mapped()) << address;
    EXPECT_FALSE(KernelReads(address)) << address;
  }
}

TEST_F(SharedMemory, SizingMapsNothing) {
  SetDecoding(true);
  const uint64_t old = Bar();
  SetBar(~uint64_t{0});
  EXPECT_EQ(mapper_.mapped, Mapped());
  EXPECT_EQ(Bar(), ~(kBytes - 1));
  SetBar(old);
  EXPECT_EQ(mapper_.mapped, At(old));
}

TEST_F(SharedMemory, StaysMappedAcrossADeviceReset) {
  transport_.Initialise();
  transport_.loop.RunUntilIdle();
  EXPECT_EQ(mapper_.mapped, At(Bar()));
  transport_.SetStatus(0);
  transport_.loop.RunUntilIdle();
  EXPECT_EQ(mapper_.mapped, At(Bar()));
}

TEST_F(SharedMemory, DeviceWhoseMemoryCannotBeMappedDoesNotRun) {
  memory_[0] = 1;
  mapper_.fail = true;
  SetDecoding(true);
  EXPECT_FALSE(KernelReads(Bar()));
  std::array<uint8_t, 4> bytes = {9, 9, 9, 9};
  transport_.mmio.Read(Bar(), bytes);
  EXPECT_EQ(bytes, (std::array<uint8_t, 4>{}));
  transport_.mmio.Write(Bar(), bytes);  // the write is dropped
  transport_.Initialise();
  transport_.loop.RunUntilIdle();
  EXPECT_NE(transport_.status() & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
  EXPECT_EQ(transport_.device.TakeOrders(), "");
  // The next attempt to map the memory succeeds.
  mapper_.fail = false;
  SetDecoding(false);
  transport_.EnableMemory();
  transport_.SetStatus(0);
  transport_.Initialise();
  transport_.loop.RunUntilIdle();
  EXPECT_EQ(transport_.status(), kDriverOk);
}

TEST_F(SharedMemory, IsUnmappedWithItsTransport) {
  SetDecoding(true);
  bool reset = false;
  transport_.transport->Reset([&reset] { reset = true; });
  ASSERT_TRUE(reset);
  transport_.root->Remove(TransportHarness::kSlot, *transport_.transport);
  EXPECT_EQ(mapper_.mapped, Mapped());
}

}  // namespace
}  // namespace virtio
