// What of a vCPU depends on the architecture. Implemented in the folder of the architecture.
#ifndef VMM_KVM_VCPU_ARCH_H_
#define VMM_KVM_VCPU_ARCH_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/guest_memory.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/kvm/vcpu.h"

namespace vmm {

struct VcpuOptions {
  uint32_t count = 1;           // at most what KVM allows
  bool nested = false;          // the guest may run guests
  uint32_t max_phys_bits = 46;  // guest physical address bits, capped by the host's
};

// Creates all vCPUs of `vm`, with the features that the guest sees and in the state in which
// firmware leaves them.
absl::StatusOr<std::vector<std::unique_ptr<Vcpu>>> CreateVcpus(const KvmSystem& system,
                                                               const KvmVm& vm,
                                                               const VcpuOptions& options);

// Returns the host's counter of time, which runs at the guest's rate.
uint64_t HostTicks();

// Turns the guest's counter of time back by `ticks`. No effect where KVM cannot.
absl::Status TurnTicksBack(int vcpu_fd, uint64_t ticks);

// Returns a report of a few lines: registers, and the bytes of the next instruction if they can be
// read through the guest's page tables. For fatal exits; never fails, says what it could not get.
std::string DescribeVcpu(int vcpu_fd, const base::GuestMemory& memory);

}  // namespace vmm

#endif  // VMM_KVM_VCPU_ARCH_H_
