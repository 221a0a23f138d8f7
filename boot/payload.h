// The initramfs and the command line of a kernel.
#ifndef BOOT_PAYLOAD_H_
#define BOOT_PAYLOAD_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "boot/kernel_image.h"
#include "boot/memory_map.h"

namespace boot {

// Returns the place for an initramfs of `size_bytes` (> 0): page aligned and as high as possible in
// `window` (see PlanKernelLoad), but below the kernel's initrd_addr_max and above all memory that
// the kernel occupies. `name` is the file's name for messages.
absl::StatusOr<MemoryRange> PlaceInitrd(uint64_t size_bytes, absl::string_view name,
                                        const LoadPlan& kernel, MemoryRange window);

// Returns `cmdline` with a NUL at its end. Fails if `cmdline` is longer than `max_bytes` (without
// the NUL) or contains a control character such as a newline.
absl::StatusOr<std::vector<uint8_t>> EncodeCommandLine(absl::string_view cmdline,
                                                       uint64_t max_bytes);

}  // namespace boot

#endif  // BOOT_PAYLOAD_H_
