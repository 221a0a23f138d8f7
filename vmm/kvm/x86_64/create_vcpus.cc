#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "vmm/kvm/vcpu_arch.h"
#include "vmm/kvm/x86_64/cpuid.h"
#include "vmm/kvm/x86_64/vcpu_state.h"

namespace vmm {
namespace {

absl::Status SetCpuid(int vcpu_fd, std::span<const kvm_cpuid_entry2> entries) {
  const size_t bytes = sizeof(kvm_cpuid2) + entries.size_bytes();
  const std::unique_ptr<void, decltype(&free)> buffer(calloc(1, bytes), &free);
  auto* cpuid = static_cast<kvm_cpuid2*>(buffer.get());
  cpuid->nent = static_cast<uint32_t>(entries.size());
  std::copy(entries.begin(), entries.end(), cpuid->entries);
  if (ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid) != 0) return base::ErrnoStatus(errno, "KVM_SET_CPUID2");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Vcpu>>> CreateVcpus(const KvmSystem& system,
                                                               const KvmVm& vm,
                                                               const VcpuOptions& options) {
  std::vector<std::unique_ptr<Vcpu>> vcpus;
  std::vector<kvm_cpuid_entry2> cpuid;
  for (uint32_t i = 0; i < options.count; ++i) {
    ASSIGN_OR_RETURN(std::unique_ptr<Vcpu> vcpu, Vcpu::Create(system, vm, i));
    if (i == 0) {
      const int tsc_khz = ioctl(vcpu->fd(), KVM_GET_TSC_KHZ, 0);
      cpuid = BuildCpuid(system.supported_cpuid(),
                         {.vcpu_count = options.count,
                          .nested = options.nested,
                          .tsc_deadline_timer = system.has_tsc_deadline_timer(),
                          .tsc_khz = tsc_khz > 0 ? static_cast<uint32_t>(tsc_khz) : 0,
                          .max_phys_bits = options.max_phys_bits});
    }
    SetCpuidApicId(cpuid, i);
    RETURN_IF_ERROR(SetCpuid(vcpu->fd(), cpuid));
    RETURN_IF_ERROR(SetInitialMsrs(vcpu->fd()));
    if (options.count > 255) RETURN_IF_ERROR(EnableX2Apic(vcpu->fd()));
    vcpus.push_back(std::move(vcpu));
  }
  return vcpus;
}

}  // namespace vmm
