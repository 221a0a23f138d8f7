// The CPUID that a guest sees: KVM's supported CPUID, filtered by an allow-list. Pure.
#ifndef VMM_KVM_X86_64_CPUID_H_
#define VMM_KVM_X86_64_CPUID_H_

#include <cstdint>
#include <span>
#include <vector>

#include "vmm/kvm/kvm_uapi.h"

namespace vmm {

struct CpuidOptions {
  uint32_t vcpu_count = 1;
  bool nested = false;              // VMX / SVM
  bool tsc_deadline_timer = false;  // KVM has the timer (KVM never lists the bit itself)
  uint32_t tsc_khz = 0;             // 0: unknown, so there is no frequency leaf
  uint32_t max_phys_bits = 46;      // guest physical address bits, limited by the host's
};

// Returns the entries that all vCPUs share. A feature bit that is not on the list is off, whatever
// a newer host offers, so that guests always see the same machine on the same CPU. Topology: one
// package of `vcpu_count` cores with one thread each. [Intel SDM vol. 2 CPUID; AMD APM vol. 3 §E]
std::vector<kvm_cpuid_entry2> BuildCpuid(std::span<const kvm_cpuid_entry2> supported,
                                         const CpuidOptions& options);

// Fills in the APIC ids, which are the fields that differ between vCPUs.
void SetCpuidApicId(std::span<kvm_cpuid_entry2> entries, uint32_t apic_id);

}  // namespace vmm

#endif  // VMM_KVM_X86_64_CPUID_H_
