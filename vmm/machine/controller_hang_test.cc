// The life cycle of a whole VM in this process while a call of a share to the host hangs.

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "vmm/machine/controller.h"
#include "vmm/machine/testing/controller_fixtures.h"

namespace vmm {
namespace {

using testing::HasSubstr;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

class HangingShareTest : public ControllerTest {
 protected:
  void SetUp() override {
    ControllerTest::SetUp();
    shares_ = absl::StrCat(R"([{"tag": "t", "path": ")", testing::TempDir(), R"("}])");
  }
  virtio::Device& Share() { return *host_->devices().Find("_fs0")->device; }
  // Makes the thread of the share wait in a call until LetTheHostAnswer(). Returns when the thread
  // waits.
  void MakeItHang() {
    auto hangs = std::make_shared<std::promise<void>>();
    Share().loop().Post([this, hangs] {
      hangs->set_value();
      answer_.wait();
    });
    hangs->get_future().wait();
  }
  void LetTheHostAnswer() { host_answers_.set_value(); }

 private:
  std::promise<void> host_answers_;
  const std::shared_future<void> answer_ = host_answers_.get_future().share();
};

TEST_F(HangingShareTest, PauseFailsAfterIoTimeoutAndNamesTheShare) {
  enum class Step { kStart, kPausing, kFailed, kPausingAgain, kPaused } step = Step::kStart;
  Run(StartDriver(ShareSlot()) + kSpinForEver, {.io_timeout = 1s}, [&](Controller& controller) {
    switch (step) {
      case Step::kStart:
        step = Step::kPausing;
        MakeItHang();
        return controller.Pause([&](const absl::Status& status) {
          EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
          EXPECT_EQ(status.message(), "_fs0: still has I/O in flight; the VM runs on");
          step = Step::kFailed;
        });
      case Step::kFailed:
        EXPECT_EQ(controller.state(), Controller::State::kRunning);
        step = Step::kPausingAgain;
        LetTheHostAnswer();
        return controller.Pause([&](const absl::Status& status) {
          EXPECT_TRUE(status.ok()) << status;
          step = Step::kPaused;
        });
      case Step::kPaused:
        return controller.ForceEnd("enough");
      default:
        return;
    }
  });
  EXPECT_EQ(step, Step::kPaused);
}

TEST_F(HangingShareTest, EndLeavesTheHangingThreadBehindAndNamesIt) {
  bool asked = false;
  thread_patience_ = 100ms;
  after_finish_ = [this] { LetTheHostAnswer(); };  // this process, unlike vmm, does not end here
  testing::internal::CaptureStderr();
  // The guest has no driver for the share, so the share has no request in flight.
  const ExitStatus status =
      Run(Print('A') + kWaitForButton + kPowerOff, {}, [&](Controller& controller) {
        if (asked || Output() != "A") return;
        asked = true;
        MakeItHang();
        controller.RequestStop("test");
      });
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("thread share0 (_fs0) hangs in a call of the host; leaving without it"));
  EXPECT_EQ(status, ExitStatus::kPowerOff);
  EXPECT_TRUE(finished_.synced) << "disks do not wait for the share";
  EXPECT_FALSE(finished_.threads_ended);
}

TEST_F(HangingShareTest, EndWaitsForIoTimeoutAndNamesTheDeviceInUse) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  bool ended = false;
  EXPECT_EXIT(Run(StartDriver(ShareSlot()) + Print('A') + kHaltForEver, {.io_timeout = 1s},
                  [&](Controller& controller) {
                    if (ended || Output() != "A") return;
                    ended = true;
                    std::filesystem::remove_all(folder_);
                    MakeItHang();
                    controller.OnGuestEnd(GuestEnd::kPowerOff, "");
                  }),
              testing::ExitedWithCode(0),
              "_fs0: still has I/O in flight after 1 s; leaving without it");
}

TEST_F(HangingShareTest, ClosureReloadsAreRefusedWhileOneIsUnderWay) {
  std::filesystem::create_directories(folder_ + "/store/item");
  std::ofstream(folder_ + "/paths") << folder_ << "/store/item\n";
  shares_ = R"([{"tag": "t", "path": "store", "closure": "paths", "readonly": true}])";
  std::vector<absl::StatusCode> refused;
  std::atomic<int> read{0};
  Run(kHaltForEver, {}, [&](Controller& controller) {
    if (refused.empty()) {
      MakeItHang();
      host_->devices().ReloadClosures([&](absl::string_view) -> HostSide::ClosureReport {
        return [&](const absl::StatusOr<size_t>& added) {
          EXPECT_TRUE(added.ok()) << added.status();
          ++read;
        };
      });
      for (int i = 0; i < 100; ++i) {
        host_->devices().ReloadClosures([&](absl::string_view share) -> HostSide::ClosureReport {
          EXPECT_EQ(share, "_fs0");
          return [&](const absl::StatusOr<size_t>& added) {
            refused.push_back(added.status().code());
          };
        });
      }
      LetTheHostAnswer();
    }
    if (read > 0) controller.ForceEnd("enough");
  });
  EXPECT_EQ(refused, std::vector(100, absl::StatusCode::kUnavailable));
  EXPECT_EQ(read, 1);
}

}  // namespace
}  // namespace vmm
