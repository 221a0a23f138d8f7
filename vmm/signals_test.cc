// Signals raised by faults of the process itself, on the threads where guests can cause them.

#include "vmm/signals.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <exception>
#include <new>

#include "base/guest_memory.h"
#include "base/log.h"
#include "base/thread.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

// Returns a page that has no memory behind it, like guest RAM without a huge page: touching it
// raises SIGBUS.
volatile uint8_t* PageWithoutMemory() {
  const int fd = memfd_create("empty", MFD_CLOEXEC);
  return static_cast<volatile uint8_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
}

void FaultOnThread() {
  const auto memory = base::GuestMemory::Create({}, {{0, 4096, nullptr}});
  BlockSignals();
  InstallFaultHandlers(**memory);
  auto thread = base::StartThread("fault", [] { *PageWithoutMemory() = 1; });
  thread->join();
}

// Faults on a page that the host took back, which stands for a page that it cannot provide.
void FaultInGuestMemory() {
  const auto memory = base::GuestMemory::Create({}, {{0x1000, 4096, nullptr}});
  InstallFaultHandlers(**memory);
  uint8_t* const page = (*memory)->regions()[0].host;
  const int fd = memfd_create("empty", MFD_CLOEXEC);
  mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  *static_cast<volatile uint8_t*>(page) = 1;
}

TEST(SignalsTest, SigbusInGuestMemoryEndsWith134AndTheGuestAddress) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(FaultInGuestMemory(), testing::ExitedWithCode(134),
              "SIGBUS at guest address 0x0000000000001000");
}

TEST(SignalsTest, SigbusElsewhereEndsWith1OnAnyThread) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(FaultOnThread(), testing::ExitedWithCode(1), "SIGBUS at host address 0x");
}

// A destructor that must not run when there is a bug.
struct Destructor {
  ~Destructor() { fputs("destroyed\n", stderr); }
};

TEST(AbortTest, AFailedCheckEndsWith70AndOneLineOnAnyThread) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        InstallAbortHandlers();
        static const Destructor not_run;
        base::StartThread("bug", [] { CHECK(1 + 1 == 3); })->join();
      },
      testing::ExitedWithCode(70),
      "^vmm: fatal: this is a bug of vmm, please report it: .*signals_test.cc:[0-9]+: 1 \\+ 1 == "
      "3\n$");
}

TEST(AbortTest, OtherAbortsEndWith70AndALine) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  constexpr char kLine[] = "vmm: fatal: this is a bug of vmm, please report it: it aborted itself";
  EXPECT_EXIT(
      {
        InstallAbortHandlers();
        abort();
      },
      testing::ExitedWithCode(70), kLine);
  EXPECT_EXIT(
      {
        InstallAbortHandlers();
        std::terminate();
      },
      testing::ExitedWithCode(70), kLine);
}

TEST(AbortTest, LackOfMemoryEndsWith1) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        InstallAbortHandlers();
        std::get_new_handler()();
      },
      testing::ExitedWithCode(1), "host: no memory for vmm itself");
}

TEST(AbortTest, CoreDumpIsMadeIfRequested) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("VMM_CORE_DUMP", "1", 1);
        InstallAbortHandlers();
        CHECK(false);
      },
      testing::KilledBySignal(SIGABRT), "this is a bug of vmm");
}

}  // namespace
}  // namespace vmm
