#include "virtio/host_tree/host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace virtio {
namespace {

// While a copy runs, the share serves no other request.
constexpr uint64_t kMaxCopyBytes = 256 << 10;

HostError ToHostLock(const FileLock& lock, struct flock& host) {
  if (lock.start > INT64_MAX || lock.length > INT64_MAX - lock.start) return EINVAL;
  host = {};
  host.l_type = lock.type;
  host.l_whence = SEEK_SET;
  host.l_start = static_cast<off_t>(lock.start);
  host.l_len = static_cast<off_t>(lock.length);
  return 0;
}

}  // namespace

HostFile::HostFile(NodeTable& nodes, Node& node, base::UniqueFd fd)
    : nodes_(nodes), node_(node), fd_(std::move(fd)), next_(node.files) {
  if (next_ != nullptr) next_->previous_ = this;
  node_.files = this;
}

HostFile::~HostFile() {
  if (next_ != nullptr) next_->previous_ = previous_;
  (previous_ != nullptr ? previous_->next_ : node_.files) = next_;
  nodes_.RemoveUnused(node_);
}

HostError HostFile::Seek(uint64_t offset, int whence, uint64_t& found) const {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return EINVAL;
  if (offset > INT64_MAX) return EINVAL;
  const off_t result = lseek(fd(), static_cast<off_t>(offset), whence);
  if (result < 0) return HostError::Last();
  found = static_cast<uint64_t>(result);
  return 0;
}

HostError HostFile::CopyTo(const HostFile& to, uint64_t offset, uint64_t to_offset, uint64_t bytes,
                           uint64_t& copied) const {
  bytes = std::min(bytes, kMaxCopyBytes);
  if (offset > INT64_MAX - bytes || to_offset > INT64_MAX - bytes) return EINVAL;
  off_t from_at = static_cast<off_t>(offset);
  off_t to_at = static_cast<off_t>(to_offset);
  const ssize_t result = copy_file_range(fd(), &from_at, to.fd(), &to_at, bytes, 0);
  if (result < 0) return HostError::Last();
  copied = static_cast<uint64_t>(result);
  return 0;
}

HostError HostFile::SetLock(const FileLock& lock) const {
  struct flock host;
  if (const HostError error = ToHostLock(lock, host); error != 0) return error;
  return HostError::Of(fcntl(fd(), F_OFD_SETLK, &host));
}

HostError HostFile::GetLock(FileLock& lock) const {
  struct flock host;
  if (const HostError error = ToHostLock(lock, host); error != 0) return error;
  if (fcntl(fd(), F_OFD_GETLK, &host) != 0) return HostError::Last();
  lock.type = host.l_type;
  if (lock.type == F_UNLCK) return 0;
  lock.start = static_cast<uint64_t>(host.l_start);
  lock.length = static_cast<uint64_t>(host.l_len);
  return 0;
}

}  // namespace virtio
