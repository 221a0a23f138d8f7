#include "virtio/fs/fs_command.h"

#include <errno.h>

#include <algorithm>
#include <span>

namespace virtio {
namespace {

// SETXATTR has two forms. The shorter one is in use, since SETXATTR_EXT is not negotiated.
struct SetXattrStart {
  uint32_t size = 0;
  uint32_t flags = 0;
};
static_assert(sizeof(SetXattrStart) == FUSE_COMPAT_SETXATTR_IN_SIZE);

template <base::WireType T>
HostError Pop(Chain& chain, T& value) {
  if (!chain.Pop(value)) return EINVAL;
  return 0;
}

// Takes the rest of the chain as text of at most `max_bytes` bytes.
HostError PopText(Chain& chain, FsCommand& command, size_t max_bytes) {
  const uint32_t size = chain.readable_bytes();
  if (size > max_bytes) return ENAMETOOLONG;
  if (size == 0) return EINVAL;
  command.text.resize(size);
  const auto bytes = std::span(reinterpret_cast<uint8_t*>(command.text.data()), size);
  if (!chain.PopReadable(bytes)) return EINVAL;
  return 0;
}

// Divides the text into a name, which ends with a NUL, and the rest.
HostError SplitText(FsCommand& command) {
  const size_t end = command.text.find('\0');
  if (end == std::string::npos) {
    if (command.text.size() > kMaxFsNameBytes) return ENAMETOOLONG;
    return EINVAL;
  }
  if (end > kMaxFsNameBytes) return ENAMETOOLONG;
  command.name_size = end;
  command.second_at = end + 1;
  command.second_size = command.text.size() - command.second_at;
  return 0;
}

// Takes the rest of the chain, which must be a name and one NUL.
HostError PopName(Chain& chain, FsCommand& command) {
  if (const HostError error = PopText(chain, command, kMaxFsNameBytes + 1); error != 0)
    return error;
  if (const HostError error = SplitText(command); error != 0) return error;
  if (command.second_size != 0) return EINVAL;
  return 0;
}

// Takes the rest of the chain, which must be a name and another text, each with one NUL.
HostError PopTwoNames(Chain& chain, FsCommand& command, size_t max_second_bytes) {
  const size_t max_bytes = kMaxFsNameBytes + max_second_bytes + 2;
  if (const HostError error = PopText(chain, command, max_bytes); error != 0) return error;
  if (const HostError error = SplitText(command); error != 0) return error;
  const size_t end = command.second().find('\0');
  if (end == absl::string_view::npos || end + 1 != command.second_size) return EINVAL;
  command.second_size = end;
  if (end > max_second_bytes) return ENAMETOOLONG;
  return 0;
}

template <base::WireType T>
HostError PopWithName(Chain& chain, T& value, FsCommand& command) {
  const HostError error = Pop(chain, value);
  return error != 0 ? error : PopName(chain, command);
}

HostError PopRename(Chain& chain, FsCommand& command) {
  HostError error;
  if (command.opcode == FUSE_RENAME) {
    fuse_rename_in old_form;
    error = Pop(chain, old_form);
    command.rename = {};
    command.rename.newdir = old_form.newdir;
  } else {
    error = Pop(chain, command.rename);
  }
  return error != 0 ? error : PopTwoNames(chain, command, kMaxFsNameBytes);
}

HostError PopSetXattr(Chain& chain, FsCommand& command) {
  SetXattrStart start;
  if (const HostError error = Pop(chain, start); error != 0) return error;
  command.xattr_flags = start.flags;
  const HostError error = PopText(chain, command, kMaxFsNameBytes + 1 + kMaxFsXattrBytes);
  if (error == ENAMETOOLONG) return E2BIG;
  if (error != 0) return error;
  if (const HostError split = SplitText(command); split != 0) return split;
  if (command.second_size != start.size) return EINVAL;
  return 0;
}

HostError PopInit(Chain& chain, FsCommand& command) {
  command.init_flags2 = 0;
  if (const HostError error = Pop(chain, command.init); error != 0) return error;
  // The second word stays 0 if the guest does not send it.
  if ((command.init.flags & FUSE_INIT_EXT) != 0) Pop(chain, command.init_flags2).Ignore();
  return 0;
}

HostError PopRemoveMapping(Chain& chain, FsCommand& command) {
  fuse_removemapping_in remove;
  const HostError error = Pop(chain, remove);
  command.remove_count = remove.count;
  if (error == 0 && remove.count > kMaxRemoveMappings) return EINVAL;
  return error;
}

HostError PopForget(Chain& chain, FsCommand& command) {
  fuse_forget_in forget;
  const HostError error = Pop(chain, forget);
  command.forget_count = forget.nlookup;
  return error;
}

HostError PopBatchForget(Chain& chain, FsCommand& command) {
  fuse_batch_forget_in batch;
  const HostError error = Pop(chain, batch);
  command.forget_count = std::min(batch.count, kMaxForgets);
  return error;
}

HostError PopWrite(Chain& chain, FsCommand& command) {
  if (const HostError error = Pop(chain, command.write); error != 0) return error;
  if (command.write.size != chain.readable_bytes()) return EINVAL;
  return 0;
}

HostError PopArguments(Chain& chain, FsCommand& command) {
  switch (command.opcode) {
    case FUSE_INIT:
      return PopInit(chain, command);
    case FUSE_LOOKUP:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_REMOVEXATTR:
      return PopName(chain, command);
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return Pop(chain, command.read);
    case FUSE_WRITE:
      return PopWrite(chain, command);
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      return Pop(chain, command.open);
    case FUSE_CREATE:
      return PopWithName(chain, command.create, command);
    case FUSE_MKNOD:
      return PopWithName(chain, command.mknod, command);
    case FUSE_MKDIR:
      return PopWithName(chain, command.mkdir, command);
    case FUSE_LINK:
      return PopWithName(chain, command.link, command);
    case FUSE_GETXATTR:
      return PopWithName(chain, command.getxattr, command);
    case FUSE_LISTXATTR:
      return Pop(chain, command.getxattr);
    case FUSE_SETXATTR:
      return PopSetXattr(chain, command);
    case FUSE_SYMLINK:
      return PopTwoNames(chain, command, kMaxFsTargetBytes);
    case FUSE_RENAME:
    case FUSE_RENAME2:
      return PopRename(chain, command);
    case FUSE_SETATTR:
      return Pop(chain, command.setattr);
    case FUSE_RELEASE:
      return Pop(chain, command.release);
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
      return Pop(chain, command.fsync);
    case FUSE_FALLOCATE:
      return Pop(chain, command.fallocate);
    case FUSE_LSEEK:
      return Pop(chain, command.lseek);
    case FUSE_COPY_FILE_RANGE:
      return Pop(chain, command.copy);
    case FUSE_SETUPMAPPING:
      return Pop(chain, command.setup_mapping);
    case FUSE_REMOVEMAPPING:
      return PopRemoveMapping(chain, command);
    case FUSE_FORGET:
      return PopForget(chain, command);
    case FUSE_BATCH_FORGET:
      return PopBatchForget(chain, command);
    default:
      return 0;  // the answer does not depend on the arguments
  }
}

}  // namespace

void ParseFsRequest(Chain& chain, FsCommand& command) {
  const uint32_t bytes = chain.readable_bytes();
  fuse_in_header header = {};
  command.name_size = command.second_at = command.second_size = 0;
  command.forget_count = 0;
  const bool has_header = Pop(chain, header) == 0;
  command.opcode = header.opcode;
  command.unique = header.unique;
  command.node = header.nodeid;
  command.uid = header.uid;
  command.gid = header.gid;
  command.replies = header.opcode != FUSE_FORGET && header.opcode != FUSE_BATCH_FORGET &&
                    header.opcode != FUSE_INTERRUPT;
  const bool is_whole = has_header && header.len == bytes;
  command.error = is_whole ? PopArguments(chain, command) : HostError(EINVAL);
}

}  // namespace virtio
