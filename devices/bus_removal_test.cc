// Devices that are taken out while other threads access the bus. Meant for TSan and ASan too.
#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <thread>

#include "devices/bus.h"
#include "gtest/gtest.h"

namespace devices {
namespace {

constexpr uint64_t kAddress = 0x100;

void WaitUntil(const auto& condition) {
  while (!condition()) std::this_thread::yield();
}

// A vCPU that does nothing but exit: calls `access` again and again until the end of the scope.
std::jthread Vcpu(auto access) {
  return std::jthread([access](const std::stop_token& stop) {
    while (!stop.stop_requested()) access();
  });
}

void ReadByte(Bus& bus, uint64_t address) {
  std::array<uint8_t, 1> data;
  bus.Read(address, data);
}

void WriteByte(Bus& bus, uint64_t address) { bus.Write(address, std::array<uint8_t, 1>{7}); }

// Must not be destroyed during an access.
class ShortLived final : public BusDevice {
 public:
  ~ShortLived() override { EXPECT_EQ(inside_, 0); }
  absl::string_view name() const override { return "short-lived"; }
  void Read(uint64_t, std::span<uint8_t> data) override {
    ++inside_;
    std::this_thread::yield();
    data[0] = last_;
    ++reads_;
    --inside_;
  }
  void Write(uint64_t, std::span<const uint8_t> data) override {
    ++inside_;
    last_ = data[0];
    std::this_thread::yield();
    ++writes_;
    --inside_;
  }
  bool is_busy() const { return reads_ > 0 && writes_ > 0; }

 private:
  std::atomic<uint8_t> last_ = 0;
  std::atomic<int> inside_ = 0, reads_ = 0, writes_ = 0;
};

// Puts devices at `address` and takes them away, each as soon as both vCPUs have been in it.
void ComeAndGo(Bus& bus, uint64_t address, int times) {
  for (int i = 0; i < times; ++i) {
    auto device = std::make_unique<ShortLived>();
    ASSERT_TRUE(bus.Insert(address, 8, *device).ok());
    WaitUntil([&] { return device->is_busy(); });
    bus.Remove(address, *device);
    bus.WaitForAccesses();
  }
}

TEST(BusRemovalTest, ADeviceIsInNoAccessAfterTheWait) {
  Bus bus;
  const std::jthread reader = Vcpu([&] { ReadByte(bus, kAddress); });
  const std::jthread writer = Vcpu([&] { WriteByte(bus, kAddress); });
  ComeAndGo(bus, kAddress, 300);
}

TEST(BusRemovalTest, SeveralThreadsRemoveAtOnce) {
  Bus bus;
  const std::jthread reader = Vcpu([&] {
    ReadByte(bus, kAddress);
    ReadByte(bus, kAddress + 8);
  });
  const std::jthread writer = Vcpu([&] {
    WriteByte(bus, kAddress);
    WriteByte(bus, kAddress + 8);
  });
  std::jthread other([&] { ComeAndGo(bus, kAddress + 8, 200); });
  ComeAndGo(bus, kAddress, 200);
}

// Keeps a reader in its Read until it is let go.
class Holding final : public BusDevice {
 public:
  absl::string_view name() const override { return "holding"; }
  void Read(uint64_t, std::span<uint8_t>) override {
    entered = true;
    WaitUntil([this] { return let_go.load(); });
    left = true;
  }
  void Write(uint64_t, std::span<const uint8_t>) override {}

  std::atomic<bool> entered = false, let_go = false, left = false;
};

TEST(BusRemovalTest, WaitForAccessesEndsAfterAnAccessThatHadBegun) {
  Bus bus;
  Holding device;
  ASSERT_TRUE(bus.Insert(kAddress, 8, device).ok());
  std::jthread vcpu([&] { ReadByte(bus, kAddress); });
  WaitUntil([&] { return device.entered.load(); });
  std::atomic<bool> waiting = false;
  bool left_before_the_end = false;
  std::jthread remover([&] {
    bus.Remove(kAddress, device);
    waiting = true;
    bus.WaitForAccesses();
    left_before_the_end = device.left;
  });
  WaitUntil([&] { return waiting.load(); });
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();  // time to end too early
  device.let_go = true;
  remover.join();
  EXPECT_TRUE(left_before_the_end);
}

// An access ends only after another has begun, so with two vCPUs one is always under way.
class NeverIdle final : public BusDevice {
 public:
  absl::string_view name() const override { return "never-idle"; }
  void Read(uint64_t, std::span<uint8_t>) override {
    const uint64_t mine = ++begun;
    WaitUntil([&] { return begun != mine || end; });
  }
  void Write(uint64_t, std::span<const uint8_t>) override {}

  std::atomic<uint64_t> begun = 0;
  std::atomic<bool> end = false;
};

TEST(BusRemovalTest, AccessesThatBeginLaterDoNotProlongTheWait) {
  Bus bus;
  NeverIdle device;
  ASSERT_TRUE(bus.Insert(kAddress, 8, device).ok());
  const std::jthread one = Vcpu([&] { ReadByte(bus, kAddress); });
  const std::jthread two = Vcpu([&] { ReadByte(bus, kAddress); });
  for (int i = 0; i < 200; ++i) {
    const uint64_t before = device.begun;
    WaitUntil([&] { return device.begun > before + 1; });
    bus.WaitForAccesses();
  }
  device.end = true;
}

class WaitsForItself final : public BusDevice {
 public:
  explicit WaitsForItself(Bus& bus) : bus_(bus) {}
  absl::string_view name() const override { return "waits-for-itself"; }
  void Read(uint64_t, std::span<uint8_t>) override { bus_.WaitForAccesses(); }
  void Write(uint64_t, std::span<const uint8_t>) override {}

 private:
  Bus& bus_;
};

TEST(BusRemovalDeathTest, WaitForAccessesInsideAnAccessAborts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  Bus bus;
  WaitsForItself device(bus);
  ASSERT_TRUE(bus.Insert(kAddress, 8, device).ok());
  EXPECT_DEATH(ReadByte(bus, kAddress), "InAccess");
}

}  // namespace
}  // namespace devices
