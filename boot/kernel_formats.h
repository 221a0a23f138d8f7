// Internal to boot/: declarations that kernel_image.cc and the loaders of the single formats share.
#ifndef BOOT_KERNEL_FORMATS_H_
#define BOOT_KERNEL_FORMATS_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "boot/kernel_image.h"

namespace boot {

// What PlanKernelLoad knows about the file once it has chosen the format.
struct KernelFile {
  const ByteSource& bytes;
  absl::string_view name;
  MemoryRange window;
  std::span<const uint8_t> head;  // the first bytes of the file, at most 4 KiB
};

inline constexpr absl::string_view kWantedKernel =
    "an x86_64 vmlinux with a PVH note, or a bzImage";

// Returns "NAME: TEXT" as an error.
absl::Status KernelError(const KernelFile& file, absl::string_view text);

// Returns the error for a file that ends although `needed` bytes are needed.
absl::Status TruncatedError(const KernelFile& file, absl::string_view part, uint64_t needed);

// Returns the error for a kernel that needs RAM up to address `needed_end`, which is beyond the
// window.
absl::Status TooLargeError(const KernelFile& file, uint64_t needed_end);

// Formats a size for people: the exact value in the largest binary unit that divides it, e.g. "24
// MiB".
std::string FormatSize(uint64_t bytes);

absl::StatusOr<LoadPlan> PlanElf(const KernelFile& file);      // head starts with "\x7fELF"
absl::StatusOr<LoadPlan> PlanBzImage(const KernelFile& file);  // head has "HdrS" at 0x202

}  // namespace boot

#endif  // BOOT_KERNEL_FORMATS_H_
