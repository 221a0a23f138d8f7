// Whether this process can give files to the owners that a writable share needs.
#ifndef VIRTIO_HOST_TREE_OWNER_RIGHTS_H_
#define VIRTIO_HOST_TREE_OWNER_RIGHTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "virtio/host_tree/owner_map.h"

namespace virtio {

// As whom a process makes files.
struct OwnerRights {
  uint32_t uid = 0;
  std::vector<uint32_t> gids;  // its own first
  bool any_owner = false;      // CAP_CHOWN
};

// Returns those of the calling thread.
OwnerRights OwnRights();

// Checks that every owner which the maps name can be given to a file. `share` is for messages:
// "fs[0]". The error says which cannot, and what to write instead.
absl::Status CheckOwnerRights(absl::string_view share, const OwnerMap& uids, const OwnerMap& gids,
                              const OwnerRights& rights);

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_OWNER_RIGHTS_H_
