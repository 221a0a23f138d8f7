#include "virtio/fs/fs_device.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "virtio/fs/testing/fs_fixtures.h"

namespace virtio {
namespace {

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

TEST(FsDevice, InitOffersWhatAnImmutableStoreAllows) {
  FsHarness fs(StoreOptions(), FillStore);
  const auto init = fs.Init().As<fuse_init_out>();
  EXPECT_EQ(init.major, 7U);
  EXPECT_GE(init.minor, 31U);
  EXPECT_EQ(init.max_pages, 256U);
  EXPECT_EQ(init.flags, FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS |
                            FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_MAX_PAGES |
                            FUSE_BIG_WRITES | FUSE_CACHE_SYMLINKS | FUSE_EXPLICIT_INVAL_DATA |
                            FUSE_INIT_EXT);
  EXPECT_EQ(fs.Init(7, 31, 0).As<fuse_init_out>().flags, 0U);  // only flags that the guest has sent
  EXPECT_EQ(fs.Init(8, 1).As<fuse_init_out>().major, 7U);      // the guest asks again
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

// Linux returns from mount(2) before the reply arrives, and then lowers read_ahead_kb to the reply.
// A reply that repeats the guest's own number would undo what a script has written to read_ahead_kb
// meanwhile.
TEST(FsDevice, ReadAheadThatIsRaisedBeforeTheReplyIsKept) {
  FsHarness fs(StoreOptions(), FillStore);
  for (const uint32_t guests : {0U, 4096U, 128U << 10, 1U << 20, UINT32_MAX}) {
    const Bytes arguments = BytesOf(FuseInitStart{7, 38, guests, 0xffffffff});
    EXPECT_EQ(fs.Do(FUSE_INIT, 0, arguments).As<fuse_init_out>().max_readahead, 1U << 20) << guests;
  }
}

TEST(FsDevice, RequestsFailBeforeInitAndAfterDestroy) {
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

}  // namespace
}  // namespace virtio
