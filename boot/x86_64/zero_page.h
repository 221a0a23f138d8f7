// The boot_params page ("zero page") for the 64-bit Linux entry.
#ifndef BOOT_X86_64_ZERO_PAGE_H_
#define BOOT_X86_64_ZERO_PAGE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "boot/kernel_image.h"
#include "boot/memory_map.h"

namespace boot {

struct ZeroPageConfig {
  std::span<const uint8_t> setup_header;  // LoadPlan::setup_header
  std::span<const E820Entry> memory_map;  // at most kMaxE820Entries
  uint64_t cmdline_addr = 0;              // NUL-terminated; 0 for none
  MemoryRange initrd;                     // empty for none
  uint64_t rsdp_addr = 0;                 // 0 for none
};

// Returns the 4096 bytes of struct boot_params. %rsi points to them at entry.
// [Linux Documentation/x86/boot.rst, zero-page.rst]
absl::StatusOr<std::vector<uint8_t>> BuildZeroPage(const ZeroPageConfig& config);

}  // namespace boot

#endif  // BOOT_X86_64_ZERO_PAGE_H_
