#include "virtio/fs/fs_device.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <chrono>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "virtio/fs/testing/fs_fixtures.h"

namespace virtio {
namespace {

using testing::UnorderedElementsAre;

std::string RandomText(size_t bytes) {
  std::mt19937_64 random(bytes);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

void FillStore(const TemporaryTree& host) {
  host.Write("root/1-app/bin/tool", "content of tool");
  host.Write("root/1-app/big", RandomText(300'000));
  host.Link("../2-secret/key", "root/1-app/link");
  host.Write("root/2-secret/key", "secret");
  for (int i = 0; i < 50; ++i) host.Write(absl::StrCat("root/1-app/many/file-", i), "x");
}

constexpr absl::string_view kClosure = "/nix/store/1-app\n";

FsHarness::Options StoreOptions() { return {.closure = std::string(kClosure)}; }

std::set<std::string> Names(const std::vector<FsHarness::Listed>& listed) {
  std::set<std::string> names;
  for (const auto& entry : listed) names.insert(entry.name);
  return names;
}

// --- Session -------------------------------------------------------------------------------------

TEST(FsDevice, Fs_5_11_4_ConfigurationHasTagAndQueues) {
  FsHarness fs(StoreOptions(), FillStore);
  EXPECT_EQ(fs.device().type(), 26);
  EXPECT_EQ(fs.device().queue_sizes().size(), 2U);
  Bytes config(44, 0xee);
  fs.device().ReadConfig(0, config);
  EXPECT_EQ(std::string(config.begin(), config.begin() + 5), "store");
  EXPECT_EQ(Bytes(config.begin() + 5, config.begin() + 36), Bytes(31));
  EXPECT_EQ(Bytes(config.begin() + 36, config.end()), (Bytes{1, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(FsDevice, NegotiatesWhatAnImmutableStoreAllows) {
  FsHarness fs(StoreOptions(), FillStore);
  const auto init = fs.Init().As<fuse_init_out>();
  EXPECT_EQ(init.major, 7U);
  EXPECT_GE(init.minor, 31U);
  EXPECT_EQ(init.max_pages, 256U);
  EXPECT_EQ(init.flags, FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS |
                            FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_MAX_PAGES |
                            FUSE_BIG_WRITES | FUSE_CACHE_SYMLINKS | FUSE_EXPLICIT_INVAL_DATA |
                            FUSE_INIT_EXT);
  EXPECT_EQ(fs.Init(7, 31, 0).As<fuse_init_out>().flags, 0U);  // only what the guest has
  EXPECT_EQ(fs.Init(8, 1).As<fuse_init_out>().major, 7U);      // it asks again
  EXPECT_EQ(fs.Init(7, 30).error, EPROTO);
  EXPECT_EQ(fs.Init(6, 99).error, EPROTO);
}

TEST(FsDevice, SharedMappingsOfUncachedFilesAreOfferedToGuestsThatKnowThem) {
  const Bytes arguments = Join(BytesOf(FuseInitStart{7, 38, 0, ~0U}), BytesOf(~0U));
  for (const bool writable : {false, true}) {
    FsHarness fs({.cache = FsCache::kNever, .writable = writable}, FillStore);
    const auto init = fs.Do(FUSE_INIT, 0, arguments).As<fuse_init_out>();
    EXPECT_NE(init.flags & FUSE_INIT_EXT, 0U);
    EXPECT_EQ(init.minor, 36U);
    EXPECT_EQ(init.flags2, 1U << 4);
    // Linux before 6.6 does not know the flag, or has no second word of flags.
    EXPECT_EQ(fs.Init().As<fuse_init_out>().flags2, 0U);
    EXPECT_EQ(fs.Init(7, 35, ~uint32_t{FUSE_INIT_EXT}).As<fuse_init_out>().flags2, 0U);
  }
  for (const FsCache cache : {FsCache::kAuto, FsCache::kAlways}) {
    FsHarness fs({.cache = cache}, FillStore);
    EXPECT_EQ(fs.Do(FUSE_INIT, 0, arguments).As<fuse_init_out>().flags2, 0U);
  }
}

// Linux answers mount(2) before the reply, and takes the least of the reply and of what
// read_ahead_kb is by then: a reply that repeats what the guest said would undo what a script has
// written.
TEST(FsDevice, ReadAheadThatIsRaisedBeforeTheReplyIsKept) {
  FsHarness fs(StoreOptions(), FillStore);
  for (const uint32_t guests : {0U, 4096U, 128U << 10, 1U << 20, UINT32_MAX}) {
    const Bytes arguments = BytesOf(FuseInitStart{7, 38, guests, 0xffffffff});
    EXPECT_EQ(fs.Do(FUSE_INIT, 0, arguments).As<fuse_init_out>().max_readahead, 1U << 20) << guests;
  }
}

TEST(FsDevice, NothingBeforeInitOrAfterDestroy) {
  FsHarness::Options options = StoreOptions();
  options.initialize = false;
  FsHarness fs(options, FillStore);
  EXPECT_EQ(fs.Lookup(1, "1-app").error, EIO);
  EXPECT_EQ(fs.Read(1, 0, 10).error, EIO);
  fs.Forget(1, 1);
  EXPECT_EQ(fs.Init().error, 0);
  const uint64_t app = fs.Find(1, "1-app");
  EXPECT_EQ(fs.counter("nodes"), 2U);
  EXPECT_EQ(fs.Do(FUSE_DESTROY, 0).error, 0);
  EXPECT_EQ(fs.counter("nodes"), 1U);
  EXPECT_EQ(fs.Do(FUSE_GETATTR, app, Bytes(16)).error, EIO);
  EXPECT_EQ(fs.Init().error, 0);
  EXPECT_EQ(fs.Do(FUSE_GETATTR, app, Bytes(16)).error, ESTALE);
}

TEST(FsDevice, ResetForgetsEverything) {
  FsHarness fs(StoreOptions(), FillStore);
  fs.Read(fs.Find(fs.Find(fs.Find(1, "1-app"), "bin"), "tool"), 0, 10);
  EXPECT_EQ(fs.counter("nodes"), 4U);
  EXPECT_EQ(fs.counter("open_files"), 1U);
  ASSERT_TRUE(fs.Stop());
  EXPECT_EQ(fs.counter("nodes"), 1U);
  EXPECT_EQ(fs.counter("open_files"), 0U);
  fs.Start();
  EXPECT_EQ(fs.Lookup(1, "1-app").error, 0);
}

// --- Store mode ----------------------------------------------------------------------------------

TEST(FsStore, EverythingBelowTheRootIsForEver) {
  FsHarness fs(StoreOptions(), FillStore);
  constexpr uint64_t kYear = 365 * 24 * 3600;
  const auto app = fs.Lookup(1, "1-app").As<fuse_entry_out>();
  EXPECT_GT(app.entry_valid, kYear);
  EXPECT_GT(app.attr_valid, kYear);
  EXPECT_EQ(fs.Lookup(app.nodeid, "none").As<fuse_entry_out>().nodeid, 0U);
  EXPECT_GT(fs.Lookup(app.nodeid, "none").As<fuse_entry_out>().entry_valid, kYear);
  EXPECT_GT(fs.Do(FUSE_GETATTR, app.nodeid, Bytes(16)).As<fuse_attr_out>().attr_valid, kYear);
  // Names can appear in the root.
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

TEST(FsStore, OnlyTheClosureIsThere) {
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
  EXPECT_EQ(fs.Lookup(app, std::string(255, 'x')).As<fuse_entry_out>().nodeid, 0U);  // not there
  // Any other bytes are a name.
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

// Nothing but lookups from the root makes nodes: no link, no number that a file handle of the guest
// would hold (open_by_handle_at asks for a node's "." and ".." by LOOKUP).
TEST(FsStore, LinksAndFileHandlesLeadNowhere) {
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

TEST(FsStore, ForgedNodesAreNobodys) {
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

TEST(FsStore, StaleNodesAreNobodys) {
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

TEST(FsStore, ForgettingInBatches) {
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
  // One that promises more than it has.
  batch = Join(BytesOf(fuse_batch_forget_in{1000, 0}), BytesOf(fuse_forget_one{bin, UINT64_MAX}));
  fs.Send(FsHarness::kRequests, fs.Request(FUSE_BATCH_FORGET, 0, batch));
  EXPECT_EQ(fs.counter("nodes"), 2U);
  fs.Send(FsHarness::kHighPriority, fs.Request(FUSE_INTERRUPT, 0, Bytes(8)));
}

TEST(FsStore, ReadDirPlusHandsNodesOut) {
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
  // An entry that does not fit is no end.
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

TEST(FsStore, CountsWhatIsAskedBelowTheRoot) {
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

TEST(FsStore, ClosureGrows) {
  FsHarness fs(StoreOptions(), FillStore);
  EXPECT_EQ(fs.Lookup(1, "2-secret").error, ENOENT);
  fs.host().Write("closure", "/nix/store/2-secret\n");
  ASSERT_TRUE(fs.tree().RereadClosure().ok());
  EXPECT_EQ(fs.Lookup(1, "2-secret").error, 0);
  EXPECT_EQ(fs.Lookup(1, "1-app").error, 0);
}

// --- Other caching -------------------------------------------------------------------------------

TEST(FsCaching, AutoAsksAgain) {
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
  EXPECT_EQ(open.As<fuse_open_out>().open_flags, 0U);  // what is cached of it is dropped
  EXPECT_EQ(fs.Do(FUSE_RELEASE, big, Bytes(24)).error, 0);
  EXPECT_EQ(fs.Do(FUSE_OPENDIR, app.nodeid, Bytes(8)).error, 0);
  EXPECT_EQ(fs.Do(FUSE_RELEASEDIR, app.nodeid, Bytes(24)).error, 0);
  EXPECT_EQ(fs.Do(FUSE_OPEN, fs.Find(app.nodeid, "link"), Bytes(8)).error, EACCES);
}

// As the lower layer of an overlay they say which directories are opaque.
TEST(FsCaching, UserAttributesAreServedWhereThereIsNoClosure) {
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
  // Of a closure Linux does not ask again.
  FsHarness fs(StoreOptions(), fill);
  EXPECT_EQ(fs.Do(FUSE_GETXATTR, fs.Find(1, "1-app"), opaque).error, ENOSYS);
}

// Real time, but later.
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
    // Rewritten with the same size, right after it was read.
    fs.host().Write("root/1-app/big", RandomText(300'000));
    EXPECT_EQ(open(), 0U);
    EXPECT_EQ(open(), uint32_t{FOPEN_KEEP_CACHE});
  }
}

TEST(FsCaching, WhatChangedJustBeforeItWasReadIsReadAgain) {
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

TEST(FsCaching, WhatCannotBeWrittenIsNotOpenedForThat) {
  for (const FsCache cache : {FsCache::kAuto, FsCache::kNever}) {
    FsHarness fs({.cache = cache}, FillStore);
    const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
    for (const uint32_t flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC}) {
      EXPECT_EQ(fs.Do(FUSE_OPEN, big, BytesOf(fuse_open_in{flags, 0})).error, EROFS) << flags;
    }
    EXPECT_EQ(fs.Do(FUSE_OPEN, big, BytesOf(fuse_open_in{O_RDONLY | O_NOATIME, 0})).error, 0);
  }
}

TEST(FsCaching, NeverKeepsNothing) {
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
    // By another number, or of another file, it is nobody's.
    EXPECT_EQ(fs.Read(tool, 0, 100, handle + 1).error, EBADF);
    EXPECT_EQ(fs.Read(directory, 0, 100, handle).error, EBADF);
    fuse_release_in release = {};
    release.fh = handle;
    EXPECT_EQ(fs.Do(FUSE_RELEASE, tool, BytesOf(release)).error, 0);
    EXPECT_EQ(fs.counter("open_files"), 0U);
    EXPECT_EQ(fs.Do(FUSE_GETATTR, tool, Bytes(16)).error, ESTALE);
  }
}

TEST(FsCaching, OpenFilesAreBoundedWhereTheyStayOpen) {
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

TEST(FsCaching, OpeningWhatCannotBeWrittenLeavesSetIdBitsAlone) {
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

// --- Data path -----------------------------------------------------------------------------------

TEST(FsQueue, Fs_2_7_4_1_FramingMeansNothing) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  const std::string content = RandomText(300'000);
  for (const uint32_t first : {1u, 7u, 15u, 16u, 17u, 100u}) {
    const Bytes request = fs.Request(FUSE_READ, big, FsHarness::ReadArguments(500, 40));
    auto builder = fs.driver().Chain();
    builder.Readable(std::span(request).first(13)).Readable(std::span(request).subspan(13));
    builder.Writable(first).Writable(5).Writable(3).Writable(64);
    fs.driver().EnableInterrupts();
    const uint16_t head = builder.Offer();
    fs.harness().Publish(FsHarness::kRequests);
    EXPECT_EQ(fs.Take(head).Text(), content.substr(500, 40)) << first;
    // What is behind the answer is not touched.
    const Bytes all = fs.driver().WritableBytes(head);
    EXPECT_EQ(Bytes(all.begin() + 16 + 40, all.end()), Bytes(all.size() - 56, 0xEE));
  }
}

TEST(FsQueue, WithoutRoomForAnAnswerNothingIsDone) {
  FsHarness fs(StoreOptions(), FillStore);
  Bytes name = {'1', '-', 'a', 'p', 'p', 0};
  for (const uint32_t room : {0u, 1u, 15u}) {
    auto builder = fs.driver().Chain();
    builder.Readable(fs.Request(FUSE_LOOKUP, 1, name));
    if (room > 0) builder.Writable(room);
    fs.driver().EnableInterrupts();
    builder.Offer();
    fs.harness().Publish(FsHarness::kRequests);
    EXPECT_EQ(fs.driver().PopUsed()->len, 0U);
  }
  EXPECT_EQ(fs.counter("requests_without_room"), 3U);
  for (const uint32_t room : {0u, 1u, 127u}) {
    EXPECT_EQ(fs.Do(FUSE_LOOKUP, 1, name, room).error, EINVAL);
  }
  EXPECT_EQ(fs.counter("nodes"), 1U);
  EXPECT_EQ(fs.Do(FUSE_GETATTR, 1, Bytes(16), 103).error, EINVAL);
}

TEST(FsQueue, ShortReadsGoOn) {
  FsHarness::Options options = StoreOptions();
  options.harness.loop = {.seed = 5, .short_transfer_percent = 80, .short_transfer_unit_bytes = 1};
  FsHarness fs(options, FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  EXPECT_EQ(fs.Read(big, 0, 310'000).Text(), RandomText(300'000));
  EXPECT_GT(fs.counter("short_transfers"), 0U);
}

TEST(FsQueue, WhatTheHostHasCachedIsReadAtOnce) {
  for (const FsCache cache : {FsCache::kAlways, FsCache::kAuto}) {
    FsHarness fs({.harness = {.loop = {.cached_percent = 100}, .queue_size = 64}, .cache = cache},
                 FillStore);
    const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
    const uint64_t handle =
        cache == FsCache::kAuto ? fs.Do(FUSE_OPEN, big, Bytes(8)).As<fuse_open_out>().fh : 0;
    const std::string text = RandomText(300'000);
    auto reads = [&fs, before = size_t{0}]() mutable {
      return fs.loop().cached_reads() - std::exchange(before, fs.loop().cached_reads());
    };
    EXPECT_EQ(fs.Read(big, 0, 4096, handle).Text(), text.substr(0, 4096));
    EXPECT_EQ(reads(), 1U);
    // Where nothing changes the end is known, and not asked for.
    EXPECT_EQ(fs.Read(big, 299'000, 4096, handle).Text(), text.substr(299'000));
    EXPECT_EQ(reads(), cache == FsCache::kAlways ? 1U : 2U);
    EXPECT_EQ(fs.Read(big, 300'000, 4096, handle).Text(), "");
    EXPECT_EQ(reads(), 1U);
    for (const auto& event : fs.loop().events()) {
      EXPECT_NE(event.kind, base::FakeEventLoop::Kind::kRead);
    }
    EXPECT_EQ(fs.counter("read_bytes"), 4096U + 1000U);
  }
}

TEST(FsQueue, WhatIsCachedInPartIsReadToItsEnd) {
  FsHarness fs({.harness = {.loop = {.seed = 7,
                                     .short_transfer_percent = 60,
                                     .short_transfer_unit_bytes = 1,
                                     .cached_percent = 50},
                            .queue_size = 64}},
               FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  const std::string text = RandomText(300'000);
  for (uint32_t at = 0; at < 300'000; at += 4096) {
    EXPECT_EQ(fs.Read(big, at, 4096).Text(), text.substr(at, 4096)) << at;
  }
  EXPECT_GT(fs.loop().cached_reads(), 0U);
  EXPECT_GT(fs.loop().events().size(), 0U);
}

TEST(FsQueue, HostErrorsReachTheGuest) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  fs.loop().FailNext(base::FakeEventLoop::Kind::kRead, EIO);
  EXPECT_EQ(fs.Read(big, 0, 100).error, EIO);
  fs.loop().FailNext(base::FakeEventLoop::Kind::kRead, EINTR, 3);
  EXPECT_EQ(fs.Read(big, 0, 100).error, 0);
  fs.loop().FailNext(base::FakeEventLoop::Kind::kRead, EAGAIN, 1000);
  EXPECT_EQ(fs.Read(big, 0, 100).error, EAGAIN);
}

TEST(FsQueue, ManyReadsAreInFlightAndMoreFilesThanMayBeOpen) {
  FsHarness::Options options = StoreOptions();
  options.harness.loop.seed = 9;
  options.max_open_files = 2;
  FsHarness fs(options, FillStore);
  const uint64_t many = fs.Find(fs.Find(1, "1-app"), "many");
  std::vector<uint64_t> files(20);
  for (size_t i = 0; i < 20; ++i) files[i] = fs.Find(many, absl::StrCat("file-", i));
  fs.driver().EnableInterrupts();
  for (const uint64_t file : files) {
    fs.driver()
        .Chain()
        .Readable(fs.Request(FUSE_READ, file, FsHarness::ReadArguments(0, 10)))
        .Writable(26)
        .Offer();
  }
  fs.harness().Publish(FsHarness::kRequests);
  int ended = 0;
  while (const auto used = fs.driver().PopUsed()) {
    EXPECT_EQ(used->len, 17U);
    ++ended;
  }
  EXPECT_EQ(ended, 20);
  EXPECT_LE(fs.counter("open_files"), 2U);
}

TEST(FsQueue, ReadsInFlightHoldNoMoreFilesThanMayBeOpen) {
  FsHarness::Options options = StoreOptions();
  options.max_open_files = 8;
  FsHarness fs(options, FillStore);
  const uint64_t many = fs.Find(fs.Find(1, "1-app"), "many");
  std::vector<uint64_t> files(20);
  for (size_t i = 0; i < 20; ++i) files[i] = fs.Find(many, absl::StrCat("file-", i));
  for (const uint16_t queue : {FsHarness::kHighPriority, FsHarness::kRequests}) {
    fs.driver(queue).EnableInterrupts();
    for (const uint64_t file : files) {
      fs.driver(queue)
          .Chain()
          .Readable(fs.Request(FUSE_READ, file, FsHarness::ReadArguments(0, 10)))
          .Writable(26)
          .Offer();
    }
    if (fs.driver(queue).Publish()) fs.harness().Kick(queue);
  }
  fs.loop().RunTurn();
  EXPECT_GT(fs.loop().in_flight(base::FakeEventLoop::Kind::kRead), 0U);
  EXPECT_LE(fs.loop().in_flight(base::FakeEventLoop::Kind::kRead), 8U);
  EXPECT_LE(fs.counter("open_files"), 8U);
  fs.loop().RunUntilIdle();
  for (const uint16_t queue : {FsHarness::kHighPriority, FsHarness::kRequests}) {
    int ended = 0;
    while (fs.driver(queue).PopUsed()) ++ended;
    EXPECT_EQ(ended, 20);
  }
}

TEST(FsQueue, StopsWithReadsInFlight) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  fs.driver().EnableInterrupts();
  for (int i = 0; i < 3; ++i) {
    fs.driver()
        .Chain()
        .Readable(fs.Request(FUSE_READ, big, FsHarness::ReadArguments(0, 100'000)))
        .Writable(100'016)
        .Offer();
  }
  // The forget arrives while they are under way.
  if (fs.driver().Publish()) fs.harness().Kick(FsHarness::kRequests);
  fs.loop().RunTurn();
  EXPECT_GT(fs.loop().in_flight(base::FakeEventLoop::Kind::kRead), 0U);
  fs.device().Pause([] {});
  fs.device().Resume();
  EXPECT_TRUE(fs.Stop());
  EXPECT_EQ(fs.loop().in_flight(), 0U);
  EXPECT_EQ(fs.counter("open_files"), 0U);
  fs.Start();
  EXPECT_EQ(fs.Lookup(1, "1-app").error, 0);
}

TEST(FsQueue, ForgettingAFileBeingReadIsHarmless) {
  FsHarness fs(StoreOptions(), FillStore);
  const uint64_t big = fs.Find(fs.Find(1, "1-app"), "big");
  fs.driver().EnableInterrupts();
  const uint16_t head = fs.driver()
                            .Chain()
                            .Readable(fs.Request(FUSE_READ, big, FsHarness::ReadArguments(0, 64)))
                            .Writable(80)
                            .Offer();
  const uint16_t forget = fs.driver()
                              .Chain()
                              .Readable(fs.Request(FUSE_FORGET, big, BytesOf(fuse_forget_in{1})))
                              .Offer();
  fs.harness().Publish(FsHarness::kRequests);
  std::set<uint32_t> ended;
  while (const auto used = fs.driver().PopUsed()) ended.insert(used->id);
  EXPECT_THAT(ended, UnorderedElementsAre(head, forget));
  EXPECT_EQ(fs.counter("open_files"), 0U);
  EXPECT_EQ(fs.counter("nodes"), 2U);
}

}  // namespace
}  // namespace virtio
