#include "virtio/p9/p9_locks.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <utility>

namespace virtio {
namespace {

constexpr size_t kMaxHeld = 1024;  // of one file
constexpr uint64_t kEnd = uint64_t{1} << 63;

uint64_t Key(NodeId node) { return static_cast<uint64_t>(node); }

HostError RangeOf(const FileLock& lock, uint64_t& start, uint64_t& end) {
  if (lock.start >= kEnd || lock.length > kEnd - lock.start) return EINVAL;
  start = lock.start;
  end = lock.length == 0 ? kEnd : lock.start + lock.length;
  return 0;
}

FileLock ToLock(int16_t type, uint64_t start, uint64_t end) {
  return {.type = type, .start = start, .length = end == kEnd ? 0 : end - start};
}

bool IsSame(const P9Locks::Owner& a, const P9Locks::Owner& b) {
  return a.fid == b.fid || a.process == b.process;
}

}  // namespace

const P9Locks::Held* P9Locks::FindConflict(const LockedFile& file, const Owner& owner, int16_t type,
                                           uint64_t start, uint64_t end) {
  for (const Held& held : file.held) {
    if (held.start >= end || held.end <= start || IsSame(held.owner, owner)) continue;
    if (held.type == F_WRLCK || type == F_WRLCK) return &held;
  }
  return nullptr;
}

template <typename IsOwner>
void P9Locks::Cut(std::vector<Held>& held, uint64_t start, uint64_t end, IsOwner is_owner) {
  std::vector<Held> left;
  left.reserve(held.size() + 2);
  for (const Held& old : held) {
    if (old.start >= end || old.end <= start || !is_owner(old.owner)) {
      left.push_back(old);
      continue;
    }
    if (old.start < start) left.push_back({old.owner, old.type, old.start, start});
    if (old.end > end) left.push_back({old.owner, old.type, end, old.end});
  }
  held = std::move(left);
}

HostError P9Locks::Set(NodeId node, const Owner& owner, const FileLock& lock) {
  uint64_t start;
  uint64_t end;
  if (const HostError error = RangeOf(lock, start, end); error != 0) return error;
  const auto is_owner = [&owner](const Owner& other) { return IsSame(owner, other); };
  auto found = files_.find(Key(node));
  if (lock.type == F_UNLCK) {
    if (found == files_.end()) return 0;
    const bool all = start == 0 && end == kEnd;
    if (!all && found->second.held.size() >= kMaxHeld) return ENOLCK;
    Cut(found->second.held, start, end, is_owner);
    Unlock(node, found->second, start, end);
    return 0;
  }
  if (found == files_.end()) {
    if (files_.size() >= max_files_) return ENOLCK;
    std::unique_ptr<HostFile> host;
    if (const HostError error = OpenHost(node, host); error != 0) return error;
    found = files_.emplace(Key(node), LockedFile{std::move(host), {}}).first;
  }
  LockedFile& file = found->second;
  HostError error = 0;
  if (file.held.size() >= kMaxHeld) {
    error = ENOLCK;
  } else if (FindConflict(file, owner, lock.type, start, end) != nullptr) {
    error = EAGAIN;
  } else {
    error = file.host->SetLock(lock);
  }
  if (error == 0) {
    Cut(file.held, start, end, is_owner);
    file.held.push_back({owner, lock.type, start, end});
  }
  if (file.held.empty()) files_.erase(found);
  return error;
}

HostError P9Locks::Get(NodeId node, const Owner& owner, FileLock& lock, uint32_t& process) {
  uint64_t start;
  uint64_t end;
  if (const HostError error = RangeOf(lock, start, end); error != 0) return error;
  process = 0;
  const auto found = files_.find(Key(node));
  if (found == files_.end()) {
    std::unique_ptr<HostFile> host;
    const HostError error = OpenHost(node, host);
    return error != 0 ? error : host->GetLock(lock);
  }
  const Held* held = FindConflict(found->second, owner, lock.type, start, end);
  if (held == nullptr) return found->second.host->GetLock(lock);
  lock = ToLock(held->type, held->start, held->end);
  process = held->owner.process;
  return 0;
}

void P9Locks::Drop(NodeId node, uint32_t fid) {
  const auto found = files_.find(Key(node));
  if (found == files_.end()) return;
  Cut(found->second.held, 0, kEnd, [fid](const Owner& other) { return other.fid == fid; });
  Unlock(node, found->second, 0, kEnd);
}

void P9Locks::Unlock(NodeId node, LockedFile& file, uint64_t start, uint64_t end) {
  std::sort(file.held.begin(), file.held.end(),
            [](const Held& a, const Held& b) { return a.start < b.start; });
  // Parts that other processes hold need no change on the host: their lock has the type that the
  // host has there. If the owner had held a write lock, no other process could hold a lock there. A
  // lock that the host fails to give up stays until the file is closed.
  uint64_t free = start;
  for (const Held& held : file.held) {
    if (held.end <= free) continue;
    if (held.start >= end) break;
    if (held.start > free) file.host->SetLock(ToLock(F_UNLCK, free, held.start)).Ignore();
    free = held.end;
  }
  if (file.held.empty()) {
    files_.erase(Key(node));  // closing the descriptor gives up its locks
  } else if (free < end) {
    file.host->SetLock(ToLock(F_UNLCK, free, end)).Ignore();
  }
}

HostError P9Locks::OpenHost(NodeId node, std::unique_ptr<HostFile>& host) {
  // A read lock needs a file that is open for reading, and a write lock one for writing.
  HostError error = EACCES;
  for (const int access : {O_RDWR, O_RDONLY, O_WRONLY}) {
    error = tree_.OpenFile(node, access, host);
    if (error != EACCES && error != EROFS) break;
  }
  return error;
}

}  // namespace virtio
