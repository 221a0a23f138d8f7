// Signals that a fault of ours raises, in the threads where guests cause them.

#include "vmm/signals.h"

#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "base/guest_memory.h"
#include "base/thread.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

// A page whose file is gone, as guest RAM without a huge page: touching it raises SIGBUS.
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

TEST(SignalsTest, SigbusOnAnyThreadEndsWith134AndTheAddress) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(FaultOnThread(), testing::ExitedWithCode(134), "SIGBUS at host address 0x");
}

}  // namespace
}  // namespace vmm
