#include "vmm/machine/share_limits.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace vmm {
namespace {

// Descriptors for the rest of the program.
constexpr uint64_t kOtherDescriptors = 256;
// How many descriptors a share gets unless its config sets the number.
constexpr uint64_t kMinShareDescriptors = 32;
constexpr uint64_t kMaxShareDescriptors = 2048;
// The maximum is higher if files of the share may change, since every file that the guest opens
// there stays open.
constexpr uint64_t kMaxChangingShareDescriptors = 16384;
// For each file that a guest knows, the guest needs 1 KiB of its RAM or more, and vmm needs about
// 200 bytes. So the need of vmm stays below this part of the guest's RAM, even if the guest fills
// all its RAM with files.
constexpr uint64_t kRamPerNodeByte = 4;
constexpr uint64_t kMinNodeBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxNodeBytes = uint64_t{1} << 30;

}  // namespace

absl::StatusOr<std::vector<ShareLimits>> LimitsOfShares(const std::vector<FsConfig>& shares,
                                                        uint64_t max_descriptors,
                                                        uint64_t ram_bytes) {
  uint64_t spare = max_descriptors - std::min(max_descriptors, kOtherDescriptors);
  const uint64_t least_for_others = shares.size() * kMinShareDescriptors;
  for (size_t i = 0; i < shares.size(); ++i) {
    if (!shares[i].max_open_files.has_value()) continue;
    const uint64_t wanted = *shares[i].max_open_files;
    if (wanted + least_for_others > spare) {
      return absl::InvalidArgumentError(absl::StrCat(
          "fs[", i, "].max_open_files: ", wanted, " are more than the ",
          spare - std::min(spare, least_for_others), " that are left of the ", max_descriptors,
          " descriptors of a process; lower it, or raise ulimit -Hn or LimitNOFILE="));
    }
    spare -= wanted;
  }
  std::vector<ShareLimits> limits;
  limits.reserve(shares.size());
  for (const FsConfig& share : shares) {
    const uint64_t most =
        share.NeverChanges() ? kMaxShareDescriptors : kMaxChangingShareDescriptors;
    const uint64_t half = std::clamp(spare / shares.size(), kMinShareDescriptors, most) / 2;
    const uint64_t node_bytes =
        std::clamp(ram_bytes / kRamPerNodeByte, kMinNodeBytes, kMaxNodeBytes);
    limits.push_back({.open_files = share.max_open_files.value_or(static_cast<uint32_t>(half)),
                      .directories = static_cast<uint32_t>(half),
                      .node_bytes = share.max_node_memory.value_or(node_bytes)});
  }
  return limits;
}

}  // namespace vmm
