// What a guest may cache of shares that the host may change, and what it can have open.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "virtio/fs/testing/fs_fixtures.h"

namespace virtio {
namespace {

TEST(FsCaching, WithCacheAutoEntriesAreValidForOneSecond) {
  FsHarness fs({.cache = FsCache::kAuto}, FillStore);
  const auto app = fs.Lookup(1, "1-app").As<fuse_entry_out>();
  EXPECT_EQ(app.entry_valid, 1U);
  const auto none = fs.Lookup(app.nodeid, "none").As<fuse_entry_out>();
  EXPECT_EQ(none.nodeid, 0U);
  EXPECT_EQ(none.entry_valid, 1U);
  EXPECT_EQ(fs.Lookup(1, "none").As<fuse_entry_out>().entry_valid, 1U);
  const uint64_t big = fs.Find(app.nodeid, "big");
  const auto open = fs.Do(FUSE_OPEN, big, Bytes(8));
  EXPECT_EQ(open.error, 0);
  EXPECT_EQ(open.As<fuse_open_out>().open_flags, 0U);  // the guest drops its cached data
  EXPECT_EQ(fs.Do(FUSE_RELEASE, big, Bytes(24)).error, 0);
  EXPECT_EQ(fs.Do(FUSE_OPENDIR, app.nodeid, Bytes(8)).error, 0);
  EXPECT_EQ(fs.Do(FUSE_RELEASEDIR, app.nodeid, Bytes(24)).error, 0);
  EXPECT_EQ(fs.Do(FUSE_OPEN, fs.Find(app.nodeid, "link"), Bytes(8)).error, EACCES);
}

// In the lower layer of an overlay these attributes say which directories are opaque.
TEST(FsCaching, UserAttributesAreServedWithoutAClosure) {
  const auto fill = [](const TemporaryTree& host) {
    FillStore(host);
    setxattr(host.Path("root/1-app/big").c_str(), "user.overlay.opaque", "y", 1, 0);
    setxattr(host.Path("root/1-app").c_str(), "user.overlay.opaque", "y", 1, 0);
  };
  const Bytes opaque = Join(BytesOf(fuse_getxattr_in{10, 0}), NameBytes({"user.overlay.opaque"}));
  const Bytes other = Join(BytesOf(fuse_getxattr_in{10, 0}), NameBytes({"security.capability"}));
  for (const FsCache cache : {FsCache::kNever, FsCache::kAuto, FsCache::kAlways}) {
    FsHarness fs({.cache = cache}, fill);
    const uint64_t app = fs.Find(1, "1-app");
    const uint64_t big = fs.Find(app, "big");
    if (fs.Do(FUSE_GETXATTR, app, opaque).error == ENODATA) GTEST_SKIP() << "none here";
    EXPECT_EQ(fs.Do(FUSE_GETXATTR, app, opaque).Text(), "y");
    EXPECT_EQ(fs.Do(FUSE_GETXATTR, big, opaque).Text(), "y");
    EXPECT_EQ(fs.Do(FUSE_GETXATTR, app, other).error, EOPNOTSUPP);
    EXPECT_EQ(fs.Do(FUSE_LISTXATTR, big, BytesOf(fuse_getxattr_in{100, 0})).Text(),
              std::string("user.overlay.opaque\0", 20));
    EXPECT_EQ(fs.Do(FUSE_SETXATTR, big,
                    Join(Join(Bytes{1, 0, 0, 0, 0, 0, 0, 0}, NameBytes({"user.a"})), {7}))
                  .error,
              EROFS);
  }
  // ENOSYS keeps Linux from asking a closure again.
  FsHarness fs(StoreOptions(), fill);
  EXPECT_EQ(fs.Do(FUSE_GETXATTR, fs.Find(1, "1-app"), opaque).error, ENOSYS);
}

// Returns the real time plus kSeconds.
template <int kSeconds>
std::chrono::nanoseconds Later() {
  return FsServer::RealTime() + std::chrono::seconds(kSeconds);
}

TEST(FsCaching, AnUnchangedFileIsReadOnce) {
  for (const bool writable : {false, true}) {
    FsHarness fs({.cache = FsCache::kAuto, .writable = writable, .real_time = Later<10>},
                 FillStore);
    const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
    const auto open = [&] {
      return fs.Do(FUSE_OPEN, big, Bytes(8)).As<fuse_open_out>().open_flags;
    };
    EXPECT_EQ(open(), 0U);
    EXPECT_EQ(open(), uint32_t{FOPEN_KEEP_CACHE});
    // The host writes the file again, with the same size, right after the guest has opened it.
    fs.host().Write("root/1-app/big", RandomText(300'000));
    EXPECT_EQ(open(), 0U);
    EXPECT_EQ(open(), uint32_t{FOPEN_KEEP_CACHE});
  }
}

TEST(FsCaching, AFileThatHasJustChangedIsReadAgain) {
  FsHarness fs({.cache = FsCache::kAuto,
                .real_time = [] { return FsServer::RealTime() - std::chrono::hours(1); }},
               FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(fs.Do(FUSE_OPEN, big, Bytes(8)).As<fuse_open_out>().open_flags, 0U);
    EXPECT_EQ(fs.Do(FUSE_OPENDIR, 1, Bytes(8)).As<fuse_open_out>().open_flags, 0U);
  }
}

TEST(FsCaching, AnUnchangedDirectoryIsListedOnce) {
  FsHarness fs({.cache = FsCache::kAuto, .real_time = Later<10>}, FillStore);
  const uint64_t app = fs.Find(1, "1-app");
  const auto open = [&] {
    return fs.Do(FUSE_OPENDIR, app, Bytes(8)).As<fuse_open_out>().open_flags;
  };
  EXPECT_EQ(open(), uint32_t{FOPEN_CACHE_DIR});
  EXPECT_EQ(open(), uint32_t{FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE});
  fs.host().Write("root/1-app/new", "");
  EXPECT_EQ(open(), uint32_t{FOPEN_CACHE_DIR});
  EXPECT_EQ(open(), uint32_t{FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE});
}

TEST(FsCaching, ReadOnlySharesRefuseToOpenForWriting) {
  for (const FsCache cache : {FsCache::kAuto, FsCache::kNever}) {
    FsHarness fs({.cache = cache}, FillStore);
    const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
    for (const uint32_t flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC}) {
      EXPECT_EQ(fs.Do(FUSE_OPEN, big, BytesOf(fuse_open_in{flags, 0})).error, EROFS) << flags;
    }
    EXPECT_EQ(fs.Do(FUSE_OPEN, big, BytesOf(fuse_open_in{O_RDONLY | O_NOATIME, 0})).error, 0);
  }
}

TEST(FsCaching, WithCacheNeverTheGuestKeepsNothing) {
  FsHarness fs({.cache = FsCache::kNever}, FillStore);
  const auto app = fs.Lookup(1, "1-app").As<fuse_entry_out>();
  EXPECT_EQ(app.entry_valid, 0U);
  EXPECT_EQ(app.attr_valid, 0U);
  const auto open = fs.Do(FUSE_OPEN, fs.Find(app.nodeid, "big"), Bytes(8));
  EXPECT_EQ(open.As<fuse_open_out>().open_flags, uint32_t{FOPEN_DIRECT_IO});
  EXPECT_EQ(fs.Do(FUSE_OPENDIR, app.nodeid, Bytes(8)).As<fuse_open_out>().open_flags, 0U);
  EXPECT_EQ(fs.Lookup(app.nodeid, "none").error, ENOENT);
}

TEST(FsCaching, AnOpenFileStaysWhenTheHostReplacesIt) {
  for (const FsCache cache : {FsCache::kAuto, FsCache::kNever}) {
    FsHarness fs({.cache = cache}, FillStore);
    const uint64_t directory = fs.Find(fs.Find(1, "1-app"), "bin");
    const uint64_t tool = fs.Find(directory, "tool");
    const uint64_t handle = fs.Do(FUSE_OPEN, tool, Bytes(8)).As<fuse_open_out>().fh;
    fs.host().Write("root/1-app/bin/new", "upgraded");
    fs.host().Rename("root/1-app/bin/new", "root/1-app/bin/tool");
    EXPECT_NE(fs.Find(directory, "tool"), tool);
    EXPECT_EQ(fs.Read(tool, 0, 100, handle).Text(), "content of tool");
    const auto attributes = fs.Do(FUSE_GETATTR, tool, Bytes(16)).As<fuse_attr_out>();
    EXPECT_EQ(attributes.attr.size, 15U);
    EXPECT_EQ(attributes.attr.nlink, 0U);
    // Another number, or the handle with another file, is refused.
    EXPECT_EQ(fs.Read(tool, 0, 100, handle + 1).error, EBADF);
    EXPECT_EQ(fs.Read(directory, 0, 100, handle).error, EBADF);
    fuse_release_in release = {};
    release.fh = handle;
    EXPECT_EQ(fs.Do(FUSE_RELEASE, tool, BytesOf(release)).error, 0);
    EXPECT_EQ(fs.counter("open_files"), 0U);
    EXPECT_EQ(fs.Do(FUSE_GETATTR, tool, Bytes(16)).error, ESTALE);
  }
}

TEST(FsCaching, OpenFilesOfReadOnlySharesAreBounded) {
  for (const FsCache cache : {FsCache::kAuto, FsCache::kNever}) {
    FsHarness fs({.cache = cache, .max_open_files = 4}, FillStore);
    const uint64_t tool = fs.Find(fs.Find(fs.Find(1, "1-app"), "bin"), "tool");
    uint64_t handle = 0;
    for (int i = 0; i < 4; ++i) {
      handle = fs.Do(FUSE_OPEN, tool, Bytes(8)).As<fuse_open_out>().fh;
    }
    EXPECT_EQ(fs.Do(FUSE_OPEN, tool, Bytes(8)).error, ENFILE);
    EXPECT_EQ(fs.Read(tool, 0, 100, handle).Text(), "content of tool");
    fuse_release_in release = {};
    release.fh = handle;
    EXPECT_EQ(fs.Do(FUSE_RELEASE, tool, BytesOf(release)).error, 0);
    EXPECT_EQ(fs.Do(FUSE_OPEN, tool, Bytes(8)).error, 0);
  }
}

TEST(FsCaching, OpeningInAReadOnlyShareLeavesSetIdBitsAlone) {
  FsHarness fs({.cache = FsCache::kAuto}, [](const TemporaryTree& host) {
    host.Write("root/tool", "x");
    ASSERT_EQ(chmod(host.Path("root/tool").c_str(), 06755), 0);
  });
  const uint64_t tool = fs.Find(1, "tool");
  const fuse_open_in open = {.flags = O_RDONLY, .open_flags = FUSE_OPEN_KILL_SUIDGID};
  EXPECT_EQ(fs.Do(FUSE_OPEN, tool, BytesOf(open)).error, EROFS);
  struct stat status;
  ASSERT_EQ(stat(fs.host().Path("root/tool").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 06755U);
}

}  // namespace
}  // namespace virtio
