// The life cycle of a whole VM in this process, on the machine's own KVM, with guests of a few
// instructions. Needs /dev/kvm.

#include "vmm/machine/controller.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/uring_event_loop.h"
#include "boot/kernel_fixtures.h"
#include "gtest/gtest.h"
#include "vmm/config/load_config.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/x86_64/vcpu_state.h"
#include "vmm/machine/host_resources.h"

namespace vmm {
namespace {

using Code = std::vector<uint8_t>;

Code operator+(Code a, const Code& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// 32-bit code.
Code Out(uint16_t port, uint8_t value) {  // mov al, value; mov dx, port; out dx, al
  return {0xB0, value, 0x66, 0xBA, static_cast<uint8_t>(port), static_cast<uint8_t>(port >> 8),
          0xEE};
}
const Code kHaltForEver = {0xF4, 0xEB, 0xFD};
const Code kSpinForEver = {0xEB, 0xFE};
const Code kPowerOff = Out(0x600, 0x34) + kHaltForEver;
const Code kReset = Out(0x602, 1) + kSpinForEver;
const Code kTripleFault = {0x0F, 0x0B};  // ud2 without an IDT
const Code kJumpToNowhere = {0xEA, 0x00, 0x00, 0x00, 0xD0, 0x10, 0x00};
Code Print(char c) { return Out(0x3F8, static_cast<uint8_t>(c)); }
// Reads the event register until the power button is in it: in al, 0x604; test al, 1; jz -5
const Code kWaitForButton = {0x66, 0xBA, 0x04, 0x06, 0xEC, 0xA8, 0x01, 0x74, 0xFB};
Code Bytes(uint32_t value) {
  return {static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8),
          static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 24)};
}
Code Store8(uint32_t address, uint8_t value) {
  return Code{0xC6, 0x05} + Bytes(address) + Code{value};
}
Code Store16(uint32_t address, uint16_t value) {
  return Code{0x66, 0xC7, 0x05} + Bytes(address) +
         Code{static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8)};
}
Code Store32(uint32_t address, uint32_t value) {
  return Code{0xC7, 0x05} + Bytes(address) + Bytes(value);
}

uint32_t ConfigSpaceOf(uint32_t slot) { return 0xE000'0000 + slot * 0x8000; }

// Finds pvpanic's BAR through ECAM at slot `slot`, enables it, and reports `event` 1000 times.
Code Panic(uint32_t slot, uint8_t event) {
  return Store16(ConfigSpaceOf(slot) + 4, 2)             // command: memory
         + Code{0xA1} + Bytes(ConfigSpaceOf(slot) + 16)  // mov bar0, %eax
         + Code{0x83, 0xE0, 0xF0}                        // and $~15, %eax
         + Code{0xB9, 0xE8, 0x03, 0x00, 0x00}            // mov $1000, %ecx
         + Code{0xC6, 0x00, event, 0xE2, 0xFB};          // movb $event, (%eax); loop -5
}

// Sends all other vCPUs to `code`, at most 8 bytes of 16-bit code.
Code StartOtherVcpus(Code code) {
  code.resize(8, 0x90);
  const auto word = [&](size_t i) {
    return code[i] | uint32_t{code[i + 1]} << 8 | uint32_t{code[i + 2]} << 16 |
           uint32_t{code[i + 3]} << 24;
  };
  return Store32(0x8000, word(0)) + Store32(0x8004, word(4)) +
         Store32(0xFEE0'0300, 0x000C'4500) +  // INIT to all but self
         Store32(0xFEE0'0300, 0x000C'4608);   // start at 0x8000
}
const Code kSpin16 = {0xEB, 0xFE};
const Code kReset16 = {0xB0, 0x01, 0xBA, 0x02, 0x06, 0xEE, 0xEB, 0xFE};

// Where the guest's disk requests put what they read.
constexpr uint32_t kDiskBuffer = 0x200'0000;
constexpr uint32_t kDiskBufferBytes = 4 << 20;

// Makes a driver's moves on the virtio disk in `slot` and leaves it with five requests: two reads,
// two writes and a flush.
Code StartDiskRequests(uint32_t slot) {
  constexpr uint32_t kRegisters = 0xD000'0000;
  constexpr uint32_t kDescriptors = 0x20'0000, kAvail = 0x20'1000, kUsed = 0x20'2000;
  constexpr uint32_t kHeaders = 0x20'3000, kStatus = 0x20'4000;
  constexpr uint16_t kNext = 1, kWrite = 2;
  struct Request {
    uint32_t type, sector;
    uint16_t data_flags;
  };
  constexpr Request kRequests[] = {
      {0, 0, kWrite}, {0, 64, kWrite}, {1, 8192, 0}, {1, 8192, 0}, {4, 0, kWrite}};
  Code code;
  const auto descriptor = [&](uint32_t index, uint32_t address, uint32_t bytes, uint32_t flags) {
    code = code + Store32(kDescriptors + index * 16, address) +
           Store32(kDescriptors + index * 16 + 8, bytes) +
           Store32(kDescriptors + index * 16 + 12, flags | (index + 1) << 16);
  };
  uint16_t count = 0;
  for (const Request& request : kRequests) {
    const uint32_t header = kHeaders + count * 16U, first = count * 3U;
    code = code + Store32(header, request.type) + Store32(header + 8, request.sector);
    descriptor(first, header, 16, kNext);
    descriptor(first + 1, kDiskBuffer, request.type == 4 ? 0 : kDiskBufferBytes - (1 << 20),
               kNext | request.data_flags);
    descriptor(first + 2, kStatus + count, 1, kWrite);
    code = code + Store16(kAvail + 4 + count * 2U, static_cast<uint16_t>(first));
    ++count;
  }
  return code + Store16(kAvail + 2, count)                                 //
         + Store32(ConfigSpaceOf(slot) + 0x10, kRegisters)                 //
         + Store32(ConfigSpaceOf(slot) + 0x14, 0)                          //
         + Store16(ConfigSpaceOf(slot) + 4, 6)                             // decode
         + Store8(kRegisters + 0x14, 1) + Store8(kRegisters + 0x14, 3)     // driver
         + Store32(kRegisters + 8, 1) + Store32(kRegisters + 12, 1)        // VERSION_1
         + Store32(kRegisters + 8, 0) + Store32(kRegisters + 12, 1 << 9)   // FLUSH
         + Store8(kRegisters + 0x14, 11) + Store16(kRegisters + 0x18, 16)  // FEATURES_OK
         + Store32(kRegisters + 0x20, kDescriptors) + Store32(kRegisters + 0x28, kAvail) +
         Store32(kRegisters + 0x30, kUsed) + Store16(kRegisters + 0x1C, 1)  // enable
         + Store8(kRegisters + 0x14, 15);                                   // DRIVER_OK
}

// Ends the VM with a '!' if what `address` holds is not zero.
Code ExpectZero(uint32_t address) {
  const Code failed = Print('!') + kPowerOff;
  return Code{0x80, 0x3D} + Bytes(address) + Code{0x00}  // cmpb $0, address
         + Code{0x74, static_cast<uint8_t>(failed.size())} + failed;
}

size_t CountEntries(const char* folder) {
  const std::filesystem::directory_iterator entries(folder);
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

class ControllerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "vmm-controller-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Runs a guest to its end. `poll` runs every few milliseconds on the control loop.
  ExitStatus Run(const Code& code, Controller::Options options = {},
                 std::function<void(Controller&)> poll = nullptr) {
    boot::Bytes elf = boot::MakeElf();
    // The code segment moves to the end of the file, where it may be as long as it likes.
    const uint64_t offset = elf.size();
    boot::Poke(elf, boot::ElfPhdr(1, offsetof(Elf64_Phdr, p_offset)), offset);
    boot::Poke(elf, boot::ElfPhdr(1, offsetof(Elf64_Phdr, p_filesz)), uint64_t{0x10 + code.size()});
    boot::Poke(elf, boot::ElfPhdr(1, offsetof(Elf64_Phdr, p_memsz)), uint64_t{0x10 + code.size()});
    elf.resize(offset + 0x10);
    elf.insert(elf.end(), code.begin(), code.end());
    std::ofstream(folder_ + "/kernel", std::ios::binary)
        .write(reinterpret_cast<const char*>(elf.data()), static_cast<std::streamsize>(elf.size()));
    std::ofstream(folder_ + "/disk") << std::string(8 << 20, 'x');
    const auto config = ReadConfig();
    EXPECT_TRUE(config.ok()) << config.status();
    const auto kvm = KvmSystem::Open();
    EXPECT_TRUE(kvm.ok()) << kvm.status();
    base::UringEventLoop::Options loop_options;
    loop_options.fixed_files = false;
    const auto loop = base::UringEventLoop::Create(loop_options);
    EXPECT_TRUE(loop.ok()) << loop.status();
    const auto host = HostResources::Open(
        *config, [&] { return kvm->phys_bits(); }, [] {});
    EXPECT_TRUE(host.ok()) << host.status();
    host_ = host->get();
    Controller controller(*config, options, *kvm, **host, **loop);
    Poller poller(**loop, controller, std::move(poll));
    EXPECT_TRUE(controller.Boot(*KvmVm::Create(*kvm)).ok());
    (*loop)->Run();
    EXPECT_TRUE((*host)->Finish().ok());
    return controller.exit_status();
  }

  absl::StatusOr<VmConfig> ReadConfig() const {
    return ParseVmConfig(
        absl::StrCat(R"({"memory": {"size": "64M"}, "payload": {"kernel": "kernel"},
        "console": {"mode": "Null"}, "serial": {"mode": "File", "file": "out"},
        "disks": )",
                     disks_, R"(, "rng": {"src": ")", random_source_,
                     R"("}, "cpus": {"boot_vcpus": )", vcpus_, "}}"),
        {.source = "test", .base_dir = folder_});
  }
  // Slots that the config gives out.
  uint32_t DiskSlot() const { return *ReadConfig()->disks[0].pci_device_id; }
  uint32_t PvpanicSlot() const { return ReadConfig()->pvpanic_pci_slot; }

  std::string Output() const {
    std::ifstream file(folder_ + "/out");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string folder_;
  // Set before Run.
  uint32_t vcpus_ = 1;
  std::string disks_ = R"([{"path": "disk"}])";
  std::string random_source_ = "/dev/urandom";
  // While it runs.
  HostResources* host_ = nullptr;

 private:
  class Poller final : public base::Operation {
   public:
    Poller(base::EventLoop& loop, Controller& controller, std::function<void(Controller&)> poll)
        : loop_(loop), controller_(controller), poll_(std::move(poll)) {
      loop_.Timeout(*this, std::chrono::milliseconds(2));
    }
    void OnComplete(int32_t /*result*/) override {
      if (poll_) poll_(controller_);
      // A guest that does not end as it should must not hang the test.
      if (++polls_ == 15000) controller_.ForceEnd("test timeout");
      loop_.Timeout(*this, std::chrono::milliseconds(2));
    }

   private:
    base::EventLoop& loop_;
    Controller& controller_;
    std::function<void(Controller&)> poll_;
    int polls_ = 0;
  };
};

TEST_F(ControllerTest, PowerOffEndsWith0AndAllOutputIsWritten) {
  Code code;
  for (const char c : std::string("HELLO\n")) code = code + Print(c);
  EXPECT_EQ(Run(code + kPowerOff), ExitStatus::kPowerOff);
  EXPECT_EQ(Output(), "HELLO\n");
}

TEST_F(ControllerTest, ResetInPlaceLeaksNothing) {
  // Threads and requests that come and go make both figures vary, so the most that was open early is
  // held against the least that was open 20 resets later.
  constexpr size_t kNever = 1000000;
  size_t most_fds = 0, most_threads = 0, least_fds = kNever, least_threads = kNever;
  const ExitStatus status = Run(Print('B') + kReset, {}, [&](Controller& controller) {
    // Only counted while a machine stands: between two of them there are fewer.
    if (controller.state() != Controller::State::kRunning || controller.machine() == nullptr)
      return;
    const size_t boots = Output().size();
    const size_t fds = CountEntries("/proc/self/fd");
    const size_t threads = CountEntries("/proc/self/task");
    if (boots < 20) {
      most_fds = std::max(most_fds, fds);
      most_threads = std::max(most_threads, threads);
    } else if (boots >= 40) {
      least_fds = std::min(least_fds, fds);
      least_threads = std::min(least_threads, threads);
    }
    if (boots >= 60) controller.ForceEnd("enough");
  });
  EXPECT_EQ(status, ExitStatus::kForced);
  EXPECT_GT(most_fds, 0U);
  EXPECT_LT(least_fds, kNever);
  EXPECT_LE(least_fds, most_fds);
  EXPECT_LE(least_threads, most_threads);
}

TEST_F(ControllerTest, ResetGivesTheGuestZeroedMemory) {
  // Prints and powers off if 0x30000 is not zero; writes there and resets otherwise (never ends but
  // by the test).
  const Code check = {0x80, 0x3D, 0x00, 0x00, 0x03, 0x00, 0x00,  // cmpb $0, 0x30000
                      0x75, 0x09,                                // jne past the reset
                      0xC6, 0x05, 0x00, 0x00, 0x03, 0x00, 0x01,  // movb $1, 0x30000
                      0xEB, 0x0E};  // jmp to the reset, behind print and power-off
  const Code dirty = Out(0x600, 0x34) + Out(0x600, 0x34);  // 14 bytes
  size_t boots = 0;
  const ExitStatus status =
      Run(Print('B') + check + dirty + kReset, {}, [&](Controller& controller) {
        boots = Output().size();
        if (boots >= 5) controller.ForceEnd("enough");
      });
  EXPECT_EQ(status, ExitStatus::kForced) << "the second boot saw the first one's memory";
}

TEST_F(ControllerTest, RebootExitsWith133WhenAsked) {
  EXPECT_EQ(Run(kReset, {.exit_on_reboot = true}), ExitStatus::kReboot);
}

TEST_F(ControllerTest, ThreeTripleFaultsEndWith134) {
  EXPECT_EQ(Run(Print('T') + kTripleFault), ExitStatus::kGuestFailed);
  EXPECT_EQ(Output(), "TTT");
}

TEST_F(ControllerTest, WhatKvmCannotRunEndsWith134) {
  EXPECT_EQ(Run(kJumpToNowhere), ExitStatus::kGuestFailed);
}

TEST_F(ControllerTest, PanicEndsWith134) {
  EXPECT_EQ(Run(Panic(PvpanicSlot(), 1) + Print('P') + kHaltForEver), ExitStatus::kGuestFailed);
  EXPECT_EQ(Output(), "P") << "the guest may go on printing";
}

TEST_F(ControllerTest, GuestCannotFloodTheLogWithPanics) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(Run(Panic(PvpanicSlot(), 2) + kPowerOff), ExitStatus::kPowerOff);
  const std::string log = testing::internal::GetCapturedStderr();
  const size_t first = log.find("crash kernel");
  EXPECT_NE(first, std::string::npos) << log;
  EXPECT_EQ(log.find("crash kernel", first + 1), std::string::npos) << log;
}

TEST_F(ControllerTest, ResetWithDiskRequestsInFlightLeavesNothingBehind) {
  size_t boots = 0;
  const ExitStatus status =
      Run(Print('B') + ExpectZero(kDiskBuffer) + ExpectZero(kDiskBuffer + kDiskBufferBytes / 2) +
              StartDiskRequests(DiskSlot()) + kReset,
          {}, [&](Controller& controller) {
            boots = Output().size();
            if (boots >= 20) controller.ForceEnd("enough");
          });
  EXPECT_EQ(status, ExitStatus::kForced)
      << "a read of the last guest arrived in the next one's memory";
  EXPECT_EQ(Output().find('!'), std::string::npos);
}

TEST_F(ControllerTest, DiskRequestsAreServed) {
  bool served = false;
  Run(StartDiskRequests(DiskSlot()) + kHaltForEver, {}, [&](Controller& controller) {
    served = host_->memory().Load<uint16_t>(0x20'2002) == uint16_t{5};  // used.idx
    if (served) controller.ForceEnd("enough");
  });
  EXPECT_TRUE(served);
}

TEST_F(ControllerTest, PauseWithDiskRequestsInFlightLosesNone) {
  bool served = false, asked = false;
  Run(StartDiskRequests(DiskSlot()) + kHaltForEver, {}, [&](Controller& controller) {
    if (!asked) controller.Pause([&](const absl::Status& s) { EXPECT_TRUE(s.ok()) << s; });
    asked = true;
    if (controller.state() == Controller::State::kPaused) {
      controller.Resume([](const absl::Status&) {});
    }
    served = host_->memory().Load<uint16_t>(0x20'2002) == uint16_t{5};
    if (served) controller.ForceEnd("enough");
  });
  EXPECT_TRUE(served);
}

TEST_F(ControllerTest, AnyVcpuMayReset) {
  for (const uint32_t vcpus : {2U, 4U}) {
    vcpus_ = vcpus;
    const ExitStatus status =
        Run(Print('B') + StartOtherVcpus(kReset16) + kReset, {}, [&](Controller& controller) {
          if (Output().size() >= 20) controller.ForceEnd("enough");
        });
    EXPECT_EQ(status, ExitStatus::kForced);
    EXPECT_EQ(Output().find_first_not_of('B'), std::string::npos) << Output();
  }
}

TEST_F(ControllerTest, GuestTimeStandsStillWhilePaused) {
  // rdtsc; mov %eax, 0x8000; mov %edx, 0x8004; jmp
  const Code count = {0x0F, 0x31, 0xA3, 0x00, 0x80, 0x00, 0x00, 0x89,
                      0x15, 0x04, 0x80, 0x00, 0x00, 0xEB, 0xF1};
  uint64_t guest_paused = 0, host_paused = 0, host_resumed = 0, guest_ticks = 0, host_ticks = 0;
  int step = 0;
  const auto guest_tsc = [this] { return host_->memory().Load<uint64_t>(0x8000).value(); };
  Run(count, {}, [&](Controller& controller) {
    if (step == 0 && guest_tsc() != 0) {
      step = 1;
      controller.Pause([&](const absl::Status&) {
        step = 2;
        guest_paused = guest_tsc();
        host_paused = HostTsc();
        usleep(300'000);
        host_resumed = HostTsc();
        controller.Resume([](const absl::Status&) {});
      });
    } else if (step == 2 && guest_tsc() != guest_paused) {
      guest_ticks = guest_tsc() - guest_paused;
      host_ticks = HostTsc() - host_paused;
      controller.ForceEnd("enough");
    }
  });
  const uint64_t paused_ticks = host_resumed - host_paused;
  // Some KVMs (those without hardware virtualization) give guests the host's own TSC.
  if (host_paused - guest_paused < paused_ticks) GTEST_SKIP() << "KVM does not offset the TSC";
  EXPECT_GT(guest_ticks, 0U);
  EXPECT_LT(guest_ticks, host_ticks - paused_ticks / 10 * 9);
}

TEST_F(ControllerTest, ResetWhileBeingPausedComesAtResume) {
  bool asked = false;
  std::string output_when_paused;
  const ExitStatus status = Run(Print('B') + kHaltForEver, {}, [&](Controller& controller) {
    if (!asked && Output() == "B") {
      asked = true;
      controller.Pause([&](const absl::Status& s) { EXPECT_TRUE(s.ok()) << s; });
      controller.OnGuestEnd(GuestEnd::kReset, "");  // a vCPU was just about to
    } else if (controller.state() == Controller::State::kPaused) {
      output_when_paused = Output();
      controller.Resume([](const absl::Status& s) { EXPECT_TRUE(s.ok()) << s; });
    }
    if (Output() == "BB") controller.ForceEnd("enough");
  });
  EXPECT_EQ(status, ExitStatus::kForced);
  EXPECT_EQ(output_when_paused, "B");
  EXPECT_EQ(Output(), "BB");
}

TEST_F(ControllerTest, ForcedEndDoesNotWaitForResetWithHungDisk) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  int step = 0;
  EXPECT_EXIT(Run(StartDiskRequests(DiskSlot()) + Print('A') + kHaltForEver,
                  {.io_timeout = std::chrono::seconds(1)},
                  [&](Controller& controller) {
                    if (step == 0 && Output() == "A") {
                      std::filesystem::remove_all(folder_);
                      // The loop stands for a disk that does not answer.
                      host_->devices()[0].device->loop().Post([] { sleep(1000); });
                      controller.OnGuestEnd(GuestEnd::kReset, "");
                      step = 1;
                    } else if (step == 1) {
                      controller.ForceEnd("test");
                    }
                  }),
              testing::ExitedWithCode(3), "still has I/O in flight after 1 s");
}

// Closes all descriptors of the file `path`: whatever is tried on them fails.
void CloseAllOf(const std::string& path) {
  for (int fd = 3; fd < 1024; ++fd) {
    char target[4096];
    const ssize_t size =
        readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), target, sizeof(target));
    if (size > 0 && path == absl::string_view(target, static_cast<size_t>(size))) close(fd);
  }
}

TEST_F(ControllerTest, LeavingADiskUnsyncedIsNoSuccess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  bool ended = false;
  EXPECT_EXIT(Run(StartDiskRequests(DiskSlot()) + Print('A') + kHaltForEver,
                  {.io_timeout = std::chrono::seconds(1)},
                  [&](Controller& controller) {
                    if (ended || Output() != "A") return;
                    ended = true;
                    CloseAllOf(folder_ + "/disk");
                    std::filesystem::remove_all(folder_);
                    host_->devices()[0].device->loop().Post([] { sleep(1000); });
                    controller.OnGuestEnd(GuestEnd::kPowerOff, "");
                  }),
              testing::ExitedWithCode(1), "disk: not written through");
}

TEST_F(ControllerTest, EveryQueueFindsPlaceInTheLoopsFileTable) {
  vcpus_ = 254;
  disks_ = R"([{"path": "disk", "num_queues": 254}, {"path": "disk2", "num_queues": 254}])";
  std::ofstream(folder_ + "/kernel") << "k";
  for (const char* name : {"/disk", "/disk2"})
    std::ofstream(folder_ + name) << std::string(512, 'x');
  const auto config = ReadConfig();
  ASSERT_TRUE(config.ok()) << config.status();
  const auto host = HostResources::Open(
      *config, [] { return 39u; }, [] {});
  ASSERT_TRUE(host.ok()) << host.status();
  const base::UniqueFd doorbell(eventfd(0, EFD_CLOEXEC));
  for (int i = 0; i < 2 * (254 + 1); ++i) {
    ASSERT_TRUE((*host)->devices()[0].device->loop().AddFile(doorbell.get()).ok()) << i;
  }
}

TEST_F(ControllerTest, SourceOfRandomnessIsGivenUpAtTheEnd) {
  std::ofstream(folder_ + "/random") << "random";
  random_source_ = "random";
  testing::internal::CaptureStderr();
  EXPECT_EQ(Run(kPowerOff), ExitStatus::kPowerOff);
  EXPECT_EQ(testing::internal::GetCapturedStderr().find("cannot"), std::string::npos);
}

TEST_F(ControllerTest, PowerButtonReachesTheGuest) {
  bool asked = false;
  EXPECT_EQ(Run(Print('W') + kWaitForButton + kPowerOff, {},
                [&](Controller& controller) {
                  if (!asked && Output() == "W") {
                    controller.RequestStop("test");
                    asked = true;
                  }
                }),
            ExitStatus::kPowerOff);
}

TEST_F(ControllerTest, SecondStopRequestForcesTheEnd) {
  int requests = 0;
  EXPECT_EQ(Run(kHaltForEver, {},
                [&](Controller& controller) {
                  if (requests++ < 2) controller.RequestStop("test");
                }),
            ExitStatus::kForced);
}

TEST_F(ControllerTest, StopTimeoutForcesTheEnd) {
  bool asked = false;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Run(kHaltForEver, {.stop_timeout = std::chrono::seconds(1)},
                [&](Controller& controller) {
                  if (!asked) controller.RequestStop("test");
                  asked = true;
                }),
            ExitStatus::kForced);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST_F(ControllerTest, PauseAndResumeManyTimes) {
  int pauses = 0, resumes = 0;
  bool waiting = false;
  vcpus_ = 4;
  const Code code = StartOtherVcpus(kSpin16) + kSpinForEver;
  const ExitStatus status = Run(code, {}, [&](Controller& controller) {
    if (waiting) return;
    if (resumes == 50) return controller.ForceEnd("enough");
    waiting = true;
    const auto count = [&](int& counter) {
      return [&](const absl::Status& s) {
        EXPECT_TRUE(s.ok()) << s;
        ++counter;
        waiting = false;
      };
    };
    if (controller.state() == Controller::State::kRunning) {
      controller.Pause(count(pauses));
    } else {
      controller.Resume(count(resumes));
    }
  });
  EXPECT_EQ(status, ExitStatus::kForced);
  EXPECT_EQ(pauses, 50);
  EXPECT_EQ(resumes, 50);
}

TEST_F(ControllerTest, WrongTransitionsAreRefused) {
  std::vector<absl::StatusCode> codes;
  Run(kSpinForEver, {}, [&](Controller& controller) {
    if (!codes.empty()) return controller.ForceEnd("enough");
    controller.Resume([&](const absl::Status& s) { codes.push_back(s.code()); });  // it runs
    controller.Pause([](const absl::Status&) {});
    controller.Pause(
        [&](const absl::Status& s) { codes.push_back(s.code()); });  // one is under way
    controller.Reboot([&](const absl::Status& s) { codes.push_back(s.code()); });
  });
  EXPECT_EQ(codes, (std::vector{absl::StatusCode::kFailedPrecondition,
                                absl::StatusCode::kUnavailable, absl::StatusCode::kUnavailable}));
}

TEST_F(ControllerTest, StopRequestWakesAPausedGuest) {
  int step = 0;
  EXPECT_EQ(Run(kWaitForButton + kPowerOff, {},
                [&](Controller& controller) {
                  if (step == 0) controller.Pause([&](const absl::Status&) { step = 2; });
                  if (step == 2) controller.RequestStop("test");
                  step = step == 0 ? 1 : (step == 2 ? 3 : step);
                }),
            ExitStatus::kPowerOff);
}

}  // namespace
}  // namespace vmm
