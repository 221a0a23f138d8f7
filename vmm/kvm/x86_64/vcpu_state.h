// Sets the state in which a vCPU starts.
#ifndef VMM_KVM_X86_64_VCPU_STATE_H_
#define VMM_KVM_X86_64_VCPU_STATE_H_

#include "absl/status/status.h"
#include "boot/x86_64/long_mode.h"

namespace vmm {

// Sets the registers of the boot vCPU for its first instruction.
absl::Status SetEntryState(int vcpu_fd, const boot::EntryState& state);

// Sets what firmware would set on every vCPU: default memory type write-back, fast strings.
absl::Status SetInitialMsrs(int vcpu_fd);

// Switches the local APIC to x2APIC mode. vCPUs with an APIC id above 254 need this mode from the
// start.
absl::Status EnableX2Apic(int vcpu_fd);

}  // namespace vmm

#endif  // VMM_KVM_X86_64_VCPU_STATE_H_
