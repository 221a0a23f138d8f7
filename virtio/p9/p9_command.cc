#include "virtio/p9/p9_command.h"

#include <errno.h>

#include <span>

namespace virtio {
namespace {

// Takes a string of up to `max_bytes` off the chain and makes it the next name.
HostError PopString(Chain& chain, P9Command& command, size_t max_bytes) {
  base::Le16 size;
  if (!chain.Pop(size)) return EINVAL;
  if (size.value() > max_bytes) return ENAMETOOLONG;
  const uint16_t begin = command.name_ends[command.name_count];
  auto* bytes = reinterpret_cast<uint8_t*>(command.name_bytes.data()) + begin;
  if (!chain.PopReadable(std::span(bytes, size.value()))) return EINVAL;
  command.name_ends[++command.name_count] = static_cast<uint16_t>(begin + size.value());
  return 0;
}

HostError PopName(Chain& chain, P9Command& command) {
  return PopString(chain, command, kP9MaxNameBytes);
}

HostError PopNumber(Chain& chain, uint32_t& number) {
  base::Le32 value;
  if (!chain.Pop(value)) return EINVAL;
  number = value.value();
  return 0;
}

HostError PopFid(Chain& chain, P9Command& command) { return PopNumber(chain, command.fid); }

HostError PopTwoFids(Chain& chain, P9Command& command) {
  P9TwoFidsRequest request;
  if (!chain.Pop(request)) return EINVAL;
  command.fid = request.fid.value();
  command.new_fid = request.new_fid.value();
  return 0;
}

HostError PopFidAndName(Chain& chain, P9Command& command) {
  if (const HostError error = PopFid(chain, command); error != 0) return error;
  return PopName(chain, command);
}

HostError PopVersion(Chain& chain, P9Command& command) {
  P9VersionRequest request;
  if (!chain.Pop(request)) return EINVAL;
  command.max_message_bytes = request.max_message_bytes.value();
  const uint16_t size = request.dialect_size.value();
  if (size > chain.readable_bytes()) return EINVAL;
  std::array<char, kP9Dialect.size()> dialect;
  command.known_dialect =
      size == dialect.size() &&
      chain.PopReadable(std::span(reinterpret_cast<uint8_t*>(dialect.data()), size)) &&
      absl::string_view(dialect.data(), size) == kP9Dialect;
  return 0;
}

HostError PopAttach(Chain& chain, P9Command& command) {
  P9AttachRequest request;
  if (!chain.Pop(request)) return EINVAL;
  command.fid = request.fid.value();
  if (const HostError error = PopName(chain, command); error != 0) return error;
  command.name_count = 0;  // drop the user's name: the server uses the user's number
  if (const HostError error = PopName(chain, command); error != 0) return error;
  return PopNumber(chain, command.uid);
}

HostError PopWalk(Chain& chain, P9Command& command) {
  P9WalkRequest request;
  if (!chain.Pop(request)) return EINVAL;
  command.fid = request.fid.value();
  command.new_fid = request.new_fid.value();
  if (request.count.value() > kP9MaxWalkNames) return EINVAL;
  for (uint16_t i = 0; i < request.count.value(); ++i) {
    if (const HostError error = PopName(chain, command); error != 0) return error;
  }
  return 0;
}

HostError PopOpen(Chain& chain, P9Command& command) {
  P9OpenRequest request;
  if (!chain.Pop(request)) return EINVAL;
  command.fid = request.fid.value();
  command.flags = request.flags.value();
  return 0;
}

HostError PopRead(Chain& chain, P9Command& command) {
  P9ReadRequest request;
  if (!chain.Pop(request)) return EINVAL;
  command.fid = request.fid.value();
  command.offset = request.offset.value();
  command.count = request.count.value();
  return 0;
}

HostError PopWrite(Chain& chain, P9Command& command) {
  if (const HostError error = PopRead(chain, command); error != 0) return error;
  if (command.count != chain.readable_bytes()) return EINVAL;
  return 0;
}

HostError PopCreate(Chain& chain, P9Command& command) {
  if (const HostError error = PopFidAndName(chain, command); error != 0) return error;
  P9CreateArguments arguments;
  if (!chain.Pop(arguments)) return EINVAL;
  command.flags = arguments.flags.value();
  command.mode = arguments.mode.value();
  command.gid = arguments.gid.value();
  return 0;
}

HostError PopMkDir(Chain& chain, P9Command& command) {
  if (const HostError error = PopFidAndName(chain, command); error != 0) return error;
  P9MkDirArguments arguments;
  if (!chain.Pop(arguments)) return EINVAL;
  command.mode = arguments.mode.value();
  command.gid = arguments.gid.value();
  return 0;
}

HostError PopMkNod(Chain& chain, P9Command& command) {
  if (const HostError error = PopFidAndName(chain, command); error != 0) return error;
  P9MkNodArguments arguments;
  if (!chain.Pop(arguments)) return EINVAL;
  command.mode = arguments.mode.value();
  command.device_major = arguments.major.value();
  command.device_minor = arguments.minor.value();
  command.gid = arguments.gid.value();
  return 0;
}

HostError PopSymLink(Chain& chain, P9Command& command) {
  if (const HostError error = PopFidAndName(chain, command); error != 0) return error;
  if (const HostError error = PopString(chain, command, kP9MaxTargetBytes); error != 0)
    return error;
  return PopNumber(chain, command.gid);
}

// Parses RENAME, LINK and XATTRWALK.
HostError PopTwoFidsAndName(Chain& chain, P9Command& command) {
  if (const HostError error = PopTwoFids(chain, command); error != 0) return error;
  return PopName(chain, command);
}

HostError PopRenameAt(Chain& chain, P9Command& command) {
  if (const HostError error = PopFidAndName(chain, command); error != 0) return error;
  if (const HostError error = PopNumber(chain, command.new_fid); error != 0) return error;
  return PopName(chain, command);
}

HostError PopUnlinkAt(Chain& chain, P9Command& command) {
  if (const HostError error = PopFidAndName(chain, command); error != 0) return error;
  return PopNumber(chain, command.flags);
}

HostError PopXattrCreate(Chain& chain, P9Command& command) {
  if (const HostError error = PopFidAndName(chain, command); error != 0) return error;
  P9XattrCreateArguments arguments;
  if (!chain.Pop(arguments)) return EINVAL;
  command.size_bytes = arguments.size_bytes.value();
  command.flags = arguments.flags.value();
  return 0;
}

HostError PopSetAttributes(Chain& chain, P9Command& command) {
  if (!chain.Pop(command.attributes)) return EINVAL;
  command.fid = command.attributes.fid.value();
  return 0;
}

HostError PopLock(Chain& chain, P9Command& command) {
  P9LockRequest request;
  if (!chain.Pop(request)) return EINVAL;
  command.fid = request.fid.value();
  command.lock = {request.type, request.start, request.length, request.process};
  return PopName(chain, command);
}

HostError PopGetLock(Chain& chain, P9Command& command) {
  P9GetLockRequest request;
  if (!chain.Pop(request)) return EINVAL;
  command.fid = request.fid.value();
  command.lock = request.lock;
  return PopName(chain, command);
}

HostError PopFSync(Chain& chain, P9Command& command) {
  if (const HostError error = PopFid(chain, command); error != 0) return error;
  command.flags = 0;
  if (chain.readable_bytes() == 0) return 0;
  return PopNumber(chain, command.flags);
}

HostError PopFlush(Chain& chain, P9Command& command) {
  P9FlushRequest request;
  if (!chain.Pop(request)) return EINVAL;
  command.old_tag = request.old_tag.value();
  return 0;
}

HostError PopArguments(Chain& chain, P9Command& command) {
  switch (command.type) {
    case kP9Version:
      return PopVersion(chain, command);
    case kP9Attach:
      return PopAttach(chain, command);
    case kP9Walk:
      return PopWalk(chain, command);
    case kP9Open:
      return PopOpen(chain, command);
    case kP9Read:
    case kP9ReadDir:
      return PopRead(chain, command);
    case kP9Write:
      return PopWrite(chain, command);
    case kP9Create:
      return PopCreate(chain, command);
    case kP9MkDir:
      return PopMkDir(chain, command);
    case kP9MkNod:
      return PopMkNod(chain, command);
    case kP9SymLink:
      return PopSymLink(chain, command);
    case kP9Link:
    case kP9Rename:
    case kP9XattrWalk:
      return PopTwoFidsAndName(chain, command);
    case kP9RenameAt:
      return PopRenameAt(chain, command);
    case kP9UnlinkAt:
      return PopUnlinkAt(chain, command);
    case kP9XattrCreate:
      return PopXattrCreate(chain, command);
    case kP9SetAttr:
      return PopSetAttributes(chain, command);
    case kP9Lock:
      return PopLock(chain, command);
    case kP9GetLock:
      return PopGetLock(chain, command);
    case kP9Flush:
      return PopFlush(chain, command);
    case kP9FSync:
      return PopFSync(chain, command);
    case kP9Clunk:
    case kP9GetAttr:
    case kP9ReadLink:
    case kP9Remove:
    case kP9StatFs:
      return PopFid(chain, command);
    default:
      return 0;  // the answer does not depend on the arguments
  }
}

}  // namespace

void ParseP9Request(Chain& chain, P9Command& command) {
  const uint32_t bytes = chain.readable_bytes();
  P9Header header;
  command.has_header = chain.Pop(header);
  command.type = header.type;
  command.tag = header.tag.value();
  command.name_count = 0;
  const bool is_whole = command.has_header && header.size.value() == bytes;
  command.error = is_whole ? PopArguments(chain, command) : HostError(EINVAL);
}

}  // namespace virtio
