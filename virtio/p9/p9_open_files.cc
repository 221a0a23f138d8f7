#include "virtio/p9/p9_open_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "base/log.h"

namespace virtio {

P9OpenFiles::~P9OpenFiles() {
  CloseAll();
  CHECK(files_.empty());
}

P9OpenFiles::OpenFile* P9OpenFiles::Insert(NodeId node, int access) {
  const Key key(static_cast<uint64_t>(node), access);
  if (const auto found = files_.find(key); found != files_.end()) return found->second.get();
  if (!tree_.Fits(kFileBytes)) return nullptr;
  tree_.Charge(0, kFileBytes);
  auto file = std::make_unique<OpenFile>();
  file->node = node;
  file->access = access;
  return files_.emplace(key, std::move(file)).first->second.get();
}

HostError P9OpenFiles::Open(NodeId node, int access, OpenFile*& file) {
  file = Insert(node, access);
  if (file == nullptr) return ENFILE;
  if (const HostError error = OpenHost(*file); error != 0) {
    RemoveUnused(*file);
    return error;
  }
  ++file->fids;
  return 0;
}

HostError P9OpenFiles::Add(std::unique_ptr<HostFile> made, int access, uint32_t mode,
                           OpenFile*& file) {
  file = Insert(made->node(), access);
  if (file == nullptr) return ENFILE;
  if (file->host == nullptr) {
    if (const HostError error = KeepOpen(*file, std::move(made)); error != 0) {
      RemoveUnused(*file);
      return error;
    }
  }
  // The guest that makes a file may use it even if the mode forbids that. Another open would fail.
  if ((mode & 0600) != 0600) file->way = OpenFile::Way::kDoubtful;
  ++file->fids;
  return 0;
}

void P9OpenFiles::Close(OpenFile& file) {
  --file.fids;
  RemoveUnused(file);
}

HostError P9OpenFiles::Begin(OpenFile& file, Room room) {
  if (const HostError error = OpenHost(file, room); error != 0) return error;
  ++file.users;
  return 0;
}

HostError P9OpenFiles::BeginFlush(NodeId node, int access, OpenFile*& file) {
  file = Insert(node, access);
  if (file == nullptr) return ENFILE;
  const HostError error = BeginFlush(*file);
  if (error != 0) RemoveUnused(*file);
  return error;
}

void P9OpenFiles::End(OpenFile& file) {
  --file.users;
  RemoveUnused(file);
  // Close the file if it was opened for a flush beyond `max_files`.
  while (open_.size() > max_files_ && CloseOldest()) {
  }
}

void P9OpenFiles::Doubt(NodeId node) {
  for (const int access : {O_RDONLY, O_WRONLY, O_RDWR}) {
    const auto found = files_.find(Key(static_cast<uint64_t>(node), access));
    if (found == files_.end()) continue;
    // A file that cannot be opened now is lost in any case.
    if (OpenHost(*found->second) == 0) found->second->way = OpenFile::Way::kDoubtful;
  }
}

void P9OpenFiles::CloseAll() {
  std::vector<OpenFile*> all;
  all.reserve(files_.size());
  for (const auto& [key, file] : files_) all.push_back(file.get());
  for (OpenFile* file : all) {
    file->fids = 0;
    RemoveUnused(*file);
  }
}

HostError P9OpenFiles::OpenHost(OpenFile& file, Room room) {
  if (file.host != nullptr) {
    open_.splice(open_.begin(), open_, file.position);
    return 0;
  }
  std::unique_ptr<HostFile> host;
  const auto open = [&] {
    return file.access == O_DIRECTORY ? tree_.OpenDirectory(file.node, host)
                                      : tree_.OpenFile(file.node, file.access, host);
  };
  HostError error = open();
  // The process may run out of descriptors before this share has `max_files`.
  while ((error == EMFILE || error == ENFILE) && CloseOldest()) error = open();
  return error != 0 ? error : KeepOpen(file, std::move(host), room);
}

bool P9OpenFiles::MakeRoom() {
  while (open_.size() >= max_files_) {
    if (!CloseOldest()) return false;
  }
  return true;
}

HostError P9OpenFiles::KeepOpen(OpenFile& file, std::unique_ptr<HostFile> host, Room room) {
  if (!MakeRoom() && room == Room::kNeeded) return ENFILE;
  const absl::StatusOr<base::LoopFile> added = loop_.LendFile(host->fd());
  if (!added.ok()) return ENFILE;
  file.host = std::move(host);
  file.loop_file = *added;
  open_.push_front(&file);
  file.position = open_.begin();
  return 0;
}

void P9OpenFiles::CloseHost(OpenFile& file) {
  loop_.RemoveFile(std::exchange(file.loop_file, base::LoopFile()));
  open_.erase(file.position);
  file.host = nullptr;
}

bool P9OpenFiles::CloseOldest() {
  for (auto it = open_.rbegin(); it != open_.rend(); ++it) {
    OpenFile& file = **it;
    if (!MayClose(file)) continue;
    CloseHost(file);
    return true;
  }
  return false;
}

bool P9OpenFiles::MayClose(OpenFile& file) {
  if (file.users > 0 || file.way == OpenFile::Way::kGone) return false;
  if (file.way == OpenFile::Way::kThere) return true;
  NodeId directory{0};
  std::string name;
  std::unique_ptr<HostFile> again;
  HostError error = tree_.FindPlace(file.node, directory, name);
  if (error == 0) error = tree_.OpenFile(file.node, file.access, again);
  if (error == 0) {
    file.way = OpenFile::Way::kThere;
  } else if (error == ESTALE || error == ENOENT || error == EACCES) {
    file.way = OpenFile::Way::kGone;
  }
  return error == 0;  // after another error the next call tries again
}

void P9OpenFiles::RemoveUnused(OpenFile& file) {
  if (file.fids > 0 || file.users > 0) return;
  if (file.host != nullptr) CloseHost(file);
  files_.erase(Key(static_cast<uint64_t>(file.node), file.access));
  tree_.Charge(kFileBytes, 0);
}

}  // namespace virtio
