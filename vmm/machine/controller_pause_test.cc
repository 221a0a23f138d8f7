// The life cycle of a whole VM in this process: pause, resume, and requests to stop.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "vmm/kvm/vcpu_arch.h"
#include "vmm/machine/controller.h"
#include "vmm/machine/testing/controller_fixtures.h"

namespace vmm {
namespace {

TEST_F(ControllerTest, PauseWithDiskRequestsInFlightLosesNoRequest) {
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

TEST_F(ControllerTest, GuestTimeStandsStillWhilePaused) {
  // rdtsc; mov %eax, 0x8000; mov %edx, 0x8004; jmp
  const Code count = {0x0F, 0x31, 0xA3, 0x00, 0x80, 0x00, 0x00, 0x89,
                      0x15, 0x04, 0x80, 0x00, 0x00, 0xEB, 0xF1};
  // How far the guest's counter is behind the host's counter. The value that the guest stored last
  // may be old by the time the test reads it, so the test takes the smallest of many differences.
  constexpr int kLooks = 100;
  uint64_t behind[2] = {~uint64_t{0}, ~uint64_t{0}};  // before and after
  int looks[2] = {0, 0};
  uint64_t paused_ticks = 0, guest_when_paused = 0;
  Run(count, {}, [&](Controller& controller) {
    const size_t after = paused_ticks == 0 ? 0 : 1;
    const uint64_t guest = host_->memory().Load<uint64_t>(0x8000).value();
    if (controller.state() != Controller::State::kRunning || guest == guest_when_paused) return;
    behind[after] = std::min(behind[after], HostTicks() - guest);
    if (++looks[after] < kLooks) return;
    if (after != 0) return controller.ForceEnd("enough");
    if (looks[0] > kLooks) return;  // the pause has begun
    controller.Pause([&](const absl::Status& status) {
      EXPECT_TRUE(status.ok()) << status;
      guest_when_paused = host_->memory().Load<uint64_t>(0x8000).value();
      const uint64_t start = HostTicks();
      usleep(300'000);
      paused_ticks = HostTicks() - start;
      controller.Resume([](const absl::Status&) {});
    });
  });
  ASSERT_EQ(looks[1], kLooks);
  // KVM without hardware virtualization gives guests the host's own TSC.
  if (behind[0] < paused_ticks) GTEST_SKIP() << "KVM does not offset the TSC";
  EXPECT_GT(behind[1], behind[0] + paused_ticks / 10 * 9);
}

TEST_F(ControllerTest, ResetDuringAPauseHappensAtResume) {
  bool asked = false;
  std::string output_when_paused;
  const ExitStatus status = Run(Print('B') + kHaltForEver, {}, [&](Controller& controller) {
    if (!asked && Output() == "B") {
      asked = true;
      controller.Pause([&](const absl::Status& s) { EXPECT_TRUE(s.ok()) << s; });
      controller.OnGuestEnd(GuestEnd::kReset, "");  // as a vCPU does that just asks for a reset
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

TEST_F(ControllerTest, PauseAndResumeSucceed50Times) {
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
    controller.Resume([&](const absl::Status& s) { codes.push_back(s.code()); });  // the VM runs
    controller.Pause([](const absl::Status&) {});
    controller.Pause(
        [&](const absl::Status& s) { codes.push_back(s.code()); });  // a pause is under way
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
