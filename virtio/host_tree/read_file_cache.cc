#include "virtio/host_tree/read_file_cache.h"

#include <errno.h>
#include <sys/stat.h>

#include <iterator>
#include <utility>

#include "base/log.h"

namespace virtio {
namespace {

uint64_t Key(NodeId node) { return static_cast<uint64_t>(node); }

}  // namespace

ReadFileCache::~ReadFileCache() {
  DropAll();
  CHECK(dropped_.empty());
}

HostError ReadFileCache::Acquire(NodeId node, CachedFile*& file) {
  if (!tree_.Knows(node)) return ESTALE;
  if (const auto found = by_node_.find(Key(node)); found != by_node_.end()) {
    files_.splice(files_.begin(), files_, found->second);
    file = &files_.front();
    ++file->users;
    return 0;
  }
  CloseUnused(max_files_ - 1);
  CachedFile opened;
  opened.node = node;
  opened.users = 1;
  HostError error = Open(node, opened);
  if (error == EMFILE || error == ENFILE) {
    CloseUnused(0);
    error = Open(node, opened);
  }
  if (error != 0) return error;
  files_.push_front(opened);
  by_node_[Key(node)] = files_.begin();
  file = &files_.front();
  return 0;
}

HostError ReadFileCache::Open(NodeId node, CachedFile& file) {
  base::UniqueFd fd;
  if (const HostError error = tree_.OpenFile(node, fd); error != 0) return error;
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return HostError::Last();
  file.size_bytes = static_cast<uint64_t>(status.st_size);
  const absl::StatusOr<base::LoopFile> added = loop_.TakeFile(std::move(fd));
  if (!added.ok()) return ENFILE;
  file.file = *added;
  return 0;
}

void ReadFileCache::Release(CachedFile& file) {
  if (--file.users > 0) return;
  if (!file.dropped) return CloseUnused(max_files_);  // more files than that may have been in use
  for (auto it = dropped_.begin(); it != dropped_.end(); ++it) {
    if (&*it != &file) continue;
    loop_.RemoveFile(it->file);
    dropped_.erase(it);
    return;
  }
}

void ReadFileCache::Drop(NodeId node) {
  const auto found = by_node_.find(Key(node));
  if (found != by_node_.end()) Close(found->second);
}

void ReadFileCache::DropAll() {
  while (!files_.empty()) Close(files_.begin());
}

void ReadFileCache::CloseUnused(size_t keep) {
  auto it = files_.end();
  while (files_.size() + dropped_.size() > keep && it != files_.begin()) {
    --it;
    if (it->users > 0) continue;
    const Iterator old = it++;
    Close(old);
  }
}

void ReadFileCache::Close(Iterator file) {
  by_node_.erase(Key(file->node));
  if (file->users > 0) {
    file->dropped = true;
    dropped_.splice(dropped_.begin(), files_, file);
    return;
  }
  loop_.RemoveFile(file->file);
  files_.erase(file);
}

}  // namespace virtio
