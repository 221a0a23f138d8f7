// Needs /dev/kvm.

#include "vmm/kvm/early_kvm.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>

#include "gtest/gtest.h"
#include "vmm/kvm/kvm_uapi.h"

namespace vmm {
namespace {

size_t OpenFiles() {
  return static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TEST(EarlyKvmTest, TakeReturnsASystemAndANewVm) {
  EarlyKvm early;
  const auto kvm = early.Take();
  ASSERT_TRUE(kvm.ok()) << kvm.status();
  EXPECT_GE(kvm->system.phys_bits(), 36U);
  EXPECT_EQ(ioctl(kvm->system.fd(), KVM_GET_API_VERSION, 0), KVM_API_VERSION);
  // The VM is new: it has no vCPU so far.
  const int vcpu = ioctl(kvm->vm->fd(), KVM_CREATE_VCPU, 0);
  EXPECT_GE(vcpu, 0);
  close(vcpu);
}

TEST(EarlyKvmTest, TakeReturnsAnErrorOfTheThread) {
  EarlyKvm early("/dev/null");
  EXPECT_EQ(early.Take().status().message(),
            "/dev/null: this is not a KVM device; put the host's (character device 10:232) there "
            "(ENOTTY)");
}

// Takes the result early, late and not at all, so that both ways of waiting run. Nothing may hang
// or stay open.
TEST(EarlyKvmTest, ResultMayBeTakenEarlyLateOrNever) {
  { EarlyKvm never; }
  const size_t before = OpenFiles();
  for (int i = 0; i < 30; ++i) {
    EarlyKvm early(i % 5 == 4 ? "/dev/null" : "/dev/kvm");
    if (i % 3 == 0) continue;
    if (i % 3 == 1) usleep(static_cast<useconds_t>(i * 100));
    EXPECT_EQ(early.Take().ok(), i % 5 != 4);
  }
  EXPECT_EQ(OpenFiles(), before);
}

}  // namespace
}  // namespace vmm
