// A file system device on a temporary tree, and its driver, which speaks FUSE.
#ifndef VIRTIO_FS_TESTING_FS_FIXTURES_H_
#define VIRTIO_FS_TESTING_FS_FIXTURES_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "virtio/fs/fs_device.h"
#include "virtio/fs/fs_wire.h"
#include "virtio/host_tree/testing/temporary_tree_fixtures.h"
#include "virtio/share/testing/share_fixtures.h"

namespace virtio {

template <base::WireType T>
Bytes BytesOf(const T& value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  return Bytes(bytes, bytes + sizeof(T));
}

// Returns the bytes of one or more names, each with a NUL.
inline Bytes NameBytes(std::initializer_list<absl::string_view> names) {
  Bytes bytes;
  for (const absl::string_view name : names) {
    bytes.insert(bytes.end(), name.begin(), name.end());
    bytes.push_back(0);
  }
  return bytes;
}

inline Bytes Join(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A request that changes something.
struct FsChange {
  uint32_t opcode;
  uint64_t node;
  Bytes arguments;
};

// Returns one change of each kind. `directory` must have the file "a" and the directory "empty".
inline std::vector<FsChange> AllChanges(uint64_t directory, uint64_t file, uint64_t handle = 0) {
  fuse_setattr_in setattr = {};
  setattr.valid = FATTR_MODE;
  setattr.mode = 0600;
  fuse_write_in write = {};
  write.fh = handle;
  write.size = 4;
  fuse_fallocate_in allocate = {};
  allocate.fh = handle;
  allocate.length = 10;
  fuse_copy_file_range_in copy = {};
  copy.fh_in = copy.fh_out = handle;
  copy.nodeid_out = file;
  copy.off_out = 100;
  copy.len = 4;
  const auto with_name = [](const auto& arguments, std::initializer_list<absl::string_view> names) {
    return Join(BytesOf(arguments), NameBytes(names));
  };
  return {
      {FUSE_CREATE, directory,
       with_name(
           fuse_create_in{.flags = O_RDWR, .mode = S_IFREG | 0644, .umask = 0, .open_flags = 0},
           {"created"})},
      {FUSE_MKNOD, directory, with_name(fuse_mknod_in{S_IFIFO | 0600, 0, 0, 0}, {"pipe"})},
      {FUSE_MKDIR, directory, with_name(fuse_mkdir_in{0755, 0}, {"below"})},
      {FUSE_SYMLINK, directory, NameBytes({"symlink", "target"})},
      {FUSE_LINK, directory, with_name(fuse_link_in{file}, {"hard"})},
      {FUSE_SETXATTR, file, Join(Join(Bytes{1, 0, 0, 0, 0, 0, 0, 0}, NameBytes({"user.a"})), {7})},
      {FUSE_REMOVEXATTR, file, NameBytes({"user.a"})},
      {FUSE_SETATTR, file, BytesOf(setattr)},
      {FUSE_WRITE, file, Join(BytesOf(write), Bytes(4))},
      {FUSE_FALLOCATE, file, BytesOf(allocate)},
      {FUSE_COPY_FILE_RANGE, file, BytesOf(copy)},
      {FUSE_RENAME, directory, with_name(fuse_rename_in{directory}, {"a", "b"})},
      {FUSE_RENAME2, directory, with_name(fuse_rename2_in{directory, 1, 0}, {"b", "a"})},
      {FUSE_UNLINK, directory, NameBytes({"a"})},
      {FUSE_RMDIR, directory, NameBytes({"empty"})},
  };
}

// Returns options with which nothing is synced and no thread is used.
inline FileSystemSync::Options SyncsAtOnce() {
  return {.sync = [](int) { return HostError(); },
          .sync_all = [] {},
          .run =
              [](FileSystemSync::Job job) {
                job();
                return absl::OkStatus();
              }};
}

class FsHarness : public ShareHarness<FsDevice> {
 public:
  static constexpr uint16_t kHighPriority = 0;
  static constexpr uint16_t kRequests = 1;
  struct Options {
    DeviceHarness::Options harness = {.loop = {}, .queue_size = 64};
    FsCache cache = FsCache::kAlways;
    std::optional<std::string> closure = {};  // its text
    bool writable = false;
    bool submounts = false;
    std::optional<uint64_t> root_magic = {};  // as in HostTree::Options
    uint32_t max_open_files = 16;
    uint64_t dax_window_bytes = 0;
    uint16_t num_queues = 1;
    std::string tag = "store";
    bool initialize = true;
    FileSystemSync::Options sync = SyncsAtOnce();
    FsServer::Clock real_time = FsServer::RealTime;
  };
  struct Listed {
    std::string name;
    uint64_t inode;
    fuse_entry_out entry;  // of READDIRPLUS
  };

  // `fill(TemporaryTree)` makes what is shared, below "root".
  template <typename Fill>
  FsHarness(const Options& options, const Fill& fill)
      : ShareHarness(options.harness,
                     {.closure = options.closure,
                      .writable = options.writable,
                      .submounts = options.submounts,
                      .uids = MapToOwn(geteuid(), {0, 1000}),
                      .gids = MapToOwn(getegid(), {0, 100}),
                      .root_magic = options.root_magic},
                     fill),
        initialize_(options.initialize) {
    CreateDevice({.id = "_fs0",
                  .tag = options.tag,
                  .cache = options.cache,
                  .num_queues = options.num_queues,
                  .queue_size = options.harness.queue_size,
                  .max_open_files = options.max_open_files,
                  .dax_window_bytes = options.dax_window_bytes,
                  .sync = options.sync,
                  .real_time = options.real_time});
    Start();
  }

  void Start() {
    StartDevice();
    if (initialize_) {
      EXPECT_EQ(Init().error, 0);
    }
  }

  FakeDriver& driver(uint16_t queue = kRequests) { return harness().driver(queue); }

  Bytes Header(uint32_t opcode, uint64_t node, size_t argument_bytes) {
    fuse_in_header header = {};
    header.len = static_cast<uint32_t>(sizeof(header) + argument_bytes);
    header.opcode = opcode;
    header.unique = ++unique_;
    header.nodeid = node;
    header.uid = uid_;
    header.gid = gid_;
    return BytesOf(header);
  }
  Bytes Request(uint32_t opcode, uint64_t node, const Bytes& arguments = {}) {
    return Join(Header(opcode, node, arguments.size()), arguments);
  }

  // Sends a request whose answer may have `room` bytes behind the header. Checks the header of the
  // answer.
  Result Do(uint32_t opcode, uint64_t node, const Bytes& arguments = {}, uint32_t room = 4096) {
    return DoOn(kRequests, opcode, node, arguments, room);
  }
  Result DoOn(uint16_t queue, uint32_t opcode, uint64_t node, const Bytes& arguments = {},
              uint32_t room = 4096) {
    const Bytes request = Request(opcode, node, arguments);
    driver(queue).EnableInterrupts();
    auto builder = driver(queue).Chain();
    builder.Readable(request).Writable(sizeof(fuse_out_header));
    if (room > 0) builder.Writable(room);
    const uint16_t head = builder.Offer();
    harness().Publish(queue);
    return Take(head, queue);
  }
  Result Take(uint16_t head, uint16_t queue = kRequests) {
    fuse_out_header header = {};
    const auto data = TakeAnswer(queue, head, header);
    if (!data.has_value()) return {-1, {}};
    EXPECT_EQ(header.len, sizeof(header) + data->size());
    EXPECT_EQ(header.unique, unique_);
    EXPECT_LE(header.error, 0);
    if (header.error != 0) {
      EXPECT_TRUE(data->empty());
    }
    return {.error = -header.error, .data = *data};
  }
  // Sends a request that has no answer.
  void Send(uint16_t queue, const Bytes& request) {
    driver(queue).EnableInterrupts();
    const uint16_t head = driver(queue).Chain().Readable(request).Offer();
    harness().Publish(queue);
    const auto used = driver(queue).PopUsed();
    ASSERT_TRUE(used.has_value());
    EXPECT_EQ(used->id, head);
    EXPECT_EQ(used->len, 0U);
  }

  Result Init(uint32_t major = FUSE_KERNEL_VERSION, uint32_t minor = 38,
              uint32_t flags = 0xffffffff) {
    return Do(FUSE_INIT, 0, BytesOf(FuseInitStart{major, minor, 1 << 20, flags}));
  }
  Result Lookup(uint64_t directory, absl::string_view name) {
    Bytes bytes(name.begin(), name.end());
    bytes.push_back(0);
    return Do(FUSE_LOOKUP, directory, bytes);
  }
  uint64_t Find(uint64_t directory, absl::string_view name) {
    const Result result = Lookup(directory, name);
    EXPECT_EQ(result.error, 0) << name;
    return result.error == 0 ? result.As<fuse_entry_out>().nodeid : 0;
  }
  // Sets the user and the group that later requests come from.
  void SetCaller(uint32_t uid, uint32_t gid) {
    uid_ = uid;
    gid_ = gid;
  }
  static Bytes ReadArguments(uint64_t offset, uint32_t size, uint64_t handle = 0) {
    fuse_read_in read = {};
    read.fh = handle;
    read.offset = offset;
    read.size = size;
    return BytesOf(read);
  }
  Result Read(uint64_t node, uint64_t offset, uint32_t size, uint64_t handle = 0) {
    return Do(FUSE_READ, node, ReadArguments(offset, size, handle), size);
  }
  std::vector<Listed> List(uint64_t node, uint32_t opcode, uint32_t size = 512) {
    std::vector<Listed> all;
    uint64_t offset = 0;
    while (true) {
      const Result result = Do(opcode, node, ReadArguments(offset, size), size);
      EXPECT_EQ(result.error, 0);
      if (result.error != 0 || result.data.empty()) return all;
      EXPECT_LE(result.data.size(), size);
      for (size_t at = 0; at < result.data.size();) {
        Listed listed = {};
        if (opcode == FUSE_READDIRPLUS) {
          std::memcpy(&listed.entry, &result.data[at], sizeof(listed.entry));
          at += sizeof(listed.entry);
        }
        fuse_dirent dirent;
        std::memcpy(&dirent, &result.data[at], FUSE_NAME_OFFSET);
        listed.inode = dirent.ino;
        listed.name.assign(reinterpret_cast<const char*>(&result.data[at + FUSE_NAME_OFFSET]),
                           dirent.namelen);
        at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + dirent.namelen);
        offset = dirent.off;
        all.push_back(std::move(listed));
      }
    }
  }
  void Forget(uint64_t node, uint64_t count) {
    Send(kHighPriority, Request(FUSE_FORGET, node, BytesOf(fuse_forget_in{count})));
  }

 private:
  const bool initialize_;
  uint64_t unique_ = 100;
  uint32_t uid_ = 0;
  uint32_t gid_ = 0;
};

inline FsHarness::Options StoreOptions() { return {.closure = std::string(kStoreClosure)}; }

}  // namespace virtio

#endif  // VIRTIO_FS_TESTING_FS_FIXTURES_H_
