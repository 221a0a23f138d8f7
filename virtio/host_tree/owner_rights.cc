#include "virtio/host_tree/owner_rights.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace virtio {
namespace {

absl::Status CheckMap(absl::string_view key, absl::string_view kind, const OwnerMap& map,
                      const std::vector<uint32_t>& own) {
  const auto advice = absl::StrCat("write \"", key, "\": [{\"guest\": 0, \"host\": ", own.front(),
                                   "}], or run it with CAP_CHOWN, or set readonly");
  if (map.ranges().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("missing, and the share can be written to: vmm runs as ", kind, " ",
                     own.front(), " and cannot give files to others; ", advice));
  }
  for (const OwnerRange& range : map.ranges()) {
    // Few ids can be its own: the first that is not ends the search.
    for (uint32_t i = 0; i < range.count; ++i) {
      if (std::find(own.begin(), own.end(), range.host + i) != own.end()) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("names the host's ", kind, " ", range.host + i, ", and the share can be ",
                       "written to: vmm runs as ", kind, " ", own.front(),
                       " and cannot give files to others; ", advice));
    }
  }
  return absl::OkStatus();
}

}  // namespace

OwnerRights OwnRights() {
  OwnerRights rights;
  rights.uid = geteuid();
  rights.gids.push_back(getegid());
  if (const int count = getgroups(0, nullptr); count > 0) {
    std::vector<gid_t> groups(static_cast<size_t>(count));
    const int got = getgroups(count, groups.data());
    if (got > 0) rights.gids.insert(rights.gids.end(), groups.begin(), groups.begin() + got);
  }
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) == 0) {
    rights.any_owner = (data[CAP_TO_INDEX(CAP_CHOWN)].effective & CAP_TO_MASK(CAP_CHOWN)) != 0;
  }
  return rights;
}

absl::Status CheckOwnerRights(absl::string_view share, const OwnerMap& uids, const OwnerMap& gids,
                              const OwnerRights& rights) {
  if (rights.any_owner) return absl::OkStatus();
  for (const auto& [key, status] :
       {std::pair("uid_map", CheckMap("uid_map", "user", uids, {rights.uid})),
        std::pair("gid_map", CheckMap("gid_map", "group", gids, rights.gids))}) {
    if (status.ok()) continue;
    return absl::Status(status.code(), absl::StrCat(share, ".", key, ": ", status.message()));
  }
  return absl::OkStatus();
}

}  // namespace virtio
