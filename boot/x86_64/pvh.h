// The start info that %ebx points to when a PVH kernel is entered.
#ifndef BOOT_X86_64_PVH_H_
#define BOOT_X86_64_PVH_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "boot/memory_map.h"

namespace boot {

struct PvhConfig {
  uint64_t start_info_addr = 0;  // where the bytes go; 8-byte aligned, below 4 GiB
  uint64_t limit = 0;            // the bytes end at or below this address
  BootInfo info;
};

// Returns hvm_start_info version 1 followed by its module list and memory map. The bytes belong at
// start_info_addr. [Xen xen/include/public/arch-x86/hvm/start_info.h]
absl::StatusOr<std::vector<uint8_t>> BuildPvhStartInfo(const PvhConfig& config);

}  // namespace boot

#endif  // BOOT_X86_64_PVH_H_
