// Runs vCPUs on the host's own KVM, with a few bytes of 32-bit code each. Needs /dev/kvm.

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/guest_memory.h"
#include "boot/x86_64/long_mode.h"
#include "devices/bus.h"
#include "gtest/gtest.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/kvm/vcpu_arch.h"
#include "vmm/kvm/vcpu_group.h"
#include "vmm/kvm/x86_64/cpuid.h"
#include "vmm/kvm/x86_64/vcpu_state.h"

namespace vmm {
namespace {

constexpr uint64_t kCode = 0x10000;
constexpr uint64_t kGdt = 0x500;
constexpr uint64_t kMmio = 0xC000'0000;
constexpr uint16_t kPort = 0x80;
constexpr uint16_t kIndexPort = 0x82;

// Longer than any machine needs, however busy. A test that waits this long has failed.
constexpr std::chrono::seconds kLong{60};

// Waits for a condition that gives no signal when it becomes true.
bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kLong;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    usleep(200);
  }
  return true;
}

// Lets a test wait for an action of another thread, with a time limit.
class Event {
 public:
  void Signal() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  bool Wait(int count = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLong, [&] { return count_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

class RecordingDevice final : public devices::BusDevice {
 public:
  absl::string_view name() const override { return "recording"; }
  void Read(uint64_t /*offset*/, std::span<uint8_t> data) override {
    if (before_read) before_read();
    std::ranges::fill(data, uint8_t{0x5A});
  }
  void Write(uint64_t offset, std::span<const uint8_t> data) override {
    last_offset = offset;
    last_value = data[0];
    last_size = data.size();
    written.Signal();
  }

  std::function<void()> before_read;
  std::atomic<uint64_t> last_offset = 0;
  std::atomic<uint8_t> last_value = 0;
  std::atomic<size_t> last_size = 0;
  Event written;
};

class VcpuTest : public testing::Test, public VcpuExits {
 protected:
  // Loads `code` and makes `count` vCPUs that all start there. If `coalesced_port` is given, writes
  // to it are coalesced.
  void Create(const std::vector<uint8_t>& code, uint32_t count = 1, uint16_t coalesced_port = 0) {
    auto system = KvmSystem::Open();
    ASSERT_TRUE(system.ok()) << system.status();
    auto memory = base::GuestMemory::Create({}, {{0, 1 << 20, nullptr}});
    ASSERT_TRUE(memory.ok()) << memory.status();
    memory_ = std::move(*memory);
    ASSERT_TRUE(memory_->Write(kCode, code));
    ASSERT_TRUE(memory_->Write(kGdt, boot::BuildGdt(/*long_mode=*/false)));
    auto vm = KvmVm::Create(*system);
    ASSERT_TRUE(vm.ok()) << vm.status();
    vm_ = std::move(*vm);
    const auto& region = memory_->regions()[0];
    ASSERT_TRUE(vm_->AddMemory(0, region.size_bytes, region.host, false).ok());
    if (coalesced_port != 0) {
      ASSERT_TRUE(vm_->CoalesceWrites(coalesced_port, 1, /*is_port=*/true).ok());
    }
    ASSERT_TRUE(vm_->CreateInterruptController(24, 0xFFFBC000, 0xFFFBD000).ok());
    ASSERT_TRUE(pio_.Insert(kPort, 1, port_).ok());
    ASSERT_TRUE(mmio_.Insert(kMmio, 0x1000, mmio_device_).ok());
    std::vector<std::unique_ptr<Vcpu>> vcpus;
    for (uint32_t i = 0; i < count; ++i) {
      auto vcpu = Vcpu::Create(*system, *vm_, i);
      ASSERT_TRUE(vcpu.ok()) << vcpu.status();
      ASSERT_TRUE(SetEntryState((*vcpu)->fd(), boot::PvhEntryState(kCode, 0, kGdt)).ok());
      kvm_mp_state runnable = {KVM_MP_STATE_RUNNABLE};
      ASSERT_EQ(ioctl((*vcpu)->fd(), KVM_SET_MP_STATE, &runnable), 0);
      vcpus.push_back(std::move(*vcpu));
    }
    group_ = std::make_unique<VcpuGroup>(std::move(vcpus), *this, *memory_);
  }

  devices::Bus& pio() override { return pio_; }
  devices::Bus& mmio() override { return mmio_; }
  void EndOfInterrupt(uint8_t /*vector*/) override {}
  void OnTripleFault(uint32_t /*vcpu_index*/) override { triple_fault_.Signal(); }
  void OnFatalExit(uint32_t /*vcpu_index*/, const std::string& report) override {
    report_ = report;
    fatal_.Signal();
  }

  RecordingDevice port_;
  RecordingDevice index_port_;
  RecordingDevice mmio_device_;
  devices::Bus pio_;
  devices::Bus mmio_;
  Event triple_fault_;
  Event fatal_;
  std::string report_;
  std::unique_ptr<base::GuestMemory> memory_;
  std::unique_ptr<KvmVm> vm_;
  std::unique_ptr<VcpuGroup> group_;
};

// Reads a byte from the port and writes the byte back to the port, then halts.
const std::vector<uint8_t> kReadAndWritePort = {0xE4, kPort, 0xE6, kPort, 0xF4, 0xEB, 0xFD};
// Counts at 0x8000 for ever: lock incl 0x8000; jmp.
const std::vector<uint8_t> kCountForEver = {0xF0, 0xFF, 0x05, 0x00, 0x80, 0x00, 0x00, 0xEB, 0xF7};

TEST_F(VcpuTest, PortAccessesReachTheBusAndAreCounted) {
  Create(kReadAndWritePort);
  ASSERT_TRUE(group_->Start(/*paused=*/false).ok());
  ASSERT_TRUE(port_.written.Wait());
  EXPECT_EQ(port_.last_value, 0x5A);
  group_->StopAndJoin();
  const auto counts = group_->vcpus()[0]->exit_counts().Read();
  ASSERT_EQ(counts.size(), 1U);
  EXPECT_EQ(counts[0].first, "io:0x80");
  EXPECT_EQ(counts[0].second, 2U);
}

TEST_F(VcpuTest, MmioWriteReachesTheBus) {
  // movb $0x42, 0xC0000010; hlt
  Create({0xC6, 0x05, 0x10, 0x00, 0x00, 0xC0, 0x42, 0xF4, 0xEB, 0xFD});
  ASSERT_TRUE(group_->Start(false).ok());
  ASSERT_TRUE(mmio_device_.written.Wait());
  EXPECT_EQ(mmio_device_.last_offset, 0x10U);
  EXPECT_EQ(mmio_device_.last_value, 0x42);
  EXPECT_EQ(mmio_device_.last_size, 1U);
}

TEST_F(VcpuTest, CoalescedWritesArriveInOrderBeforeTheNextExit) {
  ASSERT_TRUE(pio_.Insert(kIndexPort, 1, index_port_).ok());
  // mov $1, %al; out %al, $0x82; mov $2, %al; out %al, $0x82; in $0x80, %al; out %al, $0x80; hlt
  Create({0xB0, 0x01, 0xE6, kIndexPort, 0xB0, 0x02, 0xE6, kIndexPort, 0xE4, kPort, 0xE6, kPort,
          0xF4, 0xEB, 0xFD},
         1, kIndexPort);
  port_.before_read = [this] { EXPECT_EQ(index_port_.last_value, 2); };
  ASSERT_TRUE(group_->Start(/*paused=*/false).ok());
  ASSERT_TRUE(port_.written.Wait());
  EXPECT_TRUE(index_port_.written.Wait(2));
  group_->StopAndJoin();
  const auto counts = group_->vcpus()[0]->exit_counts().Read();
  ASSERT_EQ(counts.size(), 1U);  // the index port is not in the list
  EXPECT_EQ(counts[0].second, 2U);
}

TEST_F(VcpuTest, CoalescedWritesAreDeliveredWhenTheVcpuIsStopped) {
  ASSERT_TRUE(pio_.Insert(kIndexPort, 1, index_port_).ok());
  // mov $3, %al; out %al, $0x82; jmp to itself
  Create({0xB0, 0x03, 0xE6, kIndexPort, 0xEB, 0xFE}, 1, kIndexPort);
  ASSERT_TRUE(group_->Start(/*paused=*/false).ok());
  EXPECT_TRUE(Eventually([this] {
    Event paused;
    group_->Pause([&] { paused.Signal(); });
    EXPECT_TRUE(paused.Wait());
    group_->Resume();
    if (index_port_.last_value == 3) return true;
    usleep(5000);
    return false;
  }));
}

TEST_F(VcpuTest, TripleFaultIsReported) {
  Create({0x0F, 0x0B});  // ud2 with an empty IDT
  ASSERT_TRUE(group_->Start(false).ok());
  EXPECT_TRUE(triple_fault_.Wait());
}

TEST_F(VcpuTest, FatalExitHasReasonRegistersAndBytes) {
  // mov $0x12345678, %eax; jmp 0xD0000000, where there is neither RAM nor a device
  Create({0xB8, 0x78, 0x56, 0x34, 0x12, 0xEA, 0x00, 0x00, 0x00, 0xD0, 0x10, 0x00});
  ASSERT_TRUE(group_->Start(false).ok());
  ASSERT_TRUE(fatal_.Wait());
  EXPECT_NE(report_.find("vCPU 0: KVM_EXIT_INTERNAL_ERROR, suberror 1"), std::string::npos)
      << report_;
  EXPECT_NE(report_.find("rax=0000000012345678"), std::string::npos) << report_;
  EXPECT_NE(report_.find("rip=00000000d0000000"), std::string::npos) << report_;
  EXPECT_NE(report_.find("bytes at rip: not readable"), std::string::npos) << report_;
}

// A page that may not be touched stands for guest RAM that the host cannot provide.
TEST_F(VcpuTest, AnAccessToRamThatTheHostCannotProvideIsFatal) {
  // mov $0x12345678, %eax; mov %al, 0x40000; write to the port; hlt; jmp
  Create(
      {0xB8, 0x78, 0x56, 0x34, 0x12, 0xA2, 0x00, 0x00, 0x04, 0x00, 0xE6, kPort, 0xF4, 0xEB, 0xFD});
  ASSERT_EQ(mprotect(memory_->regions()[0].host + 0x40000, 4096, PROT_NONE), 0);
  ASSERT_TRUE(group_->Start(false).ok());
  ASSERT_TRUE(Eventually([this] { return fatal_.count() + port_.written.count() > 0; }));
  if (port_.written.count() > 0) {
    GTEST_SKIP() << "this KVM treats RAM that it cannot access as a device";
  }
  EXPECT_NE(report_.find("vCPU 0: KVM_RUN failed: EFAULT"), std::string::npos) << report_;
  EXPECT_NE(report_.find("rip=0000000000010005"), std::string::npos) << report_;
  EXPECT_NE(report_.find("bytes at rip: a2 00 00 04 00 e6"), std::string::npos) << report_;
}

TEST(FatalExitTest, EachReasonIsNamed) {
  kvm_run run = {};
  run.exit_reason = KVM_EXIT_FAIL_ENTRY;
  run.fail_entry.hardware_entry_failure_reason = 0x8000'0021;
  EXPECT_EQ(FatalExitReason(run), "KVM_EXIT_FAIL_ENTRY, hardware reason 0x80000021");
  run = {};
  run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
  run.internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
  EXPECT_EQ(FatalExitReason(run),
            "KVM_EXIT_INTERNAL_ERROR, suberror 1 (KVM cannot emulate an instruction)");
  run.internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
  EXPECT_EQ(FatalExitReason(run), "KVM_EXIT_INTERNAL_ERROR, suberror 3");
  run = {};
  run.exit_reason = KVM_EXIT_HYPERV;
  EXPECT_EQ(FatalExitReason(run), "unexpected KVM exit reason 27");
  EXPECT_EQ(FatalRunError(EFAULT),
            "KVM_RUN failed: EFAULT (the host cannot give a page of guest RAM)");
  EXPECT_EQ(FatalRunError(ENOMEM), "KVM_RUN failed: ENOMEM");
}

TEST_F(VcpuTest, AReportWithoutRegistersSaysSo) {
  Create({0xF4});
  EXPECT_EQ(DescribeVcpu(-1, *memory_), "registers: not readable (EBADF)");
}

TEST_F(VcpuTest, DoorbellNeedsNoExit) {
  // movw $1, 0xC0000000; then write to the port
  Create({0x66, 0xC7, 0x05, 0x00, 0x00, 0x00, 0xC0, 0x01, 0x00, 0xE6, kPort, 0xF4, 0xEB, 0xFD});
  const base::UniqueFd doorbell(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  ASSERT_TRUE(vm_->Map(kMmio, doorbell.get()).ok());
  ASSERT_TRUE(group_->Start(false).ok());
  ASSERT_TRUE(port_.written.Wait());
  uint64_t rings = 0;
  EXPECT_EQ(read(doorbell.get(), &rings, sizeof(rings)), 8);
  EXPECT_EQ(rings, 1U);
  group_->StopAndJoin();
  for (const auto& [place, count] : group_->vcpus()[0]->exit_counts().Read())
    EXPECT_EQ(place, "io:0x80");
  vm_->Unmap(kMmio, doorbell.get());
}

TEST_F(VcpuTest, MsiArrivesAtTheLocalApic) {
  Create(kReadAndWritePort);
  const int vcpu = group_->vcpus()[0]->fd();
  kvm_lapic_state lapic = {};
  ASSERT_EQ(ioctl(vcpu, KVM_GET_LAPIC, &lapic), 0);
  lapic.regs[0xF1] |= 1;  // spurious vector register: APIC enabled
  ASSERT_EQ(ioctl(vcpu, KVM_SET_LAPIC, &lapic), 0);
  auto interrupt = vm_->CreateInterrupt();
  ASSERT_TRUE(interrupt.ok()) << interrupt.status();
  ASSERT_TRUE((*interrupt)->SetMessage({0xFEE0'0000, 0x55}).ok());
  (*interrupt)->Trigger();
  const auto requested = [&](unsigned vector) {
    EXPECT_EQ(ioctl(vcpu, KVM_GET_LAPIC, &lapic), 0);
    uint32_t request;  // IRR, bits 95:64
    std::memcpy(&request, &lapic.regs[0x200 + 2 * 0x10], sizeof(request));
    return (request >> (vector - 64) & 1) != 0;
  };
  // If KVM cannot deliver the message at once, a work item does it later.
  EXPECT_TRUE(Eventually([&] { return requested(0x55); }));

  // A signal that arrives while the eventfd is not connected waits for the message.
  (*interrupt)->Disconnect();
  ASSERT_EQ(eventfd_write((*interrupt)->event_fd(), 1), 0);
  usleep(20'000);
  ASSERT_TRUE((*interrupt)->SetMessage({0xFEE0'0000, 0x56}).ok());
  EXPECT_TRUE(Eventually([&] { return requested(0x56); }));
}

TEST_F(VcpuTest, PauseStopsAllGuestCodeAndResumeContinuesIt) {
  Create(kCountForEver, /*count=*/2);
  ASSERT_TRUE(group_->Start(false).ok());
  const auto counter = [this] { return memory_->Load<uint32_t>(0x8000).value(); };
  for (int i = 0; i < 100; ++i) {
    Event paused;
    group_->Pause([&] { paused.Signal(); });
    ASSERT_TRUE(paused.Wait()) << i;
    const uint32_t stopped_at = counter();
    usleep(200);
    ASSERT_EQ(counter(), stopped_at) << i;
    group_->Resume();
    ASSERT_TRUE(Eventually([&] { return counter() != stopped_at; })) << i;
  }
}

TEST_F(VcpuTest, AllOf96VcpusRunPauseAndContinue) {
  constexpr uint32_t kVcpus = 96;
  // lock incl 0x8000; write to the port; hlt; jmp
  Create({0xF0, 0xFF, 0x05, 0x00, 0x80, 0x00, 0x00, 0xE6, kPort, 0xF4, 0xEB, 0xFD}, kVcpus);
  ASSERT_TRUE(group_->Start(/*paused=*/true).ok());
  EXPECT_EQ(memory_->Load<uint32_t>(0x8000), 0U);
  group_->Resume();
  EXPECT_TRUE(port_.written.Wait(kVcpus));
  Event paused;
  group_->Pause([&] { paused.Signal(); });
  EXPECT_TRUE(paused.Wait());
  group_->Resume();
  group_->StopAndJoin();
  EXPECT_EQ(memory_->Load<uint32_t>(0x8000), kVcpus);
}

TEST_F(VcpuTest, PauseWorksForHaltedAndForUnstartedGuests) {
  Create({0xF4, 0xEB, 0xFD});  // hlt; jmp
  ASSERT_TRUE(group_->Start(/*paused=*/true).ok());
  Event paused;
  group_->Pause([&] { paused.Signal(); });
  EXPECT_TRUE(paused.Wait());
  group_->Resume();
  group_->Pause([&] { paused.Signal(); });
  EXPECT_TRUE(paused.Wait(2));
}

TEST_F(VcpuTest, StopEndsABusyGuest) {
  Create(kCountForEver, 2);
  ASSERT_TRUE(group_->Start(false).ok());
  ASSERT_TRUE(Eventually([this] { return memory_->Load<uint32_t>(0x8000) != 0U; }));
  group_->StopAndJoin();
  const auto stopped_at = memory_->Load<uint32_t>(0x8000);
  usleep(1000);
  EXPECT_EQ(memory_->Load<uint32_t>(0x8000), stopped_at);
}

}  // namespace
}  // namespace vmm
