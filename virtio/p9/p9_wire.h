// What a virtio-9p device and its driver exchange: 9P2000.L. All numbers are little-endian, and
// nothing is aligned. A string is its size, a Le16, and its bytes, without a NUL.
// [9P2000.L: diod's protocol.md] [Linux: include/net/9p/9p.h, include/uapi/linux/virtio_9p.h]
#ifndef VIRTIO_P9_P9_WIRE_H_
#define VIRTIO_P9_P9_WIRE_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/endian.h"

namespace virtio {

// Types of requests. The type of an answer is one more than that of its request, or kP9Error.
enum P9Type : uint8_t {
  kP9Error = 7,
  kP9StatFs = 8,
  kP9Open = 12,
  kP9Create = 14,
  kP9SymLink = 16,
  kP9MkNod = 18,
  kP9Rename = 20,
  kP9ReadLink = 22,
  kP9GetAttr = 24,
  kP9SetAttr = 26,
  kP9XattrWalk = 30,
  kP9XattrCreate = 32,
  kP9ReadDir = 40,
  kP9FSync = 50,
  kP9Lock = 52,
  kP9GetLock = 54,
  kP9Link = 70,
  kP9MkDir = 72,
  kP9RenameAt = 74,
  kP9UnlinkAt = 76,
  kP9Version = 100,
  kP9Auth = 102,
  kP9Attach = 104,
  kP9Flush = 108,
  kP9Walk = 110,
  kP9Read = 116,
  kP9Write = 118,
  kP9Clunk = 120,
  kP9Remove = 122,
};

inline constexpr absl::string_view kP9Dialect = "9P2000.L";
inline constexpr absl::string_view kP9UnknownDialect = "unknown";
inline constexpr uint32_t kP9NoFid = 0xffffffff;
inline constexpr uint32_t kP9NoUser = 0xffffffff;
inline constexpr uint32_t kP9MaxWalkNames = 16;
// The largest message has 1 MiB of data behind the header of a read, as Linux counts it.
inline constexpr uint32_t kP9MaxMessageBytes = (1 << 20) + 24;
inline constexpr uint32_t kP9MinMessageBytes = 4096;  // Linux has the same bound

struct P9Header {
  base::Le32 size;  // of the whole message
  uint8_t type = 0;
  base::Le16 tag;
};
static_assert(sizeof(P9Header) == 7 && base::WireType<P9Header>);

struct P9ErrorReply {
  base::Le32 error;  // Linux's errno
};

struct P9StatFsReply {
  base::Le32 type;
  base::Le32 block_bytes;
  base::Le64 blocks;
  base::Le64 free_blocks;
  base::Le64 available_blocks;
  base::Le64 files;
  base::Le64 free_files;
  base::Le64 id;
  base::Le32 max_name_bytes;
};
static_assert(sizeof(P9StatFsReply) == 60 && base::WireType<P9StatFsReply>);

// Bits of the type of a qid.
inline constexpr uint8_t kP9QidDirectory = 0x80;
inline constexpr uint8_t kP9QidSymLink = 0x02;

// Identifies a file and its version. Linux caches no data of a file with version 0.
struct P9Qid {
  uint8_t type = 0;
  base::Le32 version;
  base::Le64 path;
};
static_assert(sizeof(P9Qid) == 13 && base::WireType<P9Qid>);

struct P9OpenRequest {
  base::Le32 fid;
  base::Le32 flags;  // Linux's O_*
};
struct P9OpenReply {
  P9Qid qid;
  base::Le32 io_bytes;  // 0: reads and writes may be as long as a message allows
};
static_assert(sizeof(P9OpenReply) == 17);

// RENAME: file and directory. LINK: directory and file. XATTRWALK: fid and new fid.
struct P9TwoFidsRequest {
  base::Le32 fid;
  base::Le32 new_fid;  // a name follows
};

// The arguments that follow a fid and a name.
struct P9CreateArguments {
  base::Le32 flags;  // Linux's O_*
  base::Le32 mode;   // the guest has applied its umask already
  base::Le32 gid;
};
struct P9MkDirArguments {
  base::Le32 mode;
  base::Le32 gid;
};
struct P9MkNodArguments {
  base::Le32 mode;  // with S_IFMT
  base::Le32 major;
  base::Le32 minor;
  base::Le32 gid;
};
struct P9XattrCreateArguments {
  base::Le64 size_bytes;  // of the value, which the guest then writes by the fid
  base::Le32 flags;       // XATTR_*
};
struct P9XattrWalkReply {
  base::Le64 size_bytes;  // how much can be read by the new fid
};

struct P9Time {
  base::Le64 seconds;
  base::Le64 nanoseconds;
};
inline constexpr uint64_t kP9BasicAttributes = 0x7ff;  // all up to `blocks`
inline constexpr uint64_t kP9Generation = 0x1000;
struct P9AttributesReply {
  base::Le64 valid;
  P9Qid qid;
  base::Le32 mode;
  base::Le32 uid;
  base::Le32 gid;
  base::Le64 links;
  base::Le64 device;
  base::Le64 size_bytes;
  base::Le64 block_bytes;
  base::Le64 blocks;  // of 512 bytes
  P9Time accessed, modified, changed, born;
  base::Le64 generation;
  base::Le64 data_version;
};
static_assert(sizeof(P9AttributesReply) == 153 && base::WireType<P9AttributesReply>);

// Bits of `valid` of a SETATTR.
inline constexpr uint32_t kP9SetMode = 1 << 0;
inline constexpr uint32_t kP9SetUid = 1 << 1;
inline constexpr uint32_t kP9SetGid = 1 << 2;
inline constexpr uint32_t kP9SetSize = 1 << 3;
inline constexpr uint32_t kP9SetAccessed = 1 << 4;  // to now, or with kP9SetAccessedTo
inline constexpr uint32_t kP9SetModified = 1 << 5;
inline constexpr uint32_t kP9SetChanged = 1 << 6;
inline constexpr uint32_t kP9SetAccessedTo = 1 << 7;  // to the given time
inline constexpr uint32_t kP9SetModifiedTo = 1 << 8;
struct P9SetAttrRequest {
  base::Le32 fid;
  base::Le32 valid;
  base::Le32 mode;
  base::Le32 uid;
  base::Le32 gid;
  base::Le64 size_bytes;
  P9Time accessed, modified;
};
static_assert(sizeof(P9SetAttrRequest) == 60 && base::WireType<P9SetAttrRequest>);

enum P9LockType : uint8_t { kP9ReadLock = 0, kP9WriteLock = 1, kP9Unlock = 2 };
enum P9LockStatus : uint8_t { kP9LockSuccess = 0, kP9LockBlocked = 1, kP9LockError = 2 };
struct P9Lock {
  uint8_t type = 0;
  base::Le64 start;
  base::Le64 length;  // 0: to the end of the file
  base::Le32 process;
};
struct P9LockRequest {
  base::Le32 fid;
  uint8_t type = 0;
  base::Le32 flags;
  base::Le64 start;
  base::Le64 length;
  base::Le32 process;  // the guest's name follows
};
static_assert(sizeof(P9LockRequest) == 29 && base::WireType<P9LockRequest>);
struct P9LockReply {
  uint8_t status = 0;
};
struct P9GetLockRequest {
  base::Le32 fid;
  P9Lock lock;  // the guest's name follows, also in the answer
};
static_assert(sizeof(P9GetLockRequest) == 25 && base::WireType<P9GetLockRequest>);

struct P9VersionRequest {
  base::Le32 max_message_bytes;
  base::Le16 dialect_size;  // the bytes follow
};
struct P9AttachRequest {
  base::Le32 fid;
  base::Le32 authentication_fid;
  // The user's name, the name of the tree, the user's id follow.
};
struct P9FlushRequest {
  base::Le16 old_tag;
};
struct P9WalkRequest {
  base::Le32 fid;
  base::Le32 new_fid;
  base::Le16 count;  // names follow
};

struct P9ReadRequest {  // READ, READDIR, and WRITE, whose data follow
  base::Le32 fid;
  base::Le64 offset;
  base::Le32 count;
};
static_assert(sizeof(P9ReadRequest) == 16);
struct P9ReadReply {
  base::Le32 count;  // bytes follow
};
struct P9WriteReply {
  base::Le32 count;
};
struct P9DirectoryEntry {
  P9Qid qid;
  base::Le64 next_offset;
  uint8_t type = 0;      // DT_*
  base::Le16 name_size;  // the bytes follow
};
static_assert(sizeof(P9DirectoryEntry) == 24 && base::WireType<P9DirectoryEntry>);

inline constexpr uint64_t kP9FeatureMountTag = uint64_t{1} << 0;  // VIRTIO_9P_MOUNT_TAG
inline constexpr size_t kP9MaxTagBytes = 255;

// The configuration space, up to the end of the tag.
struct P9ConfigSpace {
  base::Le16 tag_size;
  char tag[kP9MaxTagBytes] = {};
};
static_assert(base::WireType<P9ConfigSpace>);

}  // namespace virtio

#endif  // VIRTIO_P9_P9_WIRE_H_
