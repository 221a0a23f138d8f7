#include "virtio/p9/p9_request.h"

#include <errno.h>

#include <span>

namespace virtio {
namespace {

template <base::WireType T>
bool Pop(Chain& chain, T& value) {
  return chain.PopReadable(std::span(reinterpret_cast<uint8_t*>(&value), sizeof(T)));
}

// Takes a string off the chain and makes it the next name.
int PopName(Chain& chain, P9Command& command) {
  base::Le16 size;
  if (!Pop(chain, size)) return EINVAL;
  if (size.value() > kP9MaxNameBytes) return ENAMETOOLONG;
  const uint16_t begin = command.name_ends[command.name_count];
  auto* bytes = reinterpret_cast<uint8_t*>(command.name_bytes.data()) + begin;
  if (!chain.PopReadable(std::span(bytes, size.value()))) return EINVAL;
  command.name_ends[++command.name_count] = static_cast<uint16_t>(begin + size.value());
  return 0;
}

int PopVersion(Chain& chain, P9Command& command) {
  P9VersionRequest request;
  if (!Pop(chain, request)) return EINVAL;
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

int PopAttach(Chain& chain, P9Command& command) {
  P9AttachRequest request;
  if (!Pop(chain, request)) return EINVAL;
  command.fid = request.fid.value();
  if (const int error = PopName(chain, command); error != 0) return error;
  command.name_count = 0;  // who the user is means nothing: the guest's kernel decides
  return PopName(chain, command);
}

int PopWalk(Chain& chain, P9Command& command) {
  P9WalkRequest request;
  if (!Pop(chain, request)) return EINVAL;
  command.fid = request.fid.value();
  command.new_fid = request.new_fid.value();
  if (request.count.value() > kP9MaxWalkNames) return EINVAL;
  for (uint16_t i = 0; i < request.count.value(); ++i) {
    if (const int error = PopName(chain, command); error != 0) return error;
  }
  return 0;
}

int PopOpen(Chain& chain, P9Command& command) {
  P9OpenRequest request;
  if (!Pop(chain, request)) return EINVAL;
  command.fid = request.fid.value();
  command.flags = request.flags.value();
  return 0;
}

int PopRead(Chain& chain, P9Command& command) {
  P9ReadRequest request;
  if (!Pop(chain, request)) return EINVAL;
  command.fid = request.fid.value();
  command.offset = request.offset.value();
  command.count = request.count.value();
  return 0;
}

int PopArguments(Chain& chain, P9Command& command) {
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
    case kP9Clunk:
    case kP9FSync:
    case kP9GetAttr:
    case kP9ReadLink:
    case kP9Remove:
    case kP9StatFs:
    case kP9XattrWalk: {
      P9FidRequest request;
      if (!Pop(chain, request)) return EINVAL;
      command.fid = request.fid.value();
      return 0;
    }
    case kP9Flush: {
      P9FlushRequest request;
      if (!Pop(chain, request)) return EINVAL;
      command.old_tag = request.old_tag.value();
      return 0;
    }
    default:
      return 0;  // the arguments change nothing about the answer
  }
}

}  // namespace

void ParseP9Request(Chain& chain, P9Command& command) {
  const uint32_t bytes = chain.readable_bytes();
  P9Header header;
  command.has_header = Pop(chain, header);
  command.type = header.type;
  command.tag = header.tag.value();
  command.name_count = 0;
  command.error =
      command.has_header && header.size.value() == bytes ? PopArguments(chain, command) : EINVAL;
}

}  // namespace virtio
