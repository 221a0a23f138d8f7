// The parts of a vCPU that depend on the architecture. The architecture's folder implements them.
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
  uint32_t count = 1;           // at most the number that KVM allows
  bool nested = false;          // the guest may run guests of its own
  uint32_t max_phys_bits = 46;  // guest physical address bits, limited by the host's
};

// Creates all vCPUs of `vm`, with the features that the guest sees and in the state in which
// firmware leaves them.
absl::StatusOr<std::vector<std::unique_ptr<Vcpu>>> CreateVcpus(const KvmSystem& system,
                                                               const KvmVm& vm,
                                                               const VcpuOptions& options);

// Returns the host's time counter, which runs at the guest's rate.
uint64_t HostTicks();

// Turns the guest's time counter back by `ticks`. Has no effect if KVM does not support it.
absl::Status TurnTicksBack(int vcpu_fd, uint64_t ticks);

// Returns a report of a few lines: the registers, and the bytes of the next instruction if they can
// be read through the guest's page tables. For fatal exits. Never fails: the report says what could
// not be read.
std::string DescribeVcpu(int vcpu_fd, const base::GuestMemory& memory);

}  // namespace vmm

#endif  // VMM_KVM_VCPU_ARCH_H_
