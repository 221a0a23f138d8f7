// The life cycle of a whole VM in this process, on the machine's own KVM, with guests of a few
// instructions. Needs /dev/kvm.

#include "vmm/machine/controller.h"

#include <stdlib.h>

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
// Finds pvpanic's BAR through ECAM at slot `slot`, enables it, and reports a panic.
Code Panic(uint32_t slot) {
  const uint32_t function = 0xE000'0000 + slot * 0x8000;
  const auto bytes = [](uint32_t value) {
    return Code{static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8),
                static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 24)};
  };
  return Code{0x66, 0xC7, 0x05} + bytes(function + 4) + Code{0x02, 0x00}  // movw $2, command
         + Code{0xA1} + bytes(function + 0x10)                            // mov bar0, %eax
         + Code{0x83, 0xE0, 0xF0}                                         // and $~15, %eax
         + Code{0xC6, 0x00, 0x01};                                        // movb $1, (%eax)
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
    std::copy(code.begin(), code.end(), elf.begin() + boot::kElfCodeOffset + 0x10);
    std::ofstream(folder_ + "/kernel", std::ios::binary)
        .write(reinterpret_cast<const char*>(elf.data()), static_cast<std::streamsize>(elf.size()));
    std::ofstream(folder_ + "/disk").write(std::string(1 << 20, 'x').data(), 1 << 20);
    const auto config =
        ParseVmConfig(R"({"memory": {"size": "64M"}, "payload": {"kernel": "kernel"},
        "disks": [{"path": "disk"}], "console": {"mode": "Null"}, "serial": {"mode": "File", "file": "out"}})",
                      {.source = "test", .base_dir = folder_});
    EXPECT_TRUE(config.ok()) << config.status();
    const auto kvm = KvmSystem::Open();
    EXPECT_TRUE(kvm.ok()) << kvm.status();
    base::UringEventLoop::Options loop_options;
    loop_options.fixed_files = false;
    const auto loop = base::UringEventLoop::Create(loop_options);
    EXPECT_TRUE(loop.ok()) << loop.status();
    const auto host = HostResources::Open(*config, kvm->phys_bits(), [] {});
    EXPECT_TRUE(host.ok()) << host.status();
    Controller controller(*config, options, *kvm, **host, **loop);
    Poller poller(**loop, controller, std::move(poll));
    EXPECT_TRUE(controller.Boot().ok());
    (*loop)->Run();
    EXPECT_TRUE((*host)->Finish().ok());
    return controller.exit_status();
  }

  std::string Output() const {
    std::ifstream file(folder_ + "/out");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string folder_;

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
  size_t fds_before = 0, fds_after = 0, threads_before = 0, threads_after = 0;
  const ExitStatus status = Run(Print('B') + kReset, {}, [&](Controller& controller) {
    // Only counted while a machine stands: between two of them there are fewer.
    if (controller.state() != Controller::State::kRunning || controller.machine() == nullptr)
      return;
    const size_t boots = Output().size();
    size_t& fds = boots < 20 ? fds_before : fds_after;
    size_t& threads = boots < 20 ? threads_before : threads_after;
    fds = std::max(fds, CountEntries("/proc/self/fd"));
    threads = std::max(threads, CountEntries("/proc/self/task"));
    if (boots >= 40) controller.ForceEnd("enough");
  });
  EXPECT_EQ(status, ExitStatus::kForced);
  EXPECT_GT(fds_before, 0U);
  EXPECT_EQ(fds_after, fds_before);
  EXPECT_EQ(threads_after, threads_before);
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
  // The slot is fixed by the config: the test asks for it.
  const auto config =
      ParseVmConfig(R"({"payload": {"kernel": "/k"}, "disks": [{"path": "/d"}]})", {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(Run(Panic(config->pvpanic_pci_slot) + Print('P') + kHaltForEver),
            ExitStatus::kGuestFailed);
  EXPECT_EQ(Output(), "P") << "the guest may go on printing";
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
  const ExitStatus status = Run(kSpinForEver, {}, [&](Controller& controller) {
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
