#include "vmm/kvm/kvm_system.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace vmm {
namespace {

struct RequiredCapability {
  int number;
  const char* name;
};

// Everything that the machine uses unconditionally. Linux 6.1 has all of it on Intel and AMD.
constexpr RequiredCapability kRequired[] = {
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

absl::Status OpenError(absl::string_view path, int error) {
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(absl::StrCat(
          path,
          ": no such device; load the KVM module (modprobe kvm_intel or kvm_amd) and enable "
          "virtualization in the firmware (ENOENT)"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat(
          path,
          ": permission denied; add the user to the group that owns it (usermod -aG kvm USER, or "
          "SupplementaryGroups=kvm in the unit) (",
          strerrorname_np(error), ")"));
    case ENODEV:
    case ENXIO:
      return absl::UnavailableError(absl::StrCat(
          path, ": the device exists but no KVM module answers; modprobe kvm_intel or kvm_amd (",
          strerrorname_np(error), ")"));
    default:
      return base::ErrnoStatus(error, absl::StrCat(path, ": cannot open"));
  }
}

absl::StatusOr<std::vector<kvm_cpuid_entry2>> GetSupportedCpuid(int fd) {
  for (uint32_t count = 128; count <= 4096; count *= 2) {
    const size_t bytes = sizeof(kvm_cpuid2) + count * sizeof(kvm_cpuid_entry2);
    const std::unique_ptr<void, decltype(&free)> buffer(calloc(1, bytes), &free);
    auto* cpuid = static_cast<kvm_cpuid2*>(buffer.get());
    cpuid->nent = count;
    if (ioctl(fd, KVM_GET_SUPPORTED_CPUID, cpuid) == 0) {
      return std::vector<kvm_cpuid_entry2>(cpuid->entries, cpuid->entries + cpuid->nent);
    }
    if (errno != E2BIG) return base::ErrnoStatus(errno, "KVM_GET_SUPPORTED_CPUID");
  }
  return absl::InternalError("KVM_GET_SUPPORTED_CPUID: more than 4096 entries");
}

}  // namespace

absl::Status CheckRequiredCapabilities(absl::FunctionRef<int(int capability)> check_extension) {
  for (const RequiredCapability& required : kRequired) {
    if (check_extension(required.number) <= 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          required.name, " is missing; the host kernel must be Linux 6.1 or newer with full KVM"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<KvmSystem> KvmSystem::Open(absl::string_view path) {
  base::UniqueFd fd(open(std::string(path).c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return OpenError(path, errno);
  KvmSystem system(std::move(fd));
  RETURN_IF_ERROR(base::Annotate(system.CheckCapabilities(), path));
  return system;
}

uint32_t KvmSystem::phys_bits() const {
  for (const kvm_cpuid_entry2& entry : supported_cpuid_) {
    if (entry.function == 0x8000'0008) return entry.eax & 0xFF;
  }
  return 36;  // the width of a CPU without the leaf [Intel SDM vol. 3 §4.1.4]
}

absl::Status KvmSystem::CheckCapabilities() {
  const int version = ioctl(fd_.get(), KVM_GET_API_VERSION, 0);
  if (version < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("this is not a KVM device; put the host's (character device 10:232) there (",
                     strerrorname_np(errno), ")"));
  }
  if (version != KVM_API_VERSION) {
    return absl::FailedPreconditionError(
        absl::StrCat("KVM API version ", version, ", need ", KVM_API_VERSION));
  }
  const auto capability = [this](int number) {
    return ioctl(fd_.get(), KVM_CHECK_EXTENSION, number);
  };
  RETURN_IF_ERROR(CheckRequiredCapabilities(capability));
  has_readonly_memory_ = capability(KVM_CAP_READONLY_MEM) > 0;
  has_tsc_deadline_timer_ = capability(KVM_CAP_TSC_DEADLINE_TIMER) > 0;
  const int max_vcpus = capability(KVM_CAP_MAX_VCPUS);
  max_vcpus_ = max_vcpus > 0 ? static_cast<uint32_t>(max_vcpus) : 4;  // the API guarantees 4
  const int bytes = ioctl(fd_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  // kvm_run, the data of port accesses and the ring of coalesced writes take a page each.
  if (bytes < (KVM_COALESCED_MMIO_PAGE_OFFSET + 1) * 4096) {
    return absl::InternalError("KVM_GET_VCPU_MMAP_SIZE is too small");
  }
  run_mapping_bytes_ = static_cast<size_t>(bytes);
  ASSIGN_OR_RETURN(supported_cpuid_, GetSupportedCpuid(fd_.get()));
  return absl::OkStatus();
}

}  // namespace vmm
