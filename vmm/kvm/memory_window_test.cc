// Guest code reads a read-only memory slot that shows files, on the host's own KVM.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/guest_memory.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "boot/x86_64/long_mode.h"
#include "devices/bus.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/kvm/vcpu_group.h"
#include "vmm/kvm/x86_64/vcpu_state.h"

namespace vmm {
namespace {

constexpr uint64_t kCode = 0x10000;
constexpr uint64_t kGdt = 0x500;
constexpr uint64_t kWindow = 0xD000'0000;
constexpr uint64_t kWindowBytes = 4 << 20;
constexpr uint16_t kPort = 0x80;

// Builds 32-bit code from the operations that it should do.
class Code {
 public:
  // Reads a byte of the window and writes the byte to the port.
  Code& Tell(uint32_t offset) { return Add({0xA0}).Address(offset).Add({0xE6, kPort}); }
  Code& Write(uint32_t offset, uint8_t value) {
    return Add({0xC6, 0x05}).Address(offset).Add({value});
  }
  Code& Ask() { return Add({0xE4, kPort}); }
  std::vector<uint8_t> Halt() { return Add({0xF4, 0xEB, 0xFD}).bytes_; }

 private:
  Code& Add(std::vector<uint8_t> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Code& Address(uint32_t offset) {
    const uint32_t address = static_cast<uint32_t>(kWindow) + offset;
    for (unsigned i = 0; i < 4; ++i) bytes_.push_back(static_cast<uint8_t>(address >> (8 * i)));
    return *this;
  }
  std::vector<uint8_t> bytes_;
};

// Records what the guest has written to the port, and lets the test wait for it.
class Guest final : public VcpuExits, private devices::BusDevice {
 public:
  static constexpr int kNothing = -1;

  explicit Guest(const std::vector<uint8_t>& code) {
    auto system = KvmSystem::Open();
    CHECK(system.ok());
    memory_ = *base::GuestMemory::Create({.thp = false}, {{0, 1 << 20, nullptr}});
    CHECK(memory_->Write(kCode, code) && memory_->Write(kGdt, boot::BuildGdt(/*long_mode=*/false)));
    vm_ = *KvmVm::Create(*system);
    const auto& region = memory_->regions()[0];
    CHECK(vm_->AddMemory(0, region.size_bytes, region.host, false).ok());
    CHECK(vm_->CreateInterruptController(24, 0xFFFBC000, 0xFFFBD000).ok());
    CHECK(pio_.Insert(kPort, 1, *this).ok());
    CHECK(mmio_.Insert(kWindow, kWindowBytes, window_device_).ok());
    std::vector<std::unique_ptr<Vcpu>> vcpus;
    vcpus.push_back(*Vcpu::Create(*system, *vm_, 0));
    CHECK(SetEntryState(vcpus[0]->fd(), boot::PvhEntryState(kCode, 0, kGdt)).ok());
    group_ = std::make_unique<VcpuGroup>(std::move(vcpus), *this, *memory_);
  }
  ~Guest() override { group_->StopAndJoin(); }

  KvmVm& vm() { return *vm_; }
  std::function<void()> on_ask;  // on the vCPU's thread
  int writes() const { return window_device_.writes; }
  void Start() { CHECK(group_->Start(/*paused=*/false).ok()); }
  // Returns the next byte that the guest writes, or kNothing if the guest has ended.
  int Next() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(60),
                      [this] { return next_ < told_.size() || ended_; });
    return next_ < told_.size() ? told_[next_++] : kNothing;
  }

 private:
  struct WindowDevice final : devices::BusDevice {
    absl::string_view name() const override { return "window"; }
    void Read(uint64_t /*offset*/, std::span<uint8_t> data) override {
      std::ranges::fill(data, uint8_t{0xEE});
    }
    void Write(uint64_t /*offset*/, std::span<const uint8_t> /*data*/) override { ++writes; }
    std::atomic<int> writes = 0;
  };

  absl::string_view name() const override { return "port"; }
  void Read(uint64_t /*offset*/, std::span<uint8_t> /*data*/) override { on_ask(); }
  void Write(uint64_t /*offset*/, std::span<const uint8_t> data) override {
    const std::lock_guard lock(mutex_);
    told_.push_back(data[0]);
    changed_.notify_all();
  }
  devices::Bus& pio() override { return pio_; }
  devices::Bus& mmio() override { return mmio_; }
  void EndOfInterrupt(uint8_t /*vector*/) override {}
  void OnTripleFault(uint32_t /*vcpu_index*/) override { OnFatalExit(0, "triple fault"); }
  void OnFatalExit(uint32_t /*vcpu_index*/, const std::string& /*report*/) override {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<uint8_t> told_;
  size_t next_ = 0;
  bool ended_ = false;
  WindowDevice window_device_;
  devices::Bus pio_;
  devices::Bus mmio_;
  std::unique_ptr<base::GuestMemory> memory_;
  std::unique_ptr<KvmVm> vm_;
  std::unique_ptr<VcpuGroup> group_;
};

// A window of zeros into which files are mapped.
class Window {
 public:
  Window()
      : host_(static_cast<uint8_t*>(
            mmap(nullptr, kWindowBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    CHECK(host_ != MAP_FAILED);
    file_.reset(memfd_create("window", MFD_CLOEXEC));
    const std::string bytes(8192, 'f');
    CHECK(write(file_.get(), bytes.data(), bytes.size()) == 8192);
  }
  ~Window() { munmap(host_, kWindowBytes); }
  std::span<const uint8_t> span() const { return {host_, kWindowBytes}; }
  void MapFile(uint64_t offset) {
    CHECK(mmap(host_ + offset, 8192, PROT_READ, MAP_SHARED | MAP_FIXED, file_.get(), 0) !=
          MAP_FAILED);
  }
  void MapZeroes(uint64_t offset) {
    CHECK(mmap(host_ + offset, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
          MAP_FAILED);
  }
  void Truncate() { CHECK(ftruncate(file_.get(), 0) == 0); }

 private:
  uint8_t* const host_;
  base::UniqueFd file_;
};

TEST(MemoryWindow, ReadsSeeFilesAndZeroesWritesAreDropped) {
  Window window;
  window.MapFile(4096);
  Guest guest(Code().Tell(4096).Tell(0).Write(4096, 'x').Write(0, 'x').Tell(4096).Tell(0).Halt());
  ASSERT_TRUE(guest.vm().MapReadOnly(kWindow, window.span()).ok());
  guest.Start();
  EXPECT_EQ(guest.Next(), 'f');
  EXPECT_EQ(guest.Next(), 0);
  EXPECT_EQ(guest.Next(), 'f');
  EXPECT_EQ(guest.Next(), 0);
  EXPECT_EQ(guest.writes(), 2);
}

TEST(MemoryWindow, AccessesAfterUnmapReachTheBus) {
  Window window;
  Guest guest(Code().Tell(0).Halt());
  ASSERT_TRUE(guest.vm().MapReadOnly(kWindow, window.span()).ok());
  EXPECT_FALSE(guest.vm().MapReadOnly(kWindow + 4096, window.span()).ok());
  guest.vm().UnmapMemory(kWindow);
  guest.vm().UnmapMemory(kWindow);
  guest.Start();
  EXPECT_EQ(guest.Next(), 0xEE);
}

TEST(MemoryWindow, UnmappedSlotsAreReused) {
  Window window;
  Guest guest(Code().Tell(0).Halt());
  for (uint64_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(guest.vm().MapReadOnly(kWindow + i * 4096, window.span()).ok());
    guest.vm().UnmapMemory(kWindow + i * 4096);
  }
  const auto slot =
      guest.vm().AddMemory(kWindow, kWindowBytes, const_cast<uint8_t*>(window.span().data()), true);
  ASSERT_TRUE(slot.ok());
  EXPECT_EQ(*slot, 1U);
}

TEST(MemoryWindow, TheGuestSeesChangesOfTheMapping) {
  Window window;
  Guest guest(Code().Tell(0).Ask().Tell(0).Ask().Tell(0).Halt());
  ASSERT_TRUE(guest.vm().MapReadOnly(kWindow, window.span()).ok());
  int asked = 0;
  guest.on_ask = [&] {
    if (++asked == 1) return window.MapFile(0);
    // The part that the host truncates cannot be read until zeros replace it.
    window.Truncate();
    window.MapZeroes(0);
  };
  guest.Start();
  EXPECT_EQ(guest.Next(), 0);
  EXPECT_EQ(guest.Next(), 'f');
  EXPECT_EQ(guest.Next(), 0);
}

}  // namespace
}  // namespace vmm
