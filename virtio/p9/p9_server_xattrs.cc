// The part of the 9P server for extended attributes. A fid can stand for the value of an attribute,
// or for the list of all names, and is then read or written like a file.

#include <errno.h>
#include <sys/xattr.h>

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "virtio/p9/p9_server.h"

namespace virtio {
namespace {

constexpr size_t kMaxValueBytes = 64 << 10;  // Linux's XATTR_SIZE_MAX
constexpr size_t kMaxMemoryBytes = 1 << 20;  // for the attributes of all fids
constexpr size_t kMaxXattrs = 1024;          // attributes of all fids

}  // namespace

// Returns the memory that an attribute takes. An attribute without a value takes some, too.
size_t P9Server::MemoryOf(const Xattr& xattr) {
  return xattr.size_bytes + xattr.name.size() + sizeof(Xattr);
}

bool P9Server::KeepXattr(uint32_t number, Xattr xattr) {
  const size_t bytes = MemoryOf(xattr);
  if (xattrs_.size() >= kMaxXattrs || bytes > kMaxMemoryBytes - xattr_bytes_) return false;
  xattr_bytes_ += bytes;
  xattr.value.reserve(xattr.size_bytes);  // a string that grows step by step takes more memory
  xattrs_[number] = std::move(xattr);
  return true;
}

void P9Server::DropXattr(uint32_t number) {
  const auto found = xattrs_.find(number);
  xattr_bytes_ -= MemoryOf(found->second);
  xattrs_.erase(found);
}

P9Server::Reply P9Server::XattrWalk(const P9Command& command, const Fid& from) {
  // The files of a closure have no attributes that a guest needs.
  if (tree_.has_closure()) return {.error = EOPNOTSUPP};
  const uint32_t number = command.new_fid;
  if (number == kP9NoFid || Find(number) != nullptr) return {.error = EBADF};
  Xattr xattr;
  xattr.name = std::string(command.name(0));
  const HostError error = xattr.name.empty() ? tree_.ListXattrs(from.node, text_)
                                             : tree_.GetXattr(from.node, xattr.name, text_);
  if (error != 0) return {.error = error};
  xattr.value = text_;  // unlike `text_`, the copy has no spare capacity
  xattr.size_bytes = text_.size();
  Fid fid = from;
  fid.file = nullptr;
  fid.open = fid.append = false;
  Hold(fid);
  if (!Keep(number, fid)) return {.error = ENFILE};
  const P9XattrWalkReply reply = {.size_bytes = xattr.size_bytes};
  if (!KeepXattr(number, std::move(xattr))) {
    Clunk(number);
    return {.error = ENOMEM};
  }
  Find(number)->xattr = true;
  return Answer(reply);
}

P9Server::Reply P9Server::XattrCreate(const P9Command& command, Fid& fid) {
  if (fid.open) return {.error = EBADF};
  if (command.size_bytes > kMaxValueBytes) return {.error = E2BIG};
  Xattr xattr;
  xattr.name = std::string(command.name(0));
  // Guests may not use some names. Refuse these names now, since a guest may not look at the answer
  // to the CLUNK that sets the attribute.
  const HostError error = tree_.GetXattr(fid.node, xattr.name, text_);
  if (error != 0 && error != ENODATA) return {.error = error};
  xattr.size_bytes = static_cast<size_t>(command.size_bytes);
  xattr.flags = static_cast<int>(command.flags);
  xattr.set = true;
  if (!KeepXattr(command.fid, std::move(xattr))) return {.error = ENOMEM};
  fid.xattr = true;
  return {};
}

P9Server::Reply P9Server::ReadXattr(const P9Command& command, uint32_t room) {
  const Xattr& xattr = xattrs_[command.fid];
  if (xattr.set) return {.error = EBADF};
  if (room < sizeof(P9ReadReply)) return {.error = EMSGSIZE};
  const size_t at = std::min<uint64_t>(command.offset, xattr.value.size());
  const size_t bytes = std::min({size_t{command.count}, xattr.value.size() - at,
                                 std::min<size_t>(room, kReplyBytes) - sizeof(P9ReadReply)});
  Answer(P9ReadReply{.count = static_cast<uint32_t>(bytes)});
  Append(xattr.value.data() + at, bytes);
  return Replied();
}

P9Server::Reply P9Server::WriteXattr(const P9Command& command, Chain& chain) {
  Xattr& xattr = xattrs_[command.fid];
  if (!xattr.set) return {.error = EBADF};
  if (command.offset != xattr.value.size() ||
      command.count > xattr.size_bytes - xattr.value.size()) {
    return {.error = ENOSPC};
  }
  const size_t before = xattr.value.size();
  xattr.value.resize(before + command.count);
  auto* to = reinterpret_cast<uint8_t*>(xattr.value.data()) + before;
  if (!chain.PopReadable(std::span(to, command.count))) {
    xattr.value.resize(before);
    return {.error = EINVAL};
  }
  return Answer(P9WriteReply{.count = command.count});
}

HostError P9Server::SetXattr(NodeId node, const Xattr& xattr) {
  if (xattr.value.size() != xattr.size_bytes) return EINVAL;
  // Linux removes an attribute in this way.
  if (xattr.value.empty() && xattr.flags == XATTR_REPLACE) {
    return tree_.RemoveXattr(node, xattr.name);
  }
  return tree_.SetXattr(node, xattr.name, xattr.value, xattr.flags);
}

}  // namespace virtio
