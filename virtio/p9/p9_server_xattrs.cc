// Extended attributes of files for a 9P guest: a fid stands for the value of one, or for the list
// of their names, and is read or written like a file.

#include <errno.h>
#include <sys/xattr.h>

#include <algorithm>
#include <utility>

#include "virtio/p9/p9_server.h"

namespace virtio {
namespace {

constexpr size_t kMaxValueBytes = 64 << 10;  // Linux's XATTR_SIZE_MAX
constexpr size_t kMaxValuesBytes = 1 << 20;  // of all fids

}  // namespace

bool P9Server::ReserveXattr(size_t bytes) {
  if (bytes > kMaxValuesBytes - xattr_bytes_) return false;
  xattr_bytes_ += bytes;
  return true;
}

P9Server::Reply P9Server::XattrWalk(const P9Command& command, const Fid& from) {
  if (!tree_.writable()) return {.error = EOPNOTSUPP};
  const uint32_t number = command.new_fid;
  if (number == kP9NoFid || Find(number) != nullptr) return {.error = EBADF};
  Xattr xattr;
  xattr.name = std::string(command.name(0));
  const int error = xattr.name.empty() ? tree_.ListXattrs(from.node, xattr.value)
                                       : tree_.GetXattr(from.node, xattr.name, xattr.value);
  if (error != 0) return {.error = error};
  xattr.size_bytes = xattr.value.size();
  Fid fid = from;
  fid.file = nullptr;
  fid.open = fid.append = false;
  tree_.Hold(fid.node);
  if (!Keep(number, fid)) return {.error = ENFILE};
  if (!ReserveXattr(xattr.size_bytes)) {
    Clunk(number);
    return {.error = ENOMEM};
  }
  Find(number)->xattr = true;
  const P9XattrWalkReply reply = {.size_bytes = xattr.size_bytes};
  xattrs_[number] = std::move(xattr);
  return Answer(reply);
}

P9Server::Reply P9Server::XattrCreate(const P9Command& command, Fid& fid) {
  if (fid.open) return {.error = EBADF};
  if (command.size_bytes > kMaxValueBytes) return {.error = E2BIG};
  Xattr xattr;
  xattr.name = std::string(command.name(0));
  // Some names are not for guests, which had better know now than from a clunk.
  const int error = tree_.GetXattr(fid.node, xattr.name, text_);
  if (error != 0 && error != ENODATA) return {.error = error};
  xattr.size_bytes = static_cast<size_t>(command.size_bytes);
  xattr.flags = static_cast<int>(command.flags);
  xattr.set = true;
  if (!ReserveXattr(xattr.size_bytes)) return {.error = ENOMEM};
  fid.xattr = true;
  xattrs_[command.fid] = std::move(xattr);
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
  xattr.value.resize(xattr.value.size() + command.count);
  auto* to = reinterpret_cast<uint8_t*>(xattr.value.data()) + command.offset;
  if (!chain.PopReadable(std::span(to, command.count))) return {.error = EINVAL};
  return Answer(P9WriteReply{.count = command.count});
}

int P9Server::SetXattr(NodeId node, const Xattr& xattr) {
  if (xattr.value.size() != xattr.size_bytes) return EINVAL;
  // How Linux says that it is to be removed.
  if (xattr.value.empty() && xattr.flags == XATTR_REPLACE) {
    return tree_.RemoveXattr(node, xattr.name);
  }
  return tree_.SetXattr(node, xattr.name, xattr.value, xattr.flags);
}

}  // namespace virtio
