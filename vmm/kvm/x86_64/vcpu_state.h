// Translates between our view of a vCPU and KVM's: boot state in, failure report out.
#ifndef VMM_KVM_X86_64_VCPU_STATE_H_
#define VMM_KVM_X86_64_VCPU_STATE_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "base/guest_memory.h"
#include "boot/x86_64/long_mode.h"
#include "vmm/kvm/kvm_uapi.h"

namespace vmm {

// Sets the registers of the boot vCPU for its first instruction.
absl::Status SetEntryState(int vcpu_fd, const boot::EntryState& state);

// Sets what firmware would have set on every vCPU: memory type default write-back, fast strings.
absl::Status SetInitialMsrs(int vcpu_fd);

// Switches the local APIC to x2APIC mode, which vCPUs with an APIC id above 254 need from the
// start.
absl::Status EnableX2Apic(int vcpu_fd);

// Returns the host's time stamp counter, which runs at the guest's rate.
uint64_t HostTsc();

// Turns the guest's time stamp counter back by `ticks`. No effect where KVM cannot.
absl::Status TurnTscBack(int vcpu_fd, uint64_t ticks);

// Returns a report of a few lines: registers, and the bytes at RIP if they can be read through the
// guest's page tables. For fatal exits; never fails, says what it could not get.
std::string DescribeVcpu(int vcpu_fd, const base::GuestMemory& memory);

}  // namespace vmm

#endif  // VMM_KVM_X86_64_VCPU_STATE_H_
