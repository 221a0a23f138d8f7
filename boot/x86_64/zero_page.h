// The boot_params page ("zero page") for the 64-bit Linux entry.
#ifndef BOOT_X86_64_ZERO_PAGE_H_
#define BOOT_X86_64_ZERO_PAGE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "boot/memory_map.h"

namespace boot {

// Returns the 4096 bytes of struct boot_params. %rsi points to them at entry. `setup_header` is
// that of the kernel's LoadPlan. [Linux Documentation/x86/boot.rst, zero-page.rst]
absl::StatusOr<std::vector<uint8_t>> BuildZeroPage(std::span<const uint8_t> setup_header,
                                                   const BootInfo& info);

}  // namespace boot

#endif  // BOOT_X86_64_ZERO_PAGE_H_
