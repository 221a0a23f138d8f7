// What a guest sees of a closure, in which nothing changes, and what it must not see.

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "virtio/fs/testing/fs_fixtures.h"

namespace virtio {
namespace {

using testing::UnorderedElementsAre;

TEST(FsStore, EverythingBelowTheRootMayBeCachedForEver) {
  FsHarness fs(StoreOptions(), FillStore);
  constexpr uint64_t kYear = 365 * 24 * 3600;
  const auto app = fs.Lookup(1, "1-app").As<fuse_entry_out>();
  EXPECT_GT(app.entry_valid, kYear);
  EXPECT_GT(app.attr_valid, kYear);
  EXPECT_EQ(fs.Lookup(app.nodeid, "none").As<fuse_entry_out>().nodeid, 0U);
  EXPECT_GT(fs.Lookup(app.nodeid, "none").As<fuse_entry_out>().entry_valid, kYear);
  EXPECT_GT(fs.Do(FUSE_GETATTR, app.nodeid, Bytes(16)).As<fuse_attr_out>().attr_valid, kYear);
  // Names can appear in the root, so nothing about the root is cached for long.
  EXPECT_EQ(fs.Lookup(1, "none").error, ENOENT);
  EXPECT_EQ(fs.Do(FUSE_GETATTR, 1, Bytes(16)).As<fuse_attr_out>().attr_valid, 1U);
  for (const uint32_t opcode : {FUSE_OPEN, FUSE_OPENDIR, FUSE_FLUSH, FUSE_ACCESS, FUSE_GETXATTR,
                                FUSE_LISTXATTR, FUSE_LSEEK, FUSE_SYNCFS, FUSE_POLL}) {
    const Bytes name = opcode == FUSE_GETXATTR ? NameBytes({"security.capability"}) : Bytes();
    EXPECT_EQ(fs.Do(opcode, app.nodeid, Join(Bytes(40 - 32 * !name.empty()), name)).error, ENOSYS)
        << opcode;
  }
}

TEST(FsStore, ReadsWithoutOpening) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t app = fs.Find(1, "1-app");
  const uint64_t tool = fs.Find(fs.Find(app, "bin"), "tool");
  EXPECT_EQ(fs.Read(tool, 0, 4096).Text(), "content of tool");
  EXPECT_EQ(fs.Read(tool, 11, 2).Text(), "to");
  EXPECT_EQ(fs.Read(tool, 15, 10).Text(), "");
  EXPECT_EQ(fs.Read(tool, 1 << 20, 10).Text(), "");
  EXPECT_EQ(fs.Read(tool, 0, 0).Text(), "");
  EXPECT_EQ(fs.Read(fs.Find(app, "big"), 1000, 200'000).Text(),
            RandomText(300'000).substr(1000, 200'000));
  EXPECT_EQ(fs.Read(app, 0, 10).error, EISDIR);
  EXPECT_EQ(fs.Read(fs.Find(app, "link"), 0, 10).error, EACCES);
  EXPECT_EQ(fs.Read(tool, UINT64_MAX, 10).error, EINVAL);
  EXPECT_EQ(fs.Read(tool, INT64_MAX, 10).error, EINVAL);
  EXPECT_EQ(fs.counter("open_files"), 2U);
}

TEST(FsStore, OnlyTheClosureIsVisible) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t app = fs.Find(1, "1-app");
  EXPECT_THAT(Names(fs.List(1, FUSE_READDIR)), UnorderedElementsAre(".", "..", "1-app"));
  EXPECT_THAT(Names(fs.List(1, FUSE_READDIRPLUS)), UnorderedElementsAre(".", "..", "1-app"));
  for (const absl::string_view name :
       {"2-secret", "..", ".", "1-app/../2-secret", "/2-secret", "./2-secret", "2-secret/key"}) {
    EXPECT_NE(fs.Lookup(1, name).error, 0) << name;
  }
  EXPECT_EQ(fs.Lookup(app, "..").error, EINVAL);
  EXPECT_EQ(fs.Lookup(app, "../2-secret").error, EINVAL);
  EXPECT_EQ(fs.Lookup(fs.Find(app, "link"), "key").error, ENOTDIR);
  EXPECT_EQ(fs.Do(FUSE_READLINK, fs.Find(app, "link")).Text(), "../2-secret/key");
}

TEST(FsStore, HostileNamesAreRefused) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t app = fs.Find(1, "1-app");
  for (const absl::string_view name :
       {absl::string_view(""), absl::string_view("."), absl::string_view(".."),
        absl::string_view("/"), absl::string_view("bin/tool"), absl::string_view("../2-secret"),
        absl::string_view("bin\0", 4), absl::string_view("\0", 1), absl::string_view("/etc")}) {
    EXPECT_EQ(fs.Lookup(app, name).error, EINVAL) << name;
    EXPECT_EQ(fs.Lookup(1, name).error, EINVAL) << name;
  }
  EXPECT_EQ(fs.Lookup(app, std::string(256, 'x')).error, ENAMETOOLONG);
  EXPECT_EQ(fs.Lookup(app, std::string(4096, 'x')).error, ENAMETOOLONG);
  EXPECT_EQ(fs.Lookup(app, std::string(255, 'x')).As<fuse_entry_out>().nodeid, 0U);  // is missing
  // Any other bytes are a valid name.
  fs.host().Write("root/1-app/\xff\xfe\x80", "odd");
  EXPECT_EQ(fs.Read(fs.Find(app, "\xff\xfe\x80"), 0, 10).Text(), "odd");
  for (const uint32_t opcode : {FUSE_READDIR, FUSE_READDIRPLUS}) {
    EXPECT_TRUE(Names(fs.List(app, opcode)).contains("\xff\xfe\x80")) << opcode;
  }
}

TEST(FsStore, ForgedOffsetsAreHarmless) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t app = fs.Find(1, "1-app");
  const std::set<std::string> all = {".", "..", "bin", "big", "link", "many", "1-app"};
  for (const uint64_t node : {uint64_t{1}, app}) {
    for (const uint64_t offset : {UINT64_MAX, uint64_t{1} << 63, uint64_t{INT64_MAX}, uint64_t{3},
                                  fs.host().Inode("root/2-secret")}) {
      for (const uint32_t opcode : {FUSE_READDIR, FUSE_READDIRPLUS}) {
        const auto result = fs.Do(opcode, node, FsHarness::ReadArguments(offset, UINT32_MAX));
        EXPECT_TRUE(result.error == 0 || result.error == EINVAL) << offset << ": " << result.error;
        EXPECT_EQ(result.Text().find("2-secret"), std::string::npos);
      }
    }
  }
  for (const auto& listed : fs.List(1, FUSE_READDIRPLUS)) EXPECT_TRUE(all.contains(listed.name));
}

// Only lookups from the root make nodes. Neither a link nor a number from a file handle of the
// guest makes one. (For open_by_handle_at, Linux asks for "." and ".." of a node by LOOKUP.)
TEST(FsStore, LinksAndFileHandlesReachNoUnknownNode) {
  FsHarness fs(StoreOptions(), FillStore);
  EXPECT_EQ(fs.Init().As<fuse_init_out>().flags & FUSE_EXPORT_SUPPORT, 0U);
  const uint64_t app = fs.Find(1, "1-app");
  const uint64_t secret = fs.host().Inode("root/2-secret/key");
  for (const uint64_t node : {secret, secret << 32, app + 1, app ^ uint64_t{1} << 32}) {
    const Bytes link = Join(BytesOf(fuse_link_in{node}), NameBytes({"stolen"}));
    EXPECT_EQ(fs.Do(FUSE_LINK, app, link).error, EROFS);
    EXPECT_EQ(fs.Lookup(node, ".").error, EINVAL);
    EXPECT_EQ(fs.Lookup(node, "..").error, EINVAL);
    EXPECT_EQ(fs.Do(FUSE_GETATTR, node, Bytes(16)).error, ESTALE);
    EXPECT_EQ(fs.Read(node, 0, 10, secret).error, ESTALE);
  }
  EXPECT_EQ(fs.Do(FUSE_LINK, 1, Join(BytesOf(fuse_link_in{app}), NameBytes({"2-secret"}))).error,
            EROFS);
}

TEST(FsStore, ForgedNodesAreRefused) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t app = fs.Find(1, "1-app");
  const uint64_t secret = fs.host().Inode("root/2-secret/key");
  std::set<uint64_t> forged = {0, 2, 3, secret, UINT64_MAX, uint64_t{1} << 32, app ^ 1, app + 1};
  for (uint64_t i = 0; i < 64; ++i) forged.insert(app ^ (uint64_t{1} << i));
  forged.erase(app);
  forged.erase(1);
  for (const uint64_t node : forged) {
    EXPECT_NE(fs.Lookup(node, "key").error, 0) << node;
    EXPECT_NE(fs.Do(FUSE_GETATTR, node, Bytes(16)).error, 0) << node;
    EXPECT_NE(fs.Read(node, 0, 10).error, 0) << node;
    EXPECT_NE(fs.Do(FUSE_READDIR, node, FsHarness::ReadArguments(0, 512)).error, 0) << node;
    EXPECT_NE(fs.Do(FUSE_READLINK, node).error, 0) << node;
    fs.Forget(node, 1);
  }
  EXPECT_EQ(fs.counter("nodes"), 2U);
}

TEST(FsStore, ForgottenNodesAreStale) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t app = fs.Find(1, "1-app");
  const uint64_t big = fs.Find(app, "big");
  EXPECT_EQ(fs.Read(big, 0, 10).error, 0);
  fs.Forget(big, 1);
  EXPECT_EQ(fs.counter("open_files"), 0U);
  EXPECT_EQ(fs.Read(big, 0, 10).error, ESTALE);
  EXPECT_EQ(fs.Do(FUSE_GETATTR, big, Bytes(16)).error, ESTALE);
  EXPECT_NE(fs.Find(app, "big"), big);
}

TEST(FsStore, BatchForgetForgetsAllItsNodes) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t app = fs.Find(1, "1-app");
  const uint64_t big = fs.Find(app, "big");
  const uint64_t bin = fs.Find(app, "bin");
  fs.Find(app, "bin");
  Bytes batch = BytesOf(fuse_batch_forget_in{3, 0});
  batch = Join(batch, BytesOf(fuse_forget_one{big, 1}));
  batch = Join(batch, BytesOf(fuse_forget_one{bin, 1}));
  batch = Join(batch, BytesOf(fuse_forget_one{12345, 1}));
  fs.Send(FsHarness::kHighPriority, fs.Request(FUSE_BATCH_FORGET, 0, batch));
  EXPECT_EQ(fs.counter("nodes"), 3U);
  // A batch that has fewer entries than its count says.
  batch = Join(BytesOf(fuse_batch_forget_in{1000, 0}), BytesOf(fuse_forget_one{bin, UINT64_MAX}));
  fs.Send(FsHarness::kRequests, fs.Request(FUSE_BATCH_FORGET, 0, batch));
  EXPECT_EQ(fs.counter("nodes"), 2U);
  fs.Send(FsHarness::kHighPriority, fs.Request(FUSE_INTERRUPT, 0, Bytes(8)));
}

TEST(FsStore, ReadDirPlusReturnsNodes) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t many = fs.Find(fs.Find(1, "1-app"), "many");
  const auto listed = fs.List(many, FUSE_READDIRPLUS, 1000);
  EXPECT_EQ(Names(listed).size(), 52U);
  EXPECT_EQ(fs.counter("nodes"), 53U);
  for (const auto& entry : listed) {
    if (entry.name == "." || entry.name == "..") {
      EXPECT_EQ(entry.entry.nodeid, 0U);
      continue;
    }
    EXPECT_EQ(entry.entry.attr.size, 1U);
    EXPECT_EQ(entry.entry.attr.ino, entry.inode);
    EXPECT_EQ(fs.Read(entry.entry.nodeid, 0, 10).Text(), "x");
    fs.Forget(entry.entry.nodeid, 1);
  }
  EXPECT_EQ(fs.counter("nodes"), 3U);
  EXPECT_THAT(Names(fs.List(many, FUSE_READDIR)), testing::ContainerEq(Names(listed)));
  EXPECT_EQ(fs.counter("nodes"), 3U);
  // An entry that does not fit is an error, not the end of the directory.
  EXPECT_EQ(fs.Do(FUSE_READDIR, many, FsHarness::ReadArguments(0, 20), 20).error, EINVAL);
  EXPECT_EQ(fs.Do(FUSE_READDIRPLUS, many, FsHarness::ReadArguments(0, 4096), 100).error, EINVAL);
}

TEST(FsStore, RefusesWrites) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t app = fs.Find(1, "1-app");
  const uint64_t file = fs.Find(app, "big");
  for (const auto& [opcode, node, arguments] : AllChanges(app, file)) {
    EXPECT_EQ(fs.Do(opcode, node, arguments).error, EROFS) << opcode;
    EXPECT_EQ(fs.Do(opcode, 1, arguments).error, EROFS) << opcode;
  }
  for (const uint32_t opcode : {0u, 7u, 19u, 99u, 4096u, 0xffffffffu}) {
    EXPECT_EQ(fs.Do(opcode, 1).error, ENOSYS) << opcode;
  }
}

TEST(FsStore, RequestsBelowTheRootAreCounted) {
  FsHarness fs(StoreOptions(), FillStore);
  fs.Do(FUSE_GETATTR, 1, Bytes(16));
  const uint64_t app = fs.Find(1, "1-app");
  fs.Do(FUSE_STATFS, 1);
  EXPECT_EQ(fs.counter("requests_below_root"), 0U);
  fs.Do(FUSE_GETATTR, app, Bytes(16));
  fs.Lookup(app, "none");
  fs.Forget(app, 1);
  EXPECT_EQ(fs.counter("requests_below_root"), 2U);
  EXPECT_EQ(fs.counter("lookup"), 2U);
  EXPECT_EQ(fs.counter("getattr"), 2U);
  EXPECT_EQ(fs.counter("forget"), 1U);
  EXPECT_EQ(fs.counter("statfs"), 1U);
}

TEST(FsStore, NamesAddedToTheClosureAppear) {
  FsHarness fs(StoreOptions(), FillStore);
  EXPECT_EQ(fs.Lookup(1, "2-secret").error, ENOENT);
  fs.host().Write("closure", "/nix/store/2-secret\n");
  ASSERT_TRUE(fs.tree().RereadClosure().ok());
  EXPECT_EQ(fs.Lookup(1, "2-secret").error, 0);
  EXPECT_EQ(fs.Lookup(1, "1-app").error, 0);
}

}  // namespace
}  // namespace virtio
