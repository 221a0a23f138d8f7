// SETUPMAPPING and REMOVEMAPPING through the device, from correct and from hostile drivers.

#include <errno.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>

#include "virtio/fs/testing/fs_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t kRange = DaxWindow::kRangeBytes;
constexpr uint64_t kWindow = 8 * kRange;
constexpr uint64_t kRead = FUSE_SETUPMAPPING_FLAG_READ;

void Fill(const TemporaryTree& host) {
  host.Write("root/1-a/big", "big" + std::string(2 * kRange, 'b'));
  host.Write("root/1-a/just", std::string(kMinDaxFileBytes, 'j'));
  host.Write("root/1-a/small", std::string(kMinDaxFileBytes - 1, 's'));
  host.Link("big", "root/1-a/link");
  host.Write("root/2-secret/key", "secret" + std::string(kRange, 'x'));
}

FsHarness::Options WithWindow() {
  return {.closure = "/nix/store/1-a\n", .dax_window_bytes = kWindow};
}

Bytes Mapping(uint64_t file_offset, uint64_t window_offset, uint64_t bytes,
              uint64_t flags = kRead) {
  fuse_setupmapping_in in = {};
  in.fh = ~uint64_t{0};
  in.foffset = file_offset;
  in.len = bytes;
  in.flags = flags;
  in.moffset = window_offset;
  return BytesOf(in);
}

Bytes Removal(std::initializer_list<fuse_removemapping_one> ranges) {
  Bytes bytes = BytesOf(fuse_removemapping_in{static_cast<uint32_t>(ranges.size())});
  for (const fuse_removemapping_one& one : ranges) bytes = Join(bytes, BytesOf(one));
  return bytes;
}

class FsDax : public testing::Test {
 protected:
  explicit FsDax(FsHarness::Options options = WithWindow()) : fs(std::move(options), Fill) {}

  std::string InWindow(uint64_t offset, size_t bytes) {
    const SharedMemoryRegion& region = fs.device().shared_memory()[0];
    return std::string(reinterpret_cast<const char*>(region.host) + offset, bytes);
  }
  uint64_t Node(absl::string_view name) { return fs.Find(fs.Find(FUSE_ROOT_ID, "1-a"), name); }
  int Map(uint64_t node, const Bytes& arguments) {
    return fs.Do(FUSE_SETUPMAPPING, node, arguments).error;
  }
  int Remove(const Bytes& arguments) {
    return fs.Do(FUSE_REMOVEMAPPING, FUSE_ROOT_ID, arguments).error;
  }

  FsHarness fs;
};

TEST_F(FsDax, Fs_5_11_6_4_OneSharedMemoryRegionWithId0) {
  ASSERT_EQ(fs.device().shared_memory().size(), 1U);
  EXPECT_EQ(fs.device().shared_memory()[0].id, 0);
  EXPECT_EQ(fs.device().shared_memory()[0].offset, 0U);
  EXPECT_EQ(fs.device().shared_memory()[0].length, kWindow);
}

TEST_F(FsDax, Fs_5_11_6_4_MappedRangesShowTheFile) {
  const uint64_t big = Node("big");
  EXPECT_EQ(InWindow(0, 3), std::string(3, '\0'));
  ASSERT_EQ(Map(big, Mapping(0, kRange, kRange)), 0);
  EXPECT_EQ(InWindow(kRange, 4), "bigb");
  ASSERT_EQ(Map(big, Mapping(2 * kRange, 0, kRange)), 0);
  EXPECT_EQ(InWindow(0, 5), std::string("bbb\0\0", 5));
  EXPECT_EQ(fs.counter("dax_ranges"), 2U);
  EXPECT_EQ(fs.counter("setupmapping"), 2U);
  ASSERT_EQ(Remove(Removal({{.moffset = kRange, .len = kRange}, {.moffset = 0, .len = kRange}})),
            0);
  EXPECT_EQ(InWindow(0, 3) + InWindow(kRange, 3), std::string(6, '\0'));
  EXPECT_EQ(fs.counter("dax_ranges"), 0U);
}

TEST_F(FsDax, InitOffersAlignmentAndPerInodeDax) {
  const auto out =
      fs.Do(FUSE_INIT, 0,
            Join(BytesOf(FuseInitStart{7, 38, 1 << 20, ~0U}), BytesOf(kHasInodeDax2 | 0xF0)))
          .As<fuse_init_out>();
  EXPECT_NE(out.flags & FUSE_MAP_ALIGNMENT, 0U);
  EXPECT_NE(out.flags & FUSE_INIT_EXT, 0U);
  EXPECT_EQ(out.flags2, kHasInodeDax2);
  EXPECT_EQ(out.map_alignment, 21);
  EXPECT_EQ(out.minor, 36U);
  // The answer has no flags that the guest does not know.
  const auto plain = fs.Init(7, 31, FUSE_ASYNC_READ).As<fuse_init_out>();
  EXPECT_EQ(plain.flags, uint32_t{FUSE_ASYNC_READ});
  EXPECT_EQ(plain.flags2, 0U);
  EXPECT_EQ(plain.minor, 31U);
}

TEST_F(FsDax, OnlyLargeFilesAreMarked) {
  const auto flags = [this](absl::string_view name) {
    const uint64_t node = Node(name);
    const uint32_t found =
        fs.Lookup(fs.Find(FUSE_ROOT_ID, "1-a"), name).As<fuse_entry_out>().attr.flags;
    EXPECT_EQ(fs.Do(FUSE_GETATTR, node, Bytes(16)).As<fuse_attr_out>().attr.flags, found);
    return found;
  };
  EXPECT_EQ(flags("big"), uint32_t{FUSE_ATTR_DAX});
  EXPECT_EQ(flags("just"), uint32_t{FUSE_ATTR_DAX});
  EXPECT_EQ(flags("small"), 0U);
  EXPECT_EQ(flags("link"), 0U);
  EXPECT_EQ(fs.Lookup(FUSE_ROOT_ID, "1-a").As<fuse_entry_out>().attr.flags, 0U);
}

TEST_F(FsDax, ASmallFileIsMappedIfTheGuestAsks) {  // mount -o dax=always
  ASSERT_EQ(Map(Node("small"), Mapping(0, 0, kRange)), 0);
  EXPECT_EQ(InWindow(kMinDaxFileBytes - 2, 2), std::string("s\0", 2));
}

TEST_F(FsDax, UnknownNodesAreNotMapped) {
  const uint64_t big = Node("big");
  for (const uint64_t node : {uint64_t{0}, big + 1, big << 32, ~uint64_t{0}}) {
    EXPECT_EQ(Map(node, Mapping(0, 0, kRange)), ESTALE) << node;
  }
  EXPECT_EQ(fs.Lookup(FUSE_ROOT_ID, "2-secret").error, ENOENT);
  EXPECT_EQ(Map(FUSE_ROOT_ID, Mapping(0, 0, kRange)), EISDIR);
  EXPECT_EQ(Map(Node("link"), Mapping(0, 0, kRange)), EACCES);
  fs.Forget(big, 1);
  EXPECT_EQ(Map(big, Mapping(0, 0, kRange)), ESTALE);
  EXPECT_EQ(fs.counter("dax_ranges"), 0U);
}

TEST_F(FsDax, AMappingOutlivesItsNode) {
  const uint64_t big = Node("big");
  ASSERT_EQ(Map(big, Mapping(0, 0, kRange)), 0);
  fs.Forget(big, 1);
  EXPECT_EQ(InWindow(0, 3), "big");
}

TEST_F(FsDax, MappingsForWritingAreRefused) {
  const uint64_t big = Node("big");
  EXPECT_EQ(Map(big, Mapping(0, 0, kRange, FUSE_SETUPMAPPING_FLAG_WRITE)), EROFS);
  EXPECT_EQ(Map(big, Mapping(0, 0, kRange, kRead | FUSE_SETUPMAPPING_FLAG_WRITE)), EROFS);
  EXPECT_EQ(Map(big, Mapping(0, 0, kRange, 0)), EINVAL);
  EXPECT_EQ(Map(big, Mapping(0, 0, kRange, kRead | 4)), EINVAL);
}

TEST_F(FsDax, HostileRangesAreRefused) {
  const uint64_t big = Node("big");
  ASSERT_EQ(Map(big, Mapping(0, 0, kRange)), 0);
  const uint64_t wrapping = ~uint64_t{0} - kRange + 1;
  for (const uint64_t bad : {uint64_t{1}, uint64_t{4096}, kWindow + kRange, wrapping}) {
    EXPECT_EQ(Map(big, Mapping(bad, 0, kRange)), EINVAL) << bad;
    EXPECT_EQ(Map(big, Mapping(0, bad, kRange)), EINVAL) << bad;
    EXPECT_EQ(Map(big, Mapping(0, kRange, bad)), EINVAL) << bad;
    EXPECT_EQ(Remove(Removal({{.moffset = bad, .len = kRange}})), EINVAL) << bad;
    EXPECT_EQ(Remove(Removal({{.moffset = 0, .len = bad}})), EINVAL) << bad;
  }
  EXPECT_EQ(InWindow(0, 3), "big");
  // Ranges before an invalid range are removed.
  EXPECT_EQ(Remove(Removal({{.moffset = 0, .len = kRange}, {.moffset = 1, .len = 1}})), EINVAL);
  EXPECT_EQ(fs.counter("dax_ranges"), 0U);
}

TEST_F(FsDax, RemovalsWithAWrongCountAreRefused) {
  const Bytes one = BytesOf(fuse_removemapping_one{.moffset = 0, .len = kRange});
  EXPECT_EQ(Remove(BytesOf(fuse_removemapping_in{0})), 0);
  EXPECT_EQ(Remove(Join(BytesOf(fuse_removemapping_in{2}), one)), EINVAL);
  EXPECT_EQ(Remove(BytesOf(fuse_removemapping_in{kMaxRemoveMappings + 1})), EINVAL);
  EXPECT_EQ(Remove(BytesOf(fuse_removemapping_in{~0U})), EINVAL);
  EXPECT_EQ(Remove({}), EINVAL);
  Bytes many = BytesOf(fuse_removemapping_in{kMaxRemoveMappings});
  for (uint32_t i = 0; i < kMaxRemoveMappings; ++i) many = Join(many, one);
  EXPECT_EQ(Remove(many), 0);
}

TEST_F(FsDax, ThousandsOfMappingsTakeNoFilesAndOnlyTheirRanges) {
  const uint64_t big = Node("big");
  for (uint64_t i = 0; i < 3000; ++i) {
    ASSERT_EQ(Map(big, Mapping(i % 3 * kRange, i % 8 * kRange, kRange)), 0);
  }
  EXPECT_EQ(fs.counter("dax_ranges"), 8U);
  EXPECT_EQ(fs.counter("open_files"), 0U);
}

TEST_F(FsDax, TheEndOfASessionRemovesAllMappings) {
  const auto end = [this](auto how) {
    ASSERT_EQ(Map(Node("big"), Mapping(0, 0, kRange)), 0);
    how();
    EXPECT_EQ(InWindow(0, 3), std::string(3, '\0'));
    EXPECT_EQ(fs.counter("dax_ranges"), 0U);
  };
  end([this] { EXPECT_EQ(fs.Do(FUSE_DESTROY, 0).error, 0); });
  EXPECT_EQ(Remove(Removal({{.moffset = 0, .len = kRange}})), EIO);
  EXPECT_EQ(Map(FUSE_ROOT_ID, Mapping(0, 0, kRange)), EIO);
  fs.Init();
  end([this] { fs.Init(); });
  end([this] {
    ASSERT_TRUE(fs.Stop());
    fs.Start();
  });
}

// A reset of the queues removes neither mappings nor their watches.
TEST_F(FsDax, MappingsAreWatchedAfterResetsOfAllRings) {
  ASSERT_EQ(Map(Node("big"), Mapping(0, 0, kRange)), 0);
  DeviceHarness& harness = fs.harness();
  for (const uint16_t queue : {FsHarness::kHighPriority, FsHarness::kRequests}) {
    ASSERT_TRUE(harness.StopQueue(fs.device(), queue));
  }
  EXPECT_EQ(fs.loop().in_flight(), 0U);
  EXPECT_EQ(InWindow(0, 3), "big");
  ASSERT_EQ(truncate(fs.host().Path("root/1-a/big").c_str(), 0), 0);
  harness.StartQueue(fs.device(), FsHarness::kHighPriority);
  fs.loop().RunUntilIdle();
  EXPECT_EQ(fs.counter("dax_truncated"), 1U);
  EXPECT_EQ(InWindow(0, 3), std::string(3, '\0'));
  harness.StartQueue(fs.device(), FsHarness::kRequests);
  EXPECT_EQ(Map(Node("just"), Mapping(0, 0, kRange)), 0);
}

class FsWithoutDax : public FsDax {
 protected:
  FsWithoutDax() : FsDax({.closure = "/nix/store/1-a\n"}) {}
};

TEST_F(FsWithoutDax, ThereIsNoWindow) {
  EXPECT_TRUE(fs.device().shared_memory().empty());
  EXPECT_EQ(fs.Init().As<fuse_init_out>().flags & FUSE_MAP_ALIGNMENT, 0U);
  EXPECT_EQ(Map(Node("big"), Mapping(0, 0, kRange)), ENOSYS);
  EXPECT_EQ(Remove(Removal({{.moffset = 0, .len = kRange}})), ENOSYS);
  EXPECT_EQ(fs.Lookup(fs.Find(FUSE_ROOT_ID, "1-a"), "big").As<fuse_entry_out>().attr.flags, 0U);
}

}  // namespace
}  // namespace virtio
