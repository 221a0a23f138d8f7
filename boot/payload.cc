#include "boot/payload.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace boot {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kMiB = 1 << 20;

uint64_t MiBRoundedUp(uint64_t bytes) { return bytes / kMiB + (bytes % kMiB != 0 ? 1 : 0); }

}  // namespace

absl::StatusOr<MemoryRange> PlaceInitrd(uint64_t size_bytes, absl::string_view name,
                                        const LoadPlan& kernel, MemoryRange window) {
  if (size_bytes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": is empty; give an initramfs, or leave the key out"));
  }
  // The end of the addresses that bytes of the initramfs may have.
  const uint64_t limit = kernel.initrd_addr_max == UINT64_MAX
                             ? window.end()
                             : std::min(window.end(), kernel.initrd_addr_max + 1);
  const uint64_t floor = std::max(window.start, kernel.occupied.end());
  if (size_bytes <= limit && ((limit - size_bytes) & ~(kPageBytes - 1)) >= floor) {
    return MemoryRange{(limit - size_bytes) & ~(kPageBytes - 1), size_bytes};
  }
  const uint64_t room = limit > floor ? limit - floor : 0;
  if (limit < window.end()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: is too large: it has %d MiB, the kernel takes an initramfs of at most %d MiB below "
        "address %#x; make it smaller",
        name, MiBRoundedUp(size_bytes), room / kMiB, limit));
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s: is too large for the guest's RAM: it has %d MiB, above the kernel %d MiB are free; "
      "raise memory.size",
      name, MiBRoundedUp(size_bytes), room / kMiB));
}

absl::StatusOr<std::vector<uint8_t>> EncodeCommandLine(absl::string_view cmdline,
                                                       uint64_t max_bytes) {
  if (cmdline.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the command line has %d bytes, the kernel takes at most %d; shorten it",
                        cmdline.size(), max_bytes));
  }
  for (size_t i = 0; i < cmdline.size(); ++i) {
    const auto byte = static_cast<uint8_t>(cmdline[i]);
    if (byte >= 0x20 && byte != 0x7f) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "the command line has the control character 0x%02x at offset %d; remove it", byte, i));
  }
  std::vector<uint8_t> bytes(cmdline.begin(), cmdline.end());
  bytes.push_back(0);
  return bytes;
}

}  // namespace boot
