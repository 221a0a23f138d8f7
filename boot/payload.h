// What goes with a kernel: its initramfs's place and its command line.
#ifndef BOOT_PAYLOAD_H_
#define BOOT_PAYLOAD_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "boot/kernel_image.h"
#include "boot/memory_map.h"

namespace boot {

// Returns where an initramfs of `size_bytes` (> 0) goes: page aligned, as high as it fits in
// `window` (see PlanKernelLoad) and below the kernel's initrd_addr_max, above all that the kernel
// occupies. `name` is the file's name for messages.
absl::StatusOr<MemoryRange> PlaceInitrd(uint64_t size_bytes, absl::string_view name,
                                        const LoadPlan& kernel, MemoryRange window);

// Returns `cmdline` with its NUL. Fails if it is longer than `max_bytes` (without the NUL), or has
// a control character, which includes newlines.
absl::StatusOr<std::vector<uint8_t>> EncodeCommandLine(absl::string_view cmdline,
                                                       uint64_t max_bytes);

}  // namespace boot

#endif  // BOOT_PAYLOAD_H_
