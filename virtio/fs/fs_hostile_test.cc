// What a malicious driver does to the queues of a file system device.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fakes/hostile_driver.h"
#include "virtio/fs/testing/fs_fixtures.h"
#include "virtio/host_tree/testing/host_race_fixtures.h"

namespace virtio {
namespace {

struct Attacked {
  uint16_t queue;
  bool writable = false;
};

class FsHostileTest : public testing::TestWithParam<Attacked> {
 protected:
  // Makes a new device in place of the last one.
  void Make(uint64_t seed = 0) {
    fs_ = nullptr;
    handle_ = 0;
    FsHarness::Options options;
    options.harness = {.loop = {.seed = seed}};
    options.writable = GetParam().writable;
    if (options.writable) options.cache = FsCache::kAuto;
    fs_ = std::make_unique<FsHarness>(
        options, [](const TemporaryTree& host) { host.Write("root/file", "content"); });
  }
  HostileTarget Target() {
    return {.harness = fs_->harness(),
            .device = fs_->device(),
            .queue = GetParam().queue,
            .writable = true,
            .offer_good =
                [this] {
                  fs_->driver(GetParam().queue).Chain().Readable(Good()).Writable(116).Offer();
                },
            .expect_good =
                [this] {
                  if (GetParam().queue == FsHarness::kHighPriority) {
                    fs_->Send(GetParam().queue, fs_->Request(FUSE_FORGET, 1, Bytes(8)));
                  }
                  EXPECT_EQ(fs_->Init().error, 0);
                  file_ = fs_->Find(1, "file");
                  if (GetParam().writable) Open();
                  EXPECT_EQ(fs_->Read(file_, 0, 100, handle_).Text(), "content");
                }};
  }
  // Returns a read, or a write that changes nothing.
  Bytes Good() {
    if (!GetParam().writable) {
      return fs_->Request(FUSE_READ, file_, FsHarness::ReadArguments(0, 100));
    }
    fuse_write_in write = {};
    write.fh = handle_;
    write.size = 7;
    const absl::string_view content = "content";
    return fs_->Request(FUSE_WRITE, file_,
                        Join(BytesOf(write), Bytes(content.begin(), content.end())));
  }
  void Open() {
    const auto opened = fs_->Do(FUSE_OPEN, file_, BytesOf(fuse_open_in{O_RDWR, 0}));
    ASSERT_EQ(opened.error, 0);
    handle_ = opened.As<fuse_open_out>().fh;
  }

  std::unique_ptr<FsHarness> fs_;
  uint64_t file_ = 1;
  uint64_t handle_ = 0;
};

TEST_P(FsHostileTest, EveryAttackEndsInAResetOrAnAnswer) {
  for (const Attack& attack : Attacks()) {
    Make();
    RunAttack(attack, Target(), fs_->device().features());
  }
}

TEST_P(FsHostileTest, ResetsInEveryState) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Make(seed);
    const HostileTarget target = Target();
    target.expect_good();
    ResetInEveryState(target, fs_->device().features());
  }
}

TEST_P(FsHostileTest, ServesRequestsWithAnyFeatures) {
  Make();
  ExpectServiceWithAnyFeatures(Target());
}

// Requests change nothing outside the share, whatever the host does meanwhile.
TEST(FsRace, NothingOutsideChangesWhileTheHostSwapsLinks) {
  FsHarness fs({.cache = FsCache::kNever, .writable = true}, [](const TemporaryTree& host) {
    for (const char* directory : {"secret", "root/dir"}) {
      host.Write(absl::StrCat(directory, "/a"), "content");
      host.Directory(absl::StrCat(directory, "/empty"));
    }
    host.Link("../secret", "root/link");
    host.Link("../../secret/a", "root/dir/b");
  });
  const std::string before = DescribeOutside(fs.host());
  int made = 0;
  {
    const NameSwapper swapper(fs.host(), {{"dir", "link"}, {"dir/a", "dir/b"}});
    for (int turn = 0; turn < 100 || (made == 0 && turn < 10'000); ++turn) {
      const auto directory = fs.Lookup(1, turn % 2 == 0 ? "dir" : "link");
      if (directory.error != 0) continue;
      const uint64_t node = directory.As<fuse_entry_out>().nodeid;
      const auto file = fs.Lookup(node, turn % 4 < 2 ? "a" : "b");
      if (file.error != 0) continue;
      const uint64_t file_node = file.As<fuse_entry_out>().nodeid;
      const auto open = fs.Do(FUSE_OPEN, file_node, BytesOf(fuse_open_in{O_RDWR | O_TRUNC, 0}));
      const uint64_t handle = open.error == 0 ? open.As<fuse_open_out>().fh : 0;
      for (const auto& [opcode, target, arguments] : AllChanges(node, file_node, handle)) {
        made += fs.Do(opcode, target, arguments).error == 0 ? 1 : 0;
      }
      fs.Init();  // makes the device forget all nodes
    }
  }
  EXPECT_EQ(DescribeOutside(fs.host()), before);
  EXPECT_GT(made, 0);
}

INSTANTIATE_TEST_SUITE_P(Queues, FsHostileTest,
                         testing::Values(Attacked{FsHarness::kHighPriority},
                                         Attacked{FsHarness::kRequests},
                                         Attacked{FsHarness::kRequests, true}));

}  // namespace
}  // namespace virtio
