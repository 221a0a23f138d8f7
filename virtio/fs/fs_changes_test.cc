// Changes in writable shares.

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "virtio/fs/testing/fs_fixtures.h"

namespace virtio {
namespace {

using Kind = base::FakeEventLoop::Kind;

class FsChanges : public testing::Test {
 protected:
  explicit FsChanges(FsCache cache = FsCache::kAuto, int short_transfer_percent = 0)
      : fs({.harness = {.loop = {.seed = short_transfer_percent == 0 ? 0u : 7u,
                                 .short_transfer_percent = short_transfer_percent,
                                 .short_transfer_unit_bytes = 1},
                        .queue_size = 64},
            .cache = cache,
            .writable = true},
           [](const TemporaryTree& host) {
             host.Write("root/dir/a", "content of a");
             host.Directory("root/dir/empty");
             host.Write("root/file", "content");
             host.Write("outside", "secret");
           }) {}

  struct Opened {
    uint64_t node = 0;
    uint64_t handle = 0;
    int error = 0;
  };
  Opened Create(uint64_t directory, absl::string_view name, uint32_t flags = O_RDWR,
                uint32_t mode = 0644, uint32_t umask = 0, uint32_t open_flags = 0) {
    const fuse_create_in in = {flags, S_IFREG | mode, umask, open_flags};
    const auto result = fs.Do(FUSE_CREATE, directory, Join(BytesOf(in), NameBytes({name})));
    if (result.error != 0) return {.error = result.error};
    fuse_open_out open = {};
    EXPECT_EQ(result.data.size(), sizeof(fuse_entry_out) + sizeof(open));
    std::memcpy(&open, result.data.data() + sizeof(fuse_entry_out), sizeof(open));
    return {.node = result.As<fuse_entry_out>().nodeid, .handle = open.fh};
  }
  Opened Open(uint64_t node, uint32_t flags = O_RDWR, uint32_t open_flags = 0) {
    const auto result = fs.Do(FUSE_OPEN, node, BytesOf(fuse_open_in{flags, open_flags}));
    if (result.error != 0) return {.error = result.error};
    return {.node = node, .handle = result.As<fuse_open_out>().fh};
  }
  static Bytes WriteArguments(uint64_t handle, uint64_t offset, const std::string& data,
                              uint32_t flags = 0, uint32_t write_flags = 0) {
    fuse_write_in in = {};
    in.fh = handle;
    in.offset = offset;
    in.size = static_cast<uint32_t>(data.size());
    in.flags = flags;
    in.write_flags = write_flags;
    return Join(BytesOf(in), Bytes(data.begin(), data.end()));
  }
  // Returns how many bytes were written, or -errno.
  int64_t Write(const Opened& file, uint64_t offset, const std::string& data, uint32_t flags = 0,
                uint32_t write_flags = 0) {
    const auto result =
        fs.Do(FUSE_WRITE, file.node, WriteArguments(file.handle, offset, data, flags, write_flags));
    return result.error != 0 ? -result.error : int64_t{result.As<fuse_write_out>().size};
  }
  int Release(const Opened& file) {
    fuse_release_in in = {};
    in.fh = file.handle;
    return fs.Do(FUSE_RELEASE, file.node, BytesOf(in)).error;
  }
  int Flush(const Opened& file, uint32_t flags = 0, uint32_t opcode = FUSE_FSYNC) {
    return fs.Do(opcode, file.node, BytesOf(fuse_fsync_in{file.handle, flags, 0})).error;
  }
  FsHarness::Result Set(uint64_t node, const fuse_setattr_in& in) {
    return fs.Do(FUSE_SETATTR, node, BytesOf(in));
  }
  int Remove(uint64_t directory, absl::string_view name, uint32_t opcode = FUSE_UNLINK) {
    return fs.Do(opcode, directory, NameBytes({name})).error;
  }
  std::string OnHost(absl::string_view name) {
    std::ifstream file(fs.HostPath(name));
    std::stringstream all;
    all << file.rdbuf();
    return file ? all.str() : "none";
  }
  struct stat HostStatus(absl::string_view name) {
    return fs.HostStatus(name);
  }

  FsHarness fs;
};

TEST_F(FsChanges, InitOffersWhatAWritableShareNeeds) {
  const uint32_t flags = fs.Init().As<fuse_init_out>().flags;
  for (const uint32_t flag : {FUSE_ATOMIC_O_TRUNC, FUSE_DONT_MASK, FUSE_HANDLE_KILLPRIV_V2,
                              FUSE_BIG_WRITES, FUSE_MAX_PAGES, FUSE_AUTO_INVAL_DATA}) {
    EXPECT_NE(flags & flag, 0U) << flag;
  }
  for (const uint32_t flag :
       {FUSE_WRITEBACK_CACHE, FUSE_POSIX_LOCKS, FUSE_FLOCK_LOCKS, FUSE_POSIX_ACL}) {
    EXPECT_EQ(flags & flag, 0U) << flag;
  }
  EXPECT_EQ(fs.Init().As<fuse_init_out>().max_write, 1U << 20);
}

TEST_F(FsChanges, EveryChangeIsMade) {
  const uint64_t directory = fs.Find(1, "dir");
  const uint64_t node = fs.Find(directory, "a");
  const Opened file = Open(node);
  for (const auto& [opcode, target, arguments] : AllChanges(directory, node, file.handle)) {
    EXPECT_EQ(fs.Do(opcode, target, arguments).error, 0) << opcode;
  }
  EXPECT_EQ(HostStatus("dir/pipe").st_mode, S_IFIFO | 0600U);
  EXPECT_EQ(HostStatus("dir/below").st_mode, S_IFDIR | 0755U);
  EXPECT_EQ(HostStatus("dir/created").st_mode, S_IFREG | 0644U);
  EXPECT_EQ(OnHost("dir/a"), "none");
  EXPECT_EQ(OnHost("dir/hard").size(), 104U);
}

TEST_F(FsChanges, ChangesWithoutRoomForTheAnswerAreNotMade) {
  const uint64_t directory = fs.Find(1, "dir");
  const uint64_t node = fs.Find(directory, "a");
  const Opened file = Open(node);
  for (const auto& [opcode, target, arguments] : AllChanges(directory, node, file.handle)) {
    if (opcode == FUSE_SETXATTR) break;  // only the changes before it answer with an entry
    EXPECT_EQ(fs.Do(opcode, target, arguments, 100).error, EINVAL) << opcode;
  }
  EXPECT_EQ(fs.Do(FUSE_WRITE, node, WriteArguments(file.handle, 0, "x"), 4).error, EINVAL);
  EXPECT_EQ(OnHost("dir/a"), "content of a");
  EXPECT_EQ(OnHost("dir/created"), "none");
  EXPECT_EQ(fs.counter("nodes"), 3U);
}

TEST_F(FsChanges, CreateAppliesModeUmaskAndOwner) {
  fs.SetCaller(1000, 100);
  const Opened file = Create(1, "new", O_RDWR | O_EXCL, 04777, 022);
  EXPECT_EQ(HostStatus("new").st_mode, S_IFREG | 04755U);
  if (geteuid() == 0) {
    EXPECT_EQ(HostStatus("new").st_uid, 1000U);
    EXPECT_EQ(HostStatus("new").st_gid, 100U);
  }
  EXPECT_EQ(Create(1, "new", O_RDWR | O_EXCL).error, EEXIST);
  EXPECT_EQ(Write(file, 0, "data"), 4);
  EXPECT_EQ(fs.Read(file.node, 0, 100, file.handle).Text(), "data");
  EXPECT_EQ(OnHost("new"), "data");
}

TEST_F(FsChanges, ReadsAndWritesByHandle) {
  const uint64_t node = fs.Find(1, "file");
  const Opened reader = Open(node, O_RDONLY);
  const Opened writer = Open(node, O_WRONLY);
  EXPECT_NE(reader.handle, writer.handle);
  EXPECT_EQ(Write(writer, 3, "TENT, and more"), 14);
  EXPECT_EQ(Write(writer, 3, ""), 0);
  EXPECT_EQ(fs.Read(node, 0, 100, reader.handle).Text(), "conTENT, and more");
  EXPECT_EQ(fs.counter("written_bytes"), 14U);
  EXPECT_EQ(Write(reader, 0, "x"), -EBADF);
  EXPECT_EQ(fs.Read(node, 0, 100, writer.handle).error, EBADF);
  // A handle belongs to one node. Numbers that are no handles are refused.
  const uint64_t other = fs.Find(1, "dir");
  EXPECT_EQ(fs.Read(other, 0, 100, reader.handle).error, EBADF);
  for (const uint64_t handle : {uint64_t{0}, writer.handle + 1, UINT64_MAX}) {
    EXPECT_EQ(fs.Read(node, 0, 100, handle).error, EBADF);
    EXPECT_EQ(Write({node, handle}, 0, "x"), -EBADF);
    EXPECT_EQ(Release({node, handle}), 0);
  }
  EXPECT_EQ(Release(writer), 0);
  EXPECT_EQ(Write(writer, 0, "x"), -EBADF);
  EXPECT_EQ(fs.Read(node, 0, 3, reader.handle).Text(), "con");
  EXPECT_EQ(fs.counter("open_files"), 1U);
}

TEST_F(FsChanges, WritesWithAWrongSizeOrOffsetAreRefused) {
  const Opened file = Open(fs.Find(1, "file"));
  Bytes wrong = WriteArguments(file.handle, 0, "data");
  wrong.push_back(0);
  EXPECT_EQ(fs.Do(FUSE_WRITE, file.node, wrong).error,
            EINVAL);  // one byte more than the request says
  wrong.resize(wrong.size() - 2);
  EXPECT_EQ(fs.Do(FUSE_WRITE, file.node, wrong).error, EINVAL);
  EXPECT_EQ(Write(file, UINT64_MAX, "x"), -EFBIG);
  EXPECT_EQ(Write(file, INT64_MAX, "x"), -EFBIG);
  EXPECT_EQ(OnHost("file"), "content");
}

TEST_F(FsChanges, AppendsGoToTheCurrentEnd) {
  const Opened file = Open(fs.Find(1, "file"), O_RDWR | O_APPEND);
  fs.host().Write("root/file", "content that the host made longer");
  EXPECT_EQ(Write(file, 7, "!", O_APPEND), 1);
  EXPECT_EQ(OnHost("file"), "content that the host made longer!");
  // Data from the page cache of a mapping belong to their offset.
  EXPECT_EQ(Write(file, 0, "C", O_APPEND, FUSE_WRITE_CACHE), 1);
  EXPECT_EQ(OnHost("file"), "Content that the host made longer!");
}

TEST_F(FsChanges, CreatingAnExistingFileTruncatesTheFile) {
  const auto created =
      fs.Do(FUSE_CREATE, 1,
            Join(BytesOf(fuse_create_in{O_RDWR | O_TRUNC, 0644, 0, 0}), NameBytes({"file"})));
  EXPECT_EQ(created.As<fuse_entry_out>().attr.size, 0U);
  EXPECT_EQ(OnHost("file"), "");
}

TEST_F(FsChanges, OpenTruncates) {
  const uint64_t node = fs.Find(1, "file");
  EXPECT_EQ(Open(node, O_WRONLY | O_TRUNC).error, 0);
  EXPECT_EQ(OnHost("file"), "");
}

TEST_F(FsChanges, AnOpenFileOutlivesItsName) {
  const Opened file = Open(fs.Find(1, "file"));
  EXPECT_EQ(Remove(1, "file"), 0);
  EXPECT_EQ(fs.Lookup(1, "file").As<fuse_entry_out>().nodeid, 0U);
  EXPECT_EQ(Write(file, 0, "CON"), 3);
  EXPECT_EQ(fs.Read(file.node, 0, 100, file.handle).Text(), "CONtent");
  const auto attributes = fs.Do(FUSE_GETATTR, file.node, Bytes(16)).As<fuse_attr_out>();
  EXPECT_EQ(attributes.attr.nlink, 0U);
  EXPECT_EQ(attributes.attr.size, 7U);
  fuse_setattr_in in = {};
  in.valid = FATTR_SIZE | FATTR_FH;
  in.fh = file.handle;
  in.size = 2;
  EXPECT_EQ(Set(file.node, in).As<fuse_attr_out>().attr.size, 2U);
  EXPECT_EQ(Release(file), 0);
  fs.Forget(file.node, 1);
  EXPECT_EQ(fs.counter("nodes"), 1U);
}

TEST_F(FsChanges, SetsAttributes) {
  const uint64_t node = fs.Find(1, "file");
  fuse_setattr_in in = {};
  in.valid = FATTR_MODE | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME;
  in.mode = S_IFREG | 0751;
  in.size = 3;
  in.atime = 5;
  in.atimensec = 6;
  in.mtime = static_cast<uint64_t>(-7);
  in.mtimensec = 999'999'999;
  const auto attr = Set(node, in).As<fuse_attr_out>().attr;
  EXPECT_EQ(attr.mode, S_IFREG | 0751U);
  EXPECT_EQ(attr.size, 3U);
  EXPECT_EQ(HostStatus("file").st_atim.tv_nsec, 6);
  EXPECT_EQ(HostStatus("file").st_mtim.tv_sec, -7);
  EXPECT_EQ(HostStatus("file").st_mtim.tv_nsec, 999'999'999);
  in = {};
  in.valid = FATTR_MTIME | FATTR_MTIME_NOW;
  in.mtimensec = 0xffffffff;
  EXPECT_GT(Set(node, in).As<fuse_attr_out>().attr.mtime, 1'000'000'000U);
  in.valid = FATTR_MTIME;
  EXPECT_EQ(Set(node, in).error, EINVAL);
  in = {};
  in.valid = FATTR_SIZE | FATTR_FH;
  in.fh = 77;
  EXPECT_EQ(Set(node, in).error, EBADF);
  in.valid = FATTR_CTIME;  // the host lets nobody set this time
  EXPECT_EQ(Set(node, in).error, 0);
}

TEST_F(FsChanges, KillSuidgidFlagsTakeSetIdBitsOff) {
  const uint64_t node = fs.Find(1, "file");
  const auto set_ids = [this] { ASSERT_EQ(chmod(fs.host().Path("root/file").c_str(), 06755), 0); };
  const Opened file = Open(node);
  set_ids();
  EXPECT_EQ(Write(file, 0, "x", 0, FUSE_WRITE_KILL_SUIDGID), 1);
  EXPECT_EQ(HostStatus("file").st_mode & 07777, 0755U);
  set_ids();
  EXPECT_EQ(Open(node, O_RDWR | O_TRUNC, FUSE_OPEN_KILL_SUIDGID).error, 0);
  EXPECT_EQ(HostStatus("file").st_mode & 07777, 0755U);
  set_ids();
  EXPECT_EQ(Create(1, "file", O_RDWR | O_TRUNC, 0644, 0, FUSE_OPEN_KILL_SUIDGID).error, 0);
  EXPECT_EQ(HostStatus("file").st_mode & 07777, 0755U);
  // A new file gets the mode that was asked for.
  EXPECT_EQ(Create(1, "new", O_RDWR | O_TRUNC, 06755, 0, FUSE_OPEN_KILL_SUIDGID).error, 0);
  EXPECT_EQ(HostStatus("new").st_mode & 07777, 06755U);
  set_ids();
  fuse_setattr_in in = {};
  in.valid = FATTR_SIZE | FATTR_KILL_SUIDGID;
  EXPECT_EQ(Set(node, in).error, 0);
  EXPECT_EQ(HostStatus("file").st_mode & 07777, 0755U);
}

TEST_F(FsChanges, AllocationsAndCopiesByUsersTakeSetIdBitsOff) {
  const uint64_t node = fs.Find(1, "file");
  const Opened file = Open(node);
  const Opened from = Open(fs.Find(fs.Find(1, "dir"), "a"));
  const auto allocate = [&] {
    fuse_fallocate_in in = {};
    in.fh = file.handle;
    in.length = 100;
    return fs.Do(FUSE_FALLOCATE, file.node, BytesOf(in)).error;
  };
  const auto copy = [&] {
    fuse_copy_file_range_in in = {};
    in.fh_in = from.handle;
    in.nodeid_out = file.node;
    in.fh_out = file.handle;
    in.len = 1;
    return fs.Do(FUSE_COPY_FILE_RANGE, from.node, BytesOf(in)).error;
  };
  for (const uint32_t uid : {0U, 1000U}) {
    fs.SetCaller(uid, uid);
    const mode_t left = uid == 0 ? 06755 : 0755;
    ASSERT_EQ(chmod(fs.host().Path("root/file").c_str(), 06755), 0);
    EXPECT_EQ(allocate(), 0);
    EXPECT_EQ(HostStatus("file").st_mode & 07777, left);
    ASSERT_EQ(chmod(fs.host().Path("root/file").c_str(), 06755), 0);
    EXPECT_EQ(copy(), 0);
    EXPECT_EQ(HostStatus("file").st_mode & 07777, left);
  }
}

TEST_F(FsChanges, RenameObeysItsFlags) {
  const auto rename = [this](absl::string_view from, absl::string_view to, uint32_t flags) {
    return fs
        .Do(FUSE_RENAME2, 1, Join(BytesOf(fuse_rename2_in{1, flags, 0}), NameBytes({from, to})))
        .error;
  };
  const uint64_t file = fs.Find(1, "file");
  EXPECT_EQ(rename("file", "dir", RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(rename("file", "dir", RENAME_EXCHANGE), 0);
  EXPECT_EQ(fs.Find(1, "dir"), file);
  EXPECT_EQ(OnHost("dir"), "content");
  EXPECT_EQ(rename("dir", "x", RENAME_WHITEOUT | RENAME_EXCHANGE), EINVAL);
  EXPECT_EQ(rename("dir", "white", RENAME_WHITEOUT), 0);
  EXPECT_EQ(fs.Lookup(1, "dir").As<fuse_entry_out>().attr.mode & S_IFMT, uint32_t{S_IFCHR});
  EXPECT_EQ(rename("white", "dir", 0), 0);
  EXPECT_EQ(rename("..", "x", 0), EINVAL);
  EXPECT_EQ(rename("dir", "a/../../outside", 0), EINVAL);
}

TEST_F(FsChanges, FlushesFilesAndDirectories) {
  const Opened file = Open(fs.Find(1, "file"));
  EXPECT_EQ(Flush(file), 0);
  EXPECT_EQ(Flush(file, FUSE_FSYNC_FDATASYNC), 0);
  EXPECT_EQ(Flush({file.node, 77}), EBADF);
  EXPECT_EQ(Flush({1, 0}, 0, FUSE_FSYNCDIR), 0);
  EXPECT_EQ(Flush({file.node, file.handle}, 0, FUSE_FSYNCDIR), ENOTDIR);
  EXPECT_EQ(fs.counter("open_files"), 1U);
  int files = 0;
  int data = 0;
  for (const auto& event : fs.loop().events()) {
    if (event.what != base::FakeEventLoop::Event::What::kCompleted) continue;
    files += event.kind == Kind::kFsync ? 1 : 0;
    data += event.kind == Kind::kFdatasync ? 1 : 0;
  }
  EXPECT_EQ(files, 2);
  EXPECT_EQ(data, 1);
}

TEST_F(FsChanges, AllocatesSeeksAndCopies) {
  const Opened file = Open(fs.Find(1, "file"));
  const auto allocate = [this, &file](uint32_t mode, uint64_t offset, uint64_t length) {
    fuse_fallocate_in in = {};
    in.fh = file.handle;
    in.mode = mode;
    in.offset = offset;
    in.length = length;
    return fs.Do(FUSE_FALLOCATE, file.node, BytesOf(in)).error;
  };
  EXPECT_EQ(allocate(0, 0, 1 << 20), 0);
  EXPECT_EQ(HostStatus("file").st_size, 1 << 20);
  EXPECT_EQ(allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 1 << 16), 0);
  EXPECT_EQ(allocate(0x8000, 0, 10), EOPNOTSUPP);
  EXPECT_EQ(allocate(0, UINT64_MAX, 10), EINVAL);
  EXPECT_EQ(allocate(0, 0, UINT64_MAX), EINVAL);
  EXPECT_EQ(allocate(0, 0, 0), EINVAL);
  const auto seek = [this, &file](uint64_t offset, uint32_t whence) {
    return fs.Do(FUSE_LSEEK, file.node, BytesOf(fuse_lseek_in{file.handle, offset, whence, 0}));
  };
  EXPECT_EQ(seek(0, SEEK_HOLE).As<fuse_lseek_out>().offset, 4096U);
  EXPECT_EQ(seek(1 << 20, SEEK_DATA).error, ENXIO);
  EXPECT_EQ(seek(0, SEEK_END).error, EINVAL);
  EXPECT_EQ(seek(0, 0xffffffff).error, EINVAL);
  const Opened other = Create(1, "copy");
  fuse_copy_file_range_in copy = {};
  copy.fh_in = file.handle;
  copy.nodeid_out = other.node;
  copy.fh_out = other.handle;
  copy.len = 7;
  EXPECT_EQ(fs.Do(FUSE_COPY_FILE_RANGE, file.node, BytesOf(copy)).As<fuse_write_out>().size, 7U);
  EXPECT_EQ(OnHost("copy"), "content");
  copy.fh_out = file.handle;
  EXPECT_EQ(fs.Do(FUSE_COPY_FILE_RANGE, file.node, BytesOf(copy)).error, EBADF);
}

TEST_F(FsChanges, OnlyExtendedAttributesOfUsersAreServed) {
  const uint64_t node = fs.Find(1, "file");
  const auto set = [this, node](absl::string_view name, const std::string& value) {
    const Bytes start = virtio::BytesOf(base::Le32(static_cast<uint32_t>(value.size())));
    return fs
        .Do(FUSE_SETXATTR, node,
            Join(Join(Join(start, Bytes(4)), NameBytes({name})), Bytes(value.begin(), value.end())))
        .error;
  };
  const auto get = [this, node](absl::string_view name, uint32_t size) {
    return fs.Do(FUSE_GETXATTR, node, Join(BytesOf(fuse_getxattr_in{size, 0}), NameBytes({name})));
  };
  if (set("user.a", "value") == EOPNOTSUPP) GTEST_SKIP() << "none here";
  EXPECT_EQ(get("user.a", 100).Text(), "value");
  EXPECT_EQ(get("user.a", 0).As<fuse_getxattr_out>().size, 5U);
  EXPECT_EQ(get("user.a", 4).error, ERANGE);
  EXPECT_EQ(get("user.b", 4).error, ENODATA);
  EXPECT_EQ(get("security.capability", 100).error, EOPNOTSUPP);
  EXPECT_EQ(set("security.capability", "x"), EOPNOTSUPP);
  EXPECT_EQ(fs.Do(FUSE_LISTXATTR, node, BytesOf(fuse_getxattr_in{100, 0})).Text(),
            std::string("user.a\0", 7));
  EXPECT_EQ(fs.Do(FUSE_REMOVEXATTR, node, NameBytes({"user.a"})).error, 0);
  EXPECT_EQ(get("user.a", 100).error, ENODATA);
  EXPECT_EQ(set("user.a", std::string(70000, 'x')), E2BIG);
}

TEST_F(FsChanges, OpenFilesAreBounded) {
  const uint64_t node = fs.Find(1, "file");
  std::vector<Opened> all;
  while (all.size() < 100) {
    const Opened file = Open(node);
    if (file.error != 0) {
      EXPECT_EQ(file.error, ENFILE);
      break;
    }
    all.push_back(file);
  }
  EXPECT_EQ(all.size(), 16U);  // max_open_files
  EXPECT_EQ(Create(1, "new").error, ENFILE);
  EXPECT_EQ(OnHost("new"), "none");
  // A flush is possible beyond the bound, because a database gives up if a flush fails.
  EXPECT_EQ(Flush({1, 0}, 0, FUSE_FSYNCDIR), 0);
  EXPECT_EQ(fs.counter("open_files"), 16U);
  EXPECT_EQ(Release(all.back()), 0);
  EXPECT_EQ(Open(node).error, 0);
}

TEST_F(FsChanges, HostErrorsOfWritesReachTheGuest) {
  const Opened file = Open(fs.Find(1, "file"));
  fs.loop().FailNext(Kind::kWrite, ENOSPC);
  EXPECT_EQ(Write(file, 0, "data"), -ENOSPC);
  EXPECT_EQ(fs.counter("host_errors"), 1U);
  fs.loop().FailNext(Kind::kWrite, EFBIG);
  EXPECT_EQ(Write(file, 0, "data"), -EFBIG);
  EXPECT_EQ(fs.counter("host_errors"), 1U);
  fs.loop().FailNext(Kind::kWrite, EINTR, 3);
  EXPECT_EQ(Write(file, 0, "data"), 4);
  EXPECT_EQ(fs.counter("retries"), 3U);
  fs.loop().FailNext(Kind::kFsync, EIO);
  EXPECT_EQ(Flush(file), EIO);
}

TEST_F(FsChanges, ResetWithWritesInFlightClosesEverything) {
  const Opened file = Open(fs.Find(1, "file"));
  for (int i = 0; i < 5; ++i) {
    fs.driver()
        .Chain()
        .Readable(fs.Request(FUSE_WRITE, file.node, WriteArguments(file.handle, 0, "data")))
        .Writable(100)
        .Offer();
  }
  if (fs.driver().Publish()) fs.harness().Kick(FsHarness::kRequests);
  fs.loop().RunTurn();
  EXPECT_GT(fs.loop().in_flight(Kind::kWrite), 0U);
  ASSERT_TRUE(fs.Stop());
  EXPECT_EQ(fs.counter("open_files"), 0U);
  EXPECT_EQ(fs.counter("nodes"), 1U);
  fs.Start();
  EXPECT_EQ(Write(file, 0, "data"), -EBADF);
}

TEST_F(FsChanges, AWriteEndedByAResetReportsTheWrittenBytes) {
  const Opened file = Open(fs.Find(1, "file"));
  fs.loop().ShortenNext(Kind::kWrite, 3);
  fs.driver().EnableInterrupts();
  const uint16_t head =
      fs.driver()
          .Chain()
          .Readable(fs.Request(FUSE_WRITE, file.node, WriteArguments(file.handle, 0, "CONTENT")))
          .Writable(100)
          .Offer();
  if (fs.driver().Publish()) fs.harness().Kick(FsHarness::kRequests);
  while (fs.counter("short_transfers") == 0) ASSERT_TRUE(fs.loop().RunTurn());
  fs.loop().FailNext(Kind::kWrite, ECANCELED);  // the operation that writes the rest
  ASSERT_TRUE(fs.Stop());
  EXPECT_EQ(fs.Take(head).As<fuse_write_out>().size, 3U);
  EXPECT_EQ(OnHost("file"), "CONtent");
}

class FsChangesInPieces : public FsChanges {
 protected:
  FsChangesInPieces() : FsChanges(FsCache::kAuto, 60) {}
};

TEST_F(FsChangesInPieces, ShortWritesAreContinued) {
  const Opened file = Open(fs.Find(1, "file"));
  std::string data(3000, 'x');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7 % 251);
  EXPECT_EQ(Write(file, 100, data), 3000);
  EXPECT_EQ(OnHost("file").substr(100), data);
  EXPECT_GT(fs.counter("short_transfers"), 0U);
  EXPECT_EQ(Write(file, 0, data, O_APPEND), 3000);
  EXPECT_EQ(OnHost("file").substr(3100), data);
  // The answer reports the bytes that were written before an error.
  fs.loop().ShortenNext(Kind::kWrite, 10);
  fs.loop().FailNext(Kind::kWrite, ENOSPC);
  const int64_t written = Write(file, 0, data);
  EXPECT_TRUE(written == -ENOSPC || written > 0) << written;
}

class FsChangesUncached : public FsChanges {
 protected:
  FsChangesUncached() : FsChanges(FsCache::kNever) {}
};

TEST_F(FsChangesUncached, NothingMayBeCached) {
  const auto entry = fs.Lookup(1, "file").As<fuse_entry_out>();
  EXPECT_EQ(entry.entry_valid, 0U);
  EXPECT_EQ(entry.attr_valid, 0U);
  const auto open = fs.Do(FUSE_OPEN, entry.nodeid, BytesOf(fuse_open_in{O_RDWR, 0}));
  EXPECT_EQ(open.As<fuse_open_out>().open_flags, uint32_t{FOPEN_DIRECT_IO});
}

TEST_F(FsChanges, ForgedNodesNamesAndHandlesChangeNothing) {
  const uint64_t directory = fs.Find(1, "dir");
  const uint64_t gone = fs.Find(1, "file");
  const Opened file = Open(fs.Find(directory, "a"));
  fs.Forget(gone, 1);
  for (const uint64_t node : {uint64_t{0}, gone, uint64_t{999}, UINT64_MAX, directory << 32}) {
    for (const auto& [opcode, target, arguments] : AllChanges(node, node, file.handle)) {
      const int error = fs.Do(opcode, target, arguments).error;
      EXPECT_TRUE(error == ESTALE || error == EBADF) << opcode << ": " << error;
    }
  }
  const std::string names[] = {"",
                               ".",
                               "..",
                               "/",
                               "a/b",
                               "../../outside",
                               "/etc/x",
                               "a/.",
                               "../a",
                               "dir/../a",
                               std::string(256, 'x'),
                               std::string(4096, 'x')};
  for (const std::string& name : names) {
    for (const auto& [opcode, target, arguments] : AllChanges(directory, file.node, file.handle)) {
      if (opcode == FUSE_SETATTR || opcode == FUSE_WRITE || opcode == FUSE_FALLOCATE ||
          opcode == FUSE_COPY_FILE_RANGE || opcode == FUSE_SETXATTR || opcode == FUSE_REMOVEXATTR) {
        continue;
      }
      // Replace all names of the request by the hostile name.
      size_t start = opcode == FUSE_CREATE || opcode == FUSE_MKNOD || opcode == FUSE_RENAME2 ? 16
                     : opcode == FUSE_MKDIR || opcode == FUSE_LINK || opcode == FUSE_RENAME  ? 8
                                                                                             : 0;
      const Bytes head(arguments.begin(), arguments.begin() + static_cast<ptrdiff_t>(start));
      const bool two = opcode == FUSE_RENAME || opcode == FUSE_RENAME2 || opcode == FUSE_SYMLINK;
      const Bytes bad = two ? NameBytes({name, name}) : NameBytes({name});
      const int error = fs.Do(opcode, target, Join(head, bad)).error;
      EXPECT_TRUE(error == EINVAL || error == ENAMETOOLONG)
          << opcode << " " << name << ": " << error;
    }
  }
  EXPECT_EQ(OnHost("dir/a"), "content of a");
  EXPECT_EQ(OnHost("../outside"), "secret");
  EXPECT_EQ(fs.counter("nodes"), 3U);
}

}  // namespace
}  // namespace virtio
