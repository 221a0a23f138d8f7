#include "virtio/p9/p9_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "base/log.h"

namespace virtio {
P9Files::~P9Files() {
  CloseAll();
  CHECK(files_.empty());
}

P9Files::File& P9Files::Insert(NodeId node, int access) {
  std::unique_ptr<File>& slot = files_[Key(static_cast<uint64_t>(node), access)];
  if (slot == nullptr) {
    slot = std::make_unique<File>();
    slot->node = node;
    slot->access = access;
  }
  return *slot;
}

int P9Files::Open(NodeId node, int access, File*& file) {
  File& opened = Insert(node, access);
  if (const int error = OpenHost(opened); error != 0) {
    RemoveUnused(opened);
    return error;
  }
  ++opened.fids;
  file = &opened;
  return 0;
}

int P9Files::Add(std::unique_ptr<HostFile> made, int access, uint32_t mode, File*& file) {
  File& added = Insert(made->node(), access);
  if (added.host == nullptr) {
    if (const int error = KeepOpen(added, std::move(made)); error != 0) {
      RemoveUnused(added);
      return error;
    }
  }
  // Who makes a file may do with it what its mode then forbids.
  if ((mode & 0600) != 0600) added.way = File::Way::kDoubtful;
  ++added.fids;
  file = &added;
  return 0;
}

void P9Files::Close(File& file) {
  --file.fids;
  RemoveUnused(file);
}

int P9Files::Begin(File& file) {
  if (const int error = OpenHost(file); error != 0) return error;
  ++file.users;
  return 0;
}

void P9Files::End(File& file) {
  --file.users;
  RemoveUnused(file);
}

void P9Files::Doubt(NodeId node) {
  for (const int access : {O_RDONLY, O_WRONLY, O_RDWR}) {
    const auto found = files_.find(Key(static_cast<uint64_t>(node), access));
    if (found == files_.end()) continue;
    // One that cannot be opened now is lost either way.
    if (OpenHost(*found->second) == 0) found->second->way = File::Way::kDoubtful;
  }
}

void P9Files::CloseAll() {
  std::vector<File*> all;
  all.reserve(files_.size());
  for (const auto& [key, file] : files_) all.push_back(file.get());
  for (File* file : all) {
    file->fids = 0;
    RemoveUnused(*file);
  }
}

int P9Files::OpenHost(File& file) {
  if (file.host != nullptr) {
    open_.splice(open_.begin(), open_, file.position);
    return 0;
  }
  std::unique_ptr<HostFile> host;
  const auto open = [&] {
    return file.access == O_DIRECTORY ? tree_.OpenDirectory(file.node, host)
                                      : tree_.OpenFile(file.node, file.access, host);
  };
  int error = open();
  // The process may have fewer descriptors left than this share may have.
  while ((error == EMFILE || error == ENFILE) && CloseOldest()) error = open();
  return error != 0 ? error : KeepOpen(file, std::move(host));
}

bool P9Files::MakeRoom() {
  while (open_.size() >= max_files_) {
    if (!CloseOldest()) return false;
  }
  return true;
}

int P9Files::KeepOpen(File& file, std::unique_ptr<HostFile> host) {
  if (!MakeRoom()) return ENFILE;
  const absl::StatusOr<base::LoopFile> added = loop_.AddTemporaryFile(host->fd());
  if (!added.ok()) return ENFILE;
  file.host = std::move(host);
  file.loop_file = *added;
  open_.push_front(&file);
  file.position = open_.begin();
  return 0;
}

void P9Files::CloseHost(File& file) {
  loop_.RemoveFile(std::exchange(file.loop_file, base::LoopFile()));
  open_.erase(file.position);
  file.host = nullptr;
}

bool P9Files::CloseOldest() {
  for (auto it = open_.rbegin(); it != open_.rend(); ++it) {
    File& file = **it;
    if (!MayClose(file)) continue;
    CloseHost(file);
    return true;
  }
  return false;
}

bool P9Files::MayClose(File& file) {
  if (file.users > 0 || file.way == File::Way::kGone) return false;
  if (file.way == File::Way::kThere) return true;
  NodeId directory{0};
  std::string name;
  std::unique_ptr<HostFile> again;
  int error = tree_.FindPlace(file.node, directory, name);
  if (error == 0) error = tree_.OpenFile(file.node, file.access, again);
  if (error == 0) {
    file.way = File::Way::kThere;
  } else if (error == ESTALE || error == ENOENT || error == EACCES) {
    file.way = File::Way::kGone;
  }
  return error == 0;  // of other errors the next try may know more
}

void P9Files::RemoveUnused(File& file) {
  if (file.fids > 0 || file.users > 0) return;
  if (file.host != nullptr) CloseHost(file);
  files_.erase(Key(static_cast<uint64_t>(file.node), file.access));
}

}  // namespace virtio
