#include "vmm/config/config_warnings.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "vmm/config/key_path.h"

namespace vmm {
namespace {

// Finds the first host id whose files `earlier` shows as one user of the guest and `later` would
// show as another user who is not root. Returns false if there is none.
bool TakesFilesAway(const IdRangeConfig& earlier, const IdRangeConfig& later, uint64_t& host) {
  host = std::max(earlier.host, later.host);
  if (host == later.host && later.guest == 0) ++host;
  return host < uint64_t{earlier.host} + earlier.count && host < uint64_t{later.host} + later.count;
}

void AddMapWarnings(absl::string_view path, const std::vector<IdRangeConfig>& map,
                    std::vector<std::string>& warnings) {
  for (size_t i = 1; i < map.size(); ++i) {
    uint64_t host = 0;
    size_t j = 0;
    while (j < i && !TakesFilesAway(map[j], map[i], host)) ++j;
    if (j == i) continue;
    const auto guest_id = [host](const IdRangeConfig& range) {
      return range.guest + (host - range.host);
    };
    warnings.push_back(absl::StrCat(
        JoinIndex(path, i), ": files of the host's id ", host, " look like the guest's id ",
        guest_id(map[j]), " (", JoinIndex(path, j), "), so the guest's id ", guest_id(map[i]),
        " owns none, not even those that it makes; give it another host id, or put its entry "
        "first"));
  }
}

}  // namespace

std::vector<std::string> ConfigWarnings(const VmConfig& config) {
  std::vector<std::string> warnings;
  for (size_t i = 0; i < config.fs.size(); ++i) {
    const std::string path = JoinIndex("fs", i);
    AddMapWarnings(absl::StrCat(path, ".uid_map"), config.fs[i].uid_map, warnings);
    AddMapWarnings(absl::StrCat(path, ".gid_map"), config.fs[i].gid_map, warnings);
  }
  return warnings;
}

}  // namespace vmm
