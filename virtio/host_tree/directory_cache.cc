#include "virtio/host_tree/directory_cache.h"

#include <errno.h>
#include <unistd.h>

#include <utility>

namespace virtio {

DirectoryCache::~DirectoryCache() {
  while (oldest_ != nullptr) Close(*oldest_);
}

void DirectoryCache::Keep(Node& node, base::UniqueFd fd) {
  while (open_ >= max_open_) Close(*oldest_);
  node.path_fd = fd.release();
  ++open_;
  Append(node);
}

void DirectoryCache::Touch(Node& node) {
  if (newest_ == &node) return;
  Remove(node);
  Append(node);
}

void DirectoryCache::Close(Node& node) {
  if (node.path_fd < 0) return;
  Remove(node);
  close(std::exchange(node.path_fd, -1));
  --open_;
}

bool DirectoryCache::GivesUp(HostError error) {
  if ((error != EMFILE && error != ENFILE) || open_ <= 1) return false;
  // The listings of DirectoryReader stay open, because one of them may be in use.
  while (open_ > 1) Close(*oldest_);
  return true;
}

void DirectoryCache::Append(Node& node) {
  node.older = newest_;
  node.newer = nullptr;
  (newest_ != nullptr ? newest_->newer : oldest_) = &node;
  newest_ = &node;
}

void DirectoryCache::Remove(Node& node) {
  (node.newer != nullptr ? node.newer->older : newest_) = node.older;
  (node.older != nullptr ? node.older->newer : oldest_) = node.newer;
  node.newer = node.older = nullptr;
}

}  // namespace virtio
