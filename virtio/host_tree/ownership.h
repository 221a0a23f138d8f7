// Under which owners of the host a guest makes files, and whose files the guest may change.
#ifndef VIRTIO_HOST_TREE_OWNERSHIP_H_
#define VIRTIO_HOST_TREE_OWNERSHIP_H_

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "virtio/host_tree/host_error.h"
#include "virtio/host_tree/owner_map.h"

namespace virtio {

// An owner on the host.
struct HostOwner {
  static constexpr uint32_t kUnchanged = UINT32_MAX;  // what chown(2) takes for "leave as it is"

  uint32_t uid = kUnchanged;
  uint32_t gid = kUnchanged;

  bool operator==(const HostOwner&) const = default;
};

// Which owners a process can give files to.
struct OwnerRights {
  uint32_t uid = 0;                 // of files that the process makes
  std::vector<uint32_t> gids = {};  // the process's own group is first
  bool any_owner = false;           // CAP_CHOWN
};

// Returns the rights of the calling thread.
OwnerRights OwnRights();

// The owner maps of a share and what follows from them. Any thread.
class Ownership {
 public:
  // `rights` are those of vmm. A tree that cannot be changed needs none.
  Ownership(OwnerMap uids, OwnerMap gids, OwnerRights rights);

  // Checks that vmm can give files to every owner that the maps name. `share` is for messages:
  // "fs[0]". The error says which owner is the problem, and what to write instead.
  absl::Status CheckRights(absl::string_view share) const;

  const OwnerMap& uids() const { return uids_; }
  const OwnerMap& gids() const { return gids_; }
  // The host's user that owns what vmm has just made.
  uint32_t own_uid() const { return rights_.uid; }

  // Translates ids of the guest. An id that is absent becomes kUnchanged. EPERM if the host has no
  // id for one of them.
  HostError ToHost(std::optional<uint32_t> uid, std::optional<uint32_t> gid,
                   HostOwner& owner) const;
  // Gives the owner on the host of a file that user `uid` and group `gid` of the guest make. EPERM
  // if there is none.
  HostError ToMaker(uint32_t uid, uint32_t gid, HostOwner& owner) const;

  // True if some owners have no id in the guest, and vmm has the right to change their files. Only
  // then can MayChange return false. In all other cases, the host itself refuses changes that vmm
  // may not make.
  bool protects_others() const {
    return rights_.any_owner && !(uids_.ranges().empty() && gids_.ranges().empty());
  }
  // Returns true if the guest may change a file: the guest has an id for its user and its group.
  bool MayChange(const struct statx& status) const;
  // Returns EPERM if the guest may not change an open file.
  HostError CheckFile(int fd) const;
  // Returns `mode` without set-group-id if the file is of the host's group `gid` and the guest must
  // not get the rights of that group.
  uint32_t LimitSetIds(uint32_t mode, uint32_t gid) const;

 private:
  OwnerMap uids_;
  OwnerMap gids_;
  OwnerRights rights_;
};

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_OWNERSHIP_H_
