// Loads a bzImage, which is entered at its 64-bit entry point [Linux Documentation/x86/boot.rst,
// protocol 2.15].
#include <asm/bootparam.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "boot/kernel_formats.h"
#include "boot/wire.h"

namespace boot {
namespace {

constexpr size_t kHeaderOffset =
    offsetof(boot_params, hdr);  // 0x1F1, in the file as in boot_params
// the displacement of the jump: header bytes after 0x202
constexpr size_t kHeaderSizeOffset = 0x201;
constexpr size_t kHeaderSizeBase = 0x202;
constexpr size_t kHeaderEndMax = offsetof(boot_params, edd_mbr_sig_buffer);  // 0x290
// Protocol 2.12 is the first to have xloadflags; its header ends with handover_offset.
constexpr uint16_t kMinProtocol = 0x020C;
constexpr size_t kMinHeaderEnd = kHeaderOffset + offsetof(setup_header, kernel_info_offset);
constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kDefaultSetupSectors = 4;  // the meaning of setup_sects == 0
constexpr uint64_t kEntry64Offset = 0x200;    // distance of startup_64 from startup_32
constexpr uint64_t kParagraphBytes = 16;      // the unit of syssize

absl::Status BrokenHeaderError(const KernelFile& file, absl::string_view why) {
  return KernelError(file,
                     absl::StrCat("has a broken boot header: ", why, "; copy the file again"));
}

absl::StatusOr<Bytes> ReadSetupHeader(const KernelFile& file) {
  if (file.head.size() < kMinHeaderEnd) {
    return TruncatedError(file, "the boot header", kMinHeaderEnd);
  }
  const auto version =
      LoadWire<uint16_t>(file.head, kHeaderOffset + offsetof(setup_header, version));
  if (version < kMinProtocol) {
    return KernelError(file, absl::StrFormat("speaks boot protocol %d.%02d, too old; at least 2.12 "
                                             "(Linux 3.8) is needed",
                                             version >> 8, version & 0xff));
  }
  const size_t end = kHeaderSizeBase + file.head[kHeaderSizeOffset];
  if (end < kMinHeaderEnd || end > kHeaderEndMax) {
    return BrokenHeaderError(file, absl::StrFormat("it ends at %#x", end));
  }
  if (file.head.size() < end) return TruncatedError(file, "the boot header", end);
  return Bytes(file.head.begin() + kHeaderOffset, file.head.begin() + static_cast<ptrdiff_t>(end));
}

// setup_header is packed, so its fields are copied before a reference to them is taken.
absl::Status CheckHeader(const KernelFile& file, const setup_header& header) {
  if (header.boot_flag != 0xAA55) {
    return BrokenHeaderError(file, absl::StrFormat("boot_flag is %#x", uint16_t{header.boot_flag}));
  }
  if ((header.loadflags & LOADED_HIGH) == 0) {
    return KernelError(file, "is a zImage, which loads low; build a bzImage");
  }
  if ((header.xloadflags & XLF_KERNEL_64) == 0) {
    return KernelError(file, "has no 64-bit entry point (a 32-bit kernel); give an x86_64 kernel");
  }
  if (header.relocatable_kernel != 0 && !std::has_single_bit(header.kernel_alignment)) {
    return BrokenHeaderError(
        file, absl::StrFormat("kernel_alignment is %#x", uint32_t{header.kernel_alignment}));
  }
  return absl::OkStatus();
}

// Returns the offset and size of the protected-mode kernel in the file.
absl::StatusOr<LoadSegment> FindPayload(const KernelFile& file, const setup_header& header) {
  const uint64_t sectors = header.setup_sects != 0 ? header.setup_sects : kDefaultSetupSectors;
  LoadSegment payload;
  payload.file_offset = (sectors + 1) * kSectorBytes;
  payload.file_bytes = uint64_t{header.syssize} * kParagraphBytes;
  if (payload.file_bytes <= kEntry64Offset) {
    return BrokenHeaderError(file, absl::StrFormat("syssize is %#x", uint32_t{header.syssize}));
  }
  if (uint64_t{header.payload_offset} + header.payload_length > payload.file_bytes) {
    return BrokenHeaderError(
        file, absl::StrFormat("payload_length is %#x", uint32_t{header.payload_length}));
  }
  const uint64_t needed = payload.file_offset + payload.file_bytes;
  if (needed > file.bytes.size()) return TruncatedError(file, "the kernel", needed);
  return payload;
}

// Returns the memory into which the kernel may unpack itself: at its preferred address, or else as
// low as possible.
absl::StatusOr<MemoryRange> ChooseMemory(const KernelFile& file, const setup_header& header,
                                         uint64_t payload_bytes) {
  const uint64_t size = std::max<uint64_t>(header.init_size, payload_bytes);
  const MemoryRange preferred{header.pref_address, size};
  const bool valid = !preferred.Wraps();
  if (valid && file.window.Contains(preferred)) return preferred;
  if (header.relocatable_kernel == 0) {
    if (!valid || preferred.start < file.window.start) {
      return BrokenHeaderError(file, absl::StrFormat("pref_address is %#x", preferred.start));
    }
    return TooLargeError(file, preferred.end());
  }
  const uint64_t mask = uint64_t{header.kernel_alignment} - 1;
  if (file.window.start > std::numeric_limits<uint64_t>::max() - mask) {
    return KernelError(file, "finds no RAM to be loaded to; raise memory.size");
  }
  const MemoryRange lowest{(file.window.start + mask) & ~mask, size};
  if (lowest.Wraps() || !file.window.Contains(lowest)) {
    return TooLargeError(file, lowest.start + std::min(size, ~lowest.start));
  }
  return lowest;
}

}  // namespace

absl::StatusOr<LoadPlan> PlanBzImage(const KernelFile& file) {
  LoadPlan plan;
  plan.protocol = BootProtocol::kLinux64;
  ASSIGN_OR_RETURN(plan.setup_header, ReadSetupHeader(file));
  const auto header = LoadWire<setup_header>(plan.setup_header, 0);
  RETURN_IF_ERROR(CheckHeader(file, header));
  ASSIGN_OR_RETURN(LoadSegment payload, FindPayload(file, header));
  ASSIGN_OR_RETURN(plan.occupied, ChooseMemory(file, header, payload.file_bytes));
  payload.guest_addr = plan.occupied.start;
  payload.memory_bytes = payload.file_bytes;
  plan.segments = {payload};
  plan.entry_addr = payload.guest_addr + kEntry64Offset;
  plan.initrd_addr_max = header.initrd_addr_max;
  plan.cmdline_max_bytes = header.cmdline_size;
  return plan;
}

}  // namespace boot
