// Loads into guest RAM everything that a guest needs at its first instruction: kernel, initramfs,
// command line, and the tables of its architecture. Implemented in the folder of the architecture.
#ifndef VMM_MACHINE_GUEST_LOADER_H_
#define VMM_MACHINE_GUEST_LOADER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/guest_memory.h"
#include "base/unique_fd.h"
#include "boot/kernel_image.h"
#include "boot/memory_map.h"
#include "vmm/config/vm_config.h"
#include "vmm/kvm/vcpu.h"

namespace vmm {

// The kernel and initramfs, opened once and read again at every reset.
struct PayloadFiles {
  base::UniqueFd kernel;
  base::UniqueFd initramfs;  // invalid if there is none
};

// Opens the file at `path` for reading. Errors name `key`, the path and the errno; a file that is
// not regular is InvalidArgument.
absl::StatusOr<base::UniqueFd> OpenRegularFile(absl::string_view key, const std::string& path);

// Opens the files that `config` names. Errors name the key, the file and the errno.
absl::StatusOr<PayloadFiles> OpenPayload(const PayloadConfig& config);

// Where the guest finds RAM and PCI.
struct GuestLayout {
  std::vector<base::GuestMemory::Region> ram;  // `host` is not set
  boot::MemoryRange pci_ecam;                  // configuration space
  boot::MemoryRange pci_mmio32;
  boot::MemoryRange pci_mmio64;
};
// Error: InvalidArgument if the RAM does not fit in `phys_bits` address bits.
absl::StatusOr<GuestLayout> MakeGuestLayout(uint64_t ram_bytes, uint32_t phys_bits);

// The result of PlanPayload: where kernel and initramfs go, and the encoded command line.
struct PayloadPlan {
  boot::LoadPlan kernel;
  boot::MemoryRange initrd;  // empty if there is none
  std::vector<uint8_t> cmdline;
};
// Checks the payload against the layout without loading it. Errors name the key, the file and what
// to do.
absl::StatusOr<PayloadPlan> PlanPayload(const PayloadConfig& config, const PayloadFiles& files,
                                        const GuestLayout& layout);

// Loads everything and sets the registers of `boot_vcpu` to the kernel's entry point. Guest RAM
// must be zero before the call. `credentials` are SMBIOS type 11 strings, which follow those of the
// config.
absl::Status LoadGuest(const VmConfig& config, const PayloadFiles& files,
                       const std::vector<std::string>& credentials, const GuestLayout& layout,
                       base::GuestMemory& memory, const Vcpu& boot_vcpu);

}  // namespace vmm

#endif  // VMM_MACHINE_GUEST_LOADER_H_
