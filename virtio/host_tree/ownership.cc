#include "virtio/host_tree/ownership.h"

#include <errno.h>
#include <fcntl.h>
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
    // vmm has only a few ids of its own. The first id that is none of them ends the search.
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

Ownership::Ownership(OwnerMap uids, OwnerMap gids, OwnerRights rights)
    : uids_(std::move(uids)), gids_(std::move(gids)), rights_(std::move(rights)) {}

absl::Status Ownership::CheckRights(absl::string_view share) const {
  if (rights_.any_owner) return absl::OkStatus();
  for (const auto& [key, status] :
       {std::pair("uid_map", CheckMap("uid_map", "user", uids_, {rights_.uid})),
        std::pair("gid_map", CheckMap("gid_map", "group", gids_, rights_.gids))}) {
    if (status.ok()) continue;
    return absl::Status(status.code(), absl::StrCat(share, ".", key, ": ", status.message()));
  }
  return absl::OkStatus();
}

HostError Ownership::ToHost(std::optional<uint32_t> uid, std::optional<uint32_t> gid,
                            HostOwner& owner) const {
  const auto host_uid = uid.has_value() ? uids_.ToHost(*uid) : HostOwner::kUnchanged;
  const auto host_gid = gid.has_value() ? gids_.ToHost(*gid) : HostOwner::kUnchanged;
  if (!host_uid.has_value() || !host_gid.has_value()) return EPERM;
  owner = {*host_uid, *host_gid};
  return 0;
}

HostError Ownership::ToMaker(uint32_t uid, uint32_t gid, HostOwner& owner) const {
  RETURN_IF_HOST_ERROR(ToHost(uid, gid, owner));
  // The largest id belongs to no owner.
  const bool is_owner = owner.uid != HostOwner::kUnchanged && owner.gid != HostOwner::kUnchanged;
  return HostError::FromErrno(is_owner ? 0 : EPERM);
}

bool Ownership::MayChange(const struct statx& status) const {
  return !protects_others() || (uids_.Has(status.stx_uid) && gids_.Has(status.stx_gid));
}

HostError Ownership::CheckFile(int fd) const {
  if (!protects_others()) return 0;
  struct statx status;
  RETURN_IF_HOST_ERROR(HostError::Of(statx(fd, "", AT_EMPTY_PATH, STATX_UID | STATX_GID, &status)));
  return HostError::FromErrno(MayChange(status) ? 0 : EPERM);
}

uint32_t Ownership::LimitSetIds(uint32_t mode, uint32_t gid) const {
  return protects_others() && !gids_.Has(gid) ? mode & ~uint32_t{S_ISGID} : mode;
}

}  // namespace virtio
