#include "vmm/kvm/kvm_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace vmm {
namespace {

std::string OpenMessage(const std::string& path) {
  return std::string(KvmSystem::Open(path).status().message());
}

TEST(KvmSystemTest, NoDeviceSaysWhichModule) {
  EXPECT_EQ(OpenMessage("/dev/no-such-kvm"),
            "/dev/no-such-kvm: no such device; load the KVM module (modprobe kvm_intel or kvm_amd) "
            "and enable "
            "virtualization in the firmware (ENOENT)");
}

TEST(KvmSystemTest, NoPermissionSaysHowToGetIt) {
  const std::string path = testing::TempDir() + "kvm-no-permission";
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0);
  ASSERT_GE(fd, 0);
  close(fd);
  // Root may open everything, so the test gives up root for the attempt.
  const bool root = geteuid() == 0;
  ASSERT_EQ(seteuid(root ? 65534 : geteuid()), 0);
  const std::string message = OpenMessage(path);
  ASSERT_EQ(seteuid(root ? 0 : geteuid()), 0);
  unlink(path.c_str());
  EXPECT_EQ(
      message,
      path +
          ": permission denied; add the user to the group that owns it (usermod -aG kvm USER, or "
          "SupplementaryGroups=kvm in the unit) (EACCES)");
}

TEST(KvmSystemTest, AnotherDeviceIsRefused) {
  EXPECT_EQ(OpenMessage("/dev/null"),
            "/dev/null: this is not a KVM device; put the host's (character device 10:232) there "
            "(ENOTTY)");
}

// Returns the message for a KVM that lacks only capability `missing`, and answers `answer` for it.
std::string Missing(int missing, int answer) {
  const auto check = [&](int capability) { return capability == missing ? answer : 1; };
  return std::string(CheckRequiredCapabilities(check).message());
}

TEST(KvmSystemTest, EachCapabilityThatCanBeMissingIsNamed) {
  const std::string advice =
      " is missing; the host kernel must be Linux 6.1 or newer with full KVM";
  const struct {
    int number;
    const char* name;
  } needed[] = {
      {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
      {KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
      {KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
      {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
      {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
      {KVM_CAP_IOEVENTFD_ANY_LENGTH, "KVM_CAP_IOEVENTFD_ANY_LENGTH"},
      {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
      {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
      {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
      {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
      {KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK"},
      {KVM_CAP_ENABLE_CAP_VM, "KVM_CAP_ENABLE_CAP_VM"},
      {KVM_CAP_X2APIC_API, "KVM_CAP_X2APIC_API"},
      {KVM_CAP_COALESCED_MMIO, "KVM_CAP_COALESCED_MMIO"},
      {KVM_CAP_COALESCED_PIO, "KVM_CAP_COALESCED_PIO"},
      {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
      {KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
  };
  for (const auto& capability : needed) {
    for (const int answer : {0, -1}) {
      EXPECT_EQ(Missing(capability.number, answer), capability.name + advice);
    }
  }
}

TEST(KvmSystemTest, AnswersAboveOneCountAsPresent) {
  EXPECT_TRUE(CheckRequiredCapabilities([](int) { return 4096; }).ok());
}

TEST(KvmSystemTest, TheHostsKvmHasAllThatIsRequired) {
  const auto system = KvmSystem::Open();
  ASSERT_TRUE(system.ok()) << system.status();
  EXPECT_GE(system->max_vcpus(), 64U);
  EXPECT_GE(system->phys_bits(), 36U);
  EXPECT_FALSE(system->supported_cpuid().empty());
}

}  // namespace
}  // namespace vmm
