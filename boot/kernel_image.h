// Decides how a kernel file is loaded and entered. Only headers are read here; the machine then
// reads the segments directly from the file into guest RAM. The file is not trusted: every field is
// checked.
#ifndef BOOT_KERNEL_IMAGE_H_
#define BOOT_KERNEL_IMAGE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "boot/byte_source.h"
#include "boot/memory_map.h"

namespace boot {

enum class BootProtocol {
  kPvh,      // 32-bit entry, %ebx = hvm_start_info [Xen docs/misc/pvh.pandoc]
  kLinux64,  // 64-bit entry, %rsi = boot_params [Linux Documentation/x86/boot.rst §64-bit]
};

// Loads bytes [file_offset, file_offset + file_bytes) of the file at guest_addr; the rest up to
// memory_bytes (>= file_bytes) is zero. A segment lies inside the load window and does not overlap
// others.
struct LoadSegment {
  uint64_t file_offset = 0;
  uint64_t guest_addr = 0;
  uint64_t file_bytes = 0;
  uint64_t memory_bytes = 0;

  MemoryRange memory() const { return {guest_addr, memory_bytes}; }
  friend bool operator==(const LoadSegment&, const LoadSegment&) = default;
};

struct LoadPlan {
  BootProtocol protocol = BootProtocol::kPvh;
  std::vector<LoadSegment> segments;
  uint64_t entry_addr = 0;
  // All memory that the kernel uses before it knows its memory map: its segments and, for a
  // bzImage, the init_size bytes into which it unpacks itself. Nothing else may be placed there.
  MemoryRange occupied;
  uint64_t initrd_addr_max = 0;    // highest address that a byte of the initrd may have
  uint64_t cmdline_max_bytes = 0;  // longest command line that the kernel reads, without the NUL
  // bzImage: bytes for offset 0x1F1 of boot_params; otherwise empty
  std::vector<uint8_t> setup_header;
};

// Plans how to load `file` into RAM inside `window`, which is normally 1 MiB to the end of the RAM
// below the 4 GiB hole. `name` is the file's name for messages of the form "NAME: what is wrong;
// what to do".
absl::StatusOr<LoadPlan> PlanKernelLoad(const ByteSource& file, absl::string_view name,
                                        MemoryRange window);

}  // namespace boot

#endif  // BOOT_KERNEL_IMAGE_H_
