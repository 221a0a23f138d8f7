// The life cycle of a whole VM in this process: how it begins, is reset, and ends.

#include "vmm/machine/controller.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "vmm/machine/testing/controller_fixtures.h"

namespace vmm {
namespace {

TEST_F(ControllerTest, PowerOffEndsWith0AndAllOutputIsWritten) {
  Code code;
  for (const char c : std::string("HELLO\n")) code = code + Print(c);
  EXPECT_EQ(Run(code + kPowerOff), ExitStatus::kPowerOff);
  EXPECT_EQ(Output(), "HELLO\n");
  EXPECT_TRUE(finished_.synced && finished_.threads_ended);
}

TEST_F(ControllerTest, ResetInPlaceLeaksNothing) {
  // Both numbers vary, since threads and requests come and go. So the test compares the highest
  // number of the first boots with the lowest number at least 20 resets later.
  constexpr size_t kNever = 1000000;
  size_t most_fds = 0, most_threads = 0, least_fds = kNever, least_threads = kNever;
  const ExitStatus status = Run(Print('B') + kReset, {}, [&](Controller& controller) {
    // Count only while there is a machine: between two machines the numbers are lower.
    if (controller.state() != Controller::State::kRunning || controller.machine() == nullptr)
      return;
    const size_t boots = Output().size();
    const size_t fds = CountFiles();
    const size_t threads = CountThreads();
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
  // The guest powers off if 0x30000 is not zero. Otherwise it writes there and resets, until the
  // test ends the VM.
  const Code check = {0x80, 0x3D, 0x00, 0x00, 0x03, 0x00, 0x00,  // cmpb $0, 0x30000
                      0x75, 0x09,                                // jne past the reset
                      0xC6, 0x05, 0x00, 0x00, 0x03, 0x00, 0x01,  // movb $1, 0x30000
                      0xEB, 0x0E};                         // jmp to the reset, behind the power-off
  const Code dirty = Out(0x600, 0x34) + Out(0x600, 0x34);  // 14 bytes
  size_t boots = 0;
  const ExitStatus status =
      Run(Print('B') + check + dirty + kReset, {}, [&](Controller& controller) {
        boots = Output().size();
        if (boots >= 5) controller.ForceEnd("enough");
      });
  EXPECT_EQ(status, ExitStatus::kForced) << "the second boot saw the memory of the first boot";
}

TEST_F(ControllerTest, RebootEndsWith133WithExitOnReboot) {
  EXPECT_EQ(Run(kReset, {.exit_on_reboot = true}), ExitStatus::kReboot);
}

TEST_F(ControllerTest, ThreeTripleFaultsEndWith134) {
  EXPECT_EQ(Run(Print('T') + kTripleFault), ExitStatus::kGuestFailed);
  EXPECT_EQ(Output(), "TTT");
}

TEST_F(ControllerTest, CodeThatKvmCannotRunEndsWith134) {
  EXPECT_EQ(Run(kJumpToNowhere), ExitStatus::kGuestFailed);
}

// The host takes away a page of guest RAM.
TEST_F(ControllerTest, AccessToRamThatTheHostTookAwayEndsWith134) {
  constexpr uint32_t kPage = 0x30'0000;
  bool taken = false;
  testing::internal::CaptureStderr();
  const Code touch_for_ever = Store8(kPage, 1) + Code{0xEB, 0xF7};
  const ExitStatus status = Run(Print('A') + touch_for_ever, {}, [&](Controller& controller) {
    if (!taken && Output() == "A") {
      const auto page = host_->memory().IoVec(*base::GuestRange::Create(kPage, 4096));
      EXPECT_EQ(mprotect(page->iov_base, 4096, PROT_NONE), 0);
      taken = true;
    }
    if (!taken || controller.machine() == nullptr) return;
    for (const auto& [place, count] : controller.machine()->ExitCounts()) {
      if (place == "mmio:0x300000") controller.ForceEnd("taken for a device");
    }
  });
  const std::string log = testing::internal::GetCapturedStderr();
  if (log.find("taken for a device") != std::string::npos) {
    GTEST_SKIP() << "this KVM treats RAM that it cannot reach as a device";
  }
  EXPECT_EQ(status, ExitStatus::kGuestFailed);
  EXPECT_NE(log.find("vCPU 0: KVM_RUN failed: EFAULT"), std::string::npos) << log;
  EXPECT_NE(log.find("rip="), std::string::npos) << log;
}

TEST_F(ControllerTest, PanicEndsWith134) {
  EXPECT_EQ(Run(Panic(PvpanicSlot(), 1) + kHaltForEver), ExitStatus::kGuestFailed);
}

TEST_F(ControllerTest, PanickedGuestMayPrintUntilItResets) {
  // So long that only the reset can end the VM.
  constexpr std::chrono::hours kLong{1};
  EXPECT_EQ(Run(Panic(PvpanicSlot(), 1) + Print('P') + kReset,
                {.panic_patience = kLong, .panic_silence = kLong}),
            ExitStatus::kGuestFailed);
  EXPECT_EQ(Output(), "P");
}

TEST_F(ControllerTest, PanickedGuestThatPrintsForEverEndsAfterPanicPatience) {
  const Code print = Print('P');
  const Code print_for_ever =
      print + Code{0xEB, static_cast<uint8_t>(-static_cast<int>(print.size()) - 2)};
  EXPECT_EQ(Run(Panic(PvpanicSlot(), 1) + print_for_ever,
                {.panic_patience = std::chrono::milliseconds(300),
                 .panic_silence = std::chrono::hours(1)}),
            ExitStatus::kGuestFailed);
}

// Returns how often `text` occurs in `log`.
size_t LinesWith(const std::string& log, const std::string& text) {
  size_t count = 0;
  for (size_t at = 0; (at = log.find(text, at)) != std::string::npos; ++at) ++count;
  return count;
}

TEST_F(ControllerTest, GuestCannotFloodTheLogByCrashReportsAndResets) {
  constexpr size_t kBoots = 30;
  testing::internal::CaptureStderr();
  const auto start = std::chrono::steady_clock::now();
  Run(Print('B') + Panic(PvpanicSlot(), 2) + kReset, {}, [&](Controller& controller) {
    if (Output().size() >= kBoots) controller.ForceEnd("enough");
  });
  const auto elapsed = std::chrono::steady_clock::now() - start;
  // One line for each period, however long this machine takes for the boots.
  const auto at_most = [elapsed](std::chrono::seconds period) {
    return static_cast<size_t>(elapsed / period) + 1;
  };
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_GE(Output().size(), kBoots);
  const size_t crashes = at_most(std::chrono::seconds(10)),
               reboots = at_most(std::chrono::seconds(1));
  EXPECT_LE(LinesWith(log, "crash kernel"), crashes) << log;
  EXPECT_LE(LinesWith(log, "guest reboots"), reboots) << log;
  EXPECT_LE(LinesWith(log, "\n"), crashes + reboots + 1) << log;  // and one line at the end
}

TEST_F(ControllerTest, ResetWithACutKernelFileEndsWith1) {
  bool cut = false;
  testing::internal::CaptureStderr();
  EXPECT_EQ(Run(Print('B') + kReset, {},
                [&](Controller&) {
                  if (cut || Output().empty()) return;
                  cut = true;
                  EXPECT_EQ(truncate((folder_ + "/kernel").c_str(), 100), 0);
                }),
            ExitStatus::kBadConfigOrHost);
  EXPECT_EQ(LinesWith(testing::internal::GetCapturedStderr(), "reset failed: payload.kernel: "),
            1u);
}

TEST_F(ControllerTest, ResetWithoutFreeDescriptorsEndsWith1) {
  bool lowered = false;
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  testing::internal::CaptureStderr();
  EXPECT_EQ(Run(Print('B') + kReset, {},
                [&](Controller&) {
                  if (lowered || Output().empty()) return;
                  lowered = true;
                  rlimit low = before;
                  low.rlim_cur = 16;  // fewer than are open
                  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
                }),
            ExitStatus::kBadConfigOrHost);
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(LinesWith(log, "reset failed: "), 1u) << log;
  EXPECT_NE(log.find("(EMFILE)", log.find("reset failed: ")), std::string::npos) << log;
}

TEST_F(ControllerTest, PrefaultMakesAllRamResidentAfterAReset) {
  memory_ = R"({"size": "64M", "prefault": true, "thp": false})";
  size_t least = SIZE_MAX;
  Run(Print('B') + kReset, {}, [&](Controller& controller) {
    if (controller.state() != Controller::State::kRunning || Output().size() < 3) return;
    size_t resident = 0;
    for (const base::GuestMemory::Region& region : host_->memory().regions()) {
      std::vector<unsigned char> pages(region.size_bytes / 4096);
      EXPECT_EQ(mincore(region.host, region.size_bytes, pages.data()), 0);
      for (const unsigned char page : pages) resident += page & 1;
    }
    least = std::min(least, resident);
    controller.ForceEnd("enough");
  });
  EXPECT_EQ(least, (64 << 20) / 4096u);
}

TEST_F(ControllerTest, GuestCannotFloodTheLogWithPanics) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(Run(Panic(PvpanicSlot(), 2) + kPowerOff), ExitStatus::kPowerOff);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_LE(LinesWith(log, "crash kernel"), 1u) << log;  // none if another test has just logged one
}

TEST_F(ControllerTest, DiskReadsInFlightAtAResetDoNotReachTheNextGuest) {
  size_t boots = 0;
  const ExitStatus status =
      Run(Print('B') + ExpectZero(kDiskBuffer) + ExpectZero(kDiskBuffer + kDiskBufferBytes / 2) +
              StartDiskRequests(DiskSlot()) + kReset,
          {}, [&](Controller& controller) {
            boots = Output().size();
            if (boots >= 20) controller.ForceEnd("enough");
          });
  EXPECT_EQ(status, ExitStatus::kForced)
      << "a read of the last guest arrived in the memory of the next guest";
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

TEST_F(ControllerTest, AnyVcpuCanResetTheGuest) {
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

TEST_F(ControllerTest, ForcedEndDoesNotWaitForResetWithHungDisk) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  int step = 0;
  EXPECT_EXIT(Run(StartDiskRequests(DiskSlot()) + Print('A') + kHaltForEver,
                  {.io_timeout = std::chrono::seconds(1)},
                  [&](Controller& controller) {
                    if (step == 0 && Output() == "A") {
                      std::filesystem::remove_all(folder_);
                      // The blocked loop stands for a disk that does not answer.
                      host_->devices().all()[0].device->loop().Post([] { sleep(1000); });
                      controller.OnGuestEnd(GuestEnd::kReset, "");
                      step = 1;
                    } else if (step == 1) {
                      controller.ForceEnd("test");
                    }
                  }),
              testing::ExitedWithCode(3), "_disk0: still has I/O in flight after 1 s");
}

// Closes all descriptors of the file `path`, so that every call with one of them fails.
void CloseAllOf(const std::string& path) {
  for (int fd = 3; fd < 1024; ++fd) {
    char target[4096];
    const ssize_t size =
        readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), target, sizeof(target));
    if (size > 0 && path == absl::string_view(target, static_cast<size_t>(size))) close(fd);
  }
}

TEST_F(ControllerTest, LeavingADiskUnsyncedEndsWith1) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  bool ended = false;
  EXPECT_EXIT(Run(StartDiskRequests(DiskSlot()) + Print('A') + kHaltForEver,
                  {.io_timeout = std::chrono::seconds(1)},
                  [&](Controller& controller) {
                    if (ended || Output() != "A") return;
                    ended = true;
                    CloseAllOf(folder_ + "/disk");
                    std::filesystem::remove_all(folder_);
                    host_->devices().all()[0].device->loop().Post([] { sleep(1000); });
                    controller.OnGuestEnd(GuestEnd::kPowerOff, "");
                  }),
              testing::ExitedWithCode(1), "disk: not written through");
}

// A block device that accepts writes into the host's page cache but has no space to store them.
class FullDevice {
 public:
  explicit FullDevice(const std::string& folder) {
    const std::string below = folder + "/full";
    std::filesystem::create_directory(below);
    if (mount("none", below.c_str(), "tmpfs", 0, "size=1M") != 0) return;
    std::ofstream(below + "/image") << "x";
    std::filesystem::resize_file(below + "/image", 8 << 20);
    FILE* const pipe = popen(absl::StrCat("losetup --show -f ", below, "/image").c_str(), "r");
    char line[64] = "";
    if (pipe != nullptr && fgets(line, sizeof(line), pipe) != nullptr) path_ = line;
    if (pipe != nullptr) pclose(pipe);
    if (!path_.empty()) path_.pop_back();
    umount2(below.c_str(), MNT_DETACH);  // the loop device keeps the file system
  }
  ~FullDevice() {
    if (path_.empty()) return;
    [[maybe_unused]] const int ignored = system(absl::StrCat("losetup -d ", path_).c_str());
  }
  const std::string& path() const { return path_; }  // empty if there is no such device

 private:
  std::string path_;
};

// The kernel reports lost writes once: here to the guest's flush. So the last fdatasync succeeds.
TEST_F(ControllerTest, WritesThatAFlushHasLostAreReportedAtPowerOff) {
  const FullDevice device(folder_);
  if (device.path().empty()) GTEST_SKIP() << "no loop device on a file system of our own";
  disks_ = absl::StrCat(R"([{"path": ")", device.path(), R"("}])");
  const Code wait_for_five = Code{0x66, 0x81, 0x3D} + Bytes(0x20'2002)  // cmpw $5, used.idx
                             + Code{5, 0, 0x75, 0xF5};                  // jne back to it
  int flush_status = -1;
  testing::internal::CaptureStderr();
  EXPECT_EQ(
      Run(StartDiskRequests(DiskSlot()) + wait_for_five + Print('A') + kWaitForButton + kPowerOff,
          {},
          [&](Controller& controller) {
            if (flush_status >= 0 || Output() != "A") return;
            flush_status = *host_->memory().Load<uint8_t>(0x20'4004);
            controller.RequestStop("test");
          }),
      ExitStatus::kPowerOff);
  EXPECT_EQ(flush_status, 1) << "the guest was told";
  EXPECT_FALSE(finished_.synced);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find(device.path() + ": not written through, an earlier fdatasync failed"),
            std::string::npos)
      << log;
}

TEST(ExitStatusTest, LostWritesEndWith1UnlessTheGuestFailed) {
  EXPECT_EQ(WithLostWrites(ExitStatus::kPowerOff), ExitStatus::kBadConfigOrHost);
  EXPECT_EQ(WithLostWrites(ExitStatus::kReboot), ExitStatus::kBadConfigOrHost);
  EXPECT_EQ(WithLostWrites(ExitStatus::kForced), ExitStatus::kBadConfigOrHost);
  EXPECT_EQ(WithLostWrites(ExitStatus::kGuestFailed), ExitStatus::kGuestFailed);
}

TEST_F(ControllerTest, DiskThatCannotBeSyncedAtTheEndIsNamed) {
  bool closed = false;
  testing::internal::CaptureStderr();
  EXPECT_EQ(Run(Print('A') + kWaitForButton + kPowerOff, {},
                [&](Controller& controller) {
                  if (closed || Output() != "A") return;
                  closed = true;
                  CloseAllOf(folder_ + "/disk");
                  controller.RequestStop("test");
                }),
            ExitStatus::kPowerOff);
  EXPECT_FALSE(finished_.synced);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find(folder_ + "/disk: not written through, fdatasync failed: Bad file descriptor "
                               "(EBADF); the guest's last writes may be lost"),
            std::string::npos)
      << log;
}

TEST_F(ControllerTest, EveryQueueFitsInTheFileTableOfTheLoop) {
  vcpus_ = 254;
  disks_ = R"([{"path": "disk", "num_queues": 254}, {"path": "disk2", "num_queues": 254}])";
  std::ofstream(folder_ + "/kernel") << "k";
  for (const char* name : {"/disk", "/disk2"})
    std::ofstream(folder_ + name) << std::string(512, 'x');
  const auto config = ReadConfig();
  ASSERT_TRUE(config.ok()) << config.status();
  const auto host = HostResources::Open(
      *config, [] { return 39u; }, [] {});
  EXPECT_TRUE(host.ok()) << host.status();
}

TEST_F(ControllerTest, PowerOffLogsNoErrorOfTheRandomnessSource) {
  std::ofstream(folder_ + "/random") << "random";
  random_source_ = "random";
  testing::internal::CaptureStderr();
  EXPECT_EQ(Run(kPowerOff), ExitStatus::kPowerOff);
  EXPECT_EQ(testing::internal::GetCapturedStderr().find("cannot"), std::string::npos);
}

}  // namespace
}  // namespace vmm
