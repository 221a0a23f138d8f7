// What a malicious driver does to the queue of a 9P device.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fakes/hostile_driver.h"
#include "virtio/host_tree/testing/host_race_fixtures.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

// The parameter says whether the share is writable.
class P9HostileTest : public testing::TestWithParam<bool> {
 protected:
  // Makes a new device in place of the last one.
  void Make(uint64_t seed = 0) {
    p9_ = nullptr;
    P9Harness::Options options;
    options.harness = {.loop = {.seed = seed}};
    options.writable = GetParam();
    p9_ = std::make_unique<P9Harness>(
        options, [](const TemporaryTree& host) { host.Write("root/file", "content"); });
  }
  HostileTarget Target() {
    return {.harness = p9_->harness(),
            .device = p9_->device(),
            .queue = 0,
            .writable = true,
            // Begins a new session, whatever state the last one is in, and reads or writes.
            .offer_good =
                [this] {
                  p9_->Offer(kP9Version, 1, P9Bytes().Number(8192U).String(kP9Dialect), 64);
                  OfferTransfer();
                },
            .expect_good =
                [this] {
                  EXPECT_EQ(p9_->Version().error, 0);
                  EXPECT_EQ(p9_->Attach(1).error, 0);
                  EXPECT_EQ(p9_->Walked(1, 2, {"file"}), 1);
                  EXPECT_EQ(p9_->Open(2, GetParam() ? O_RDWR : O_RDONLY).error, 0);
                  EXPECT_EQ(p9_->ReadText(2, 0, 100), "content");
                }};
  }
  // Offers a read, or a write that changes nothing.
  void OfferTransfer() {
    if (GetParam()) {
      p9_->Offer(kP9Write, 2, P9Harness::WriteArguments(2, 0, "content"), 64);
    } else {
      p9_->Offer(kP9Read, 2, P9Harness::ReadArguments(2, 0, 100), 104);
    }
  }

  std::unique_ptr<P9Harness> p9_;
};

// Begins a session and tries every change in a directory and of a file in it. Returns how many
// changes succeeded.
int ChangeAll(P9Harness& p9, const std::string& directory, const std::string& name) {
  constexpr uint32_t kDirectory = 10;
  constexpr uint32_t kFile = 11;
  constexpr uint32_t kOpen = 12;
  constexpr uint32_t kNew = 13;
  EXPECT_EQ(p9.Version().error, 0);
  EXPECT_EQ(p9.Attach(P9Harness::kRoot).error, 0);
  int made = 0;
  const auto count = [&made](const P9Harness::Result& result) {
    made += result.error == 0 ? 1 : 0;
  };
  p9.Walk(P9Harness::kRoot, kDirectory, {directory});
  p9.Walk(kDirectory, kFile, {name});
  p9.Walk(kDirectory, kOpen, {name});
  p9.Walk(kDirectory, kNew, {});
  count(p9.Open(kOpen, O_RDWR | O_TRUNC));
  count(p9.Do(kP9Write, P9Harness::WriteArguments(kOpen, 0, "guest")));
  count(p9.SetAttributes(kFile, {.valid = kP9SetMode | kP9SetSize, .mode = 0600, .size_bytes = 3}));
  count(p9.Create(kNew, "b", O_RDWR | O_TRUNC, 0644));
  count(p9.Do(kP9Write, P9Harness::WriteArguments(kNew, 0, "guest")));
  count(p9.MakeDirectory(kDirectory, "below"));
  count(p9.MakeNode(kDirectory, "pipe", S_IFIFO | 0600));
  count(p9.MakeLink(kDirectory, "symlink", "../secret"));
  count(p9.Link(kDirectory, kFile, "hard"));
  count(p9.RenameAt(kDirectory, name, P9Harness::kRoot, "moved"));
  count(p9.RenameAt(P9Harness::kRoot, "moved", kDirectory, name));
  count(p9.Do(kP9Rename, P9Bytes().Number(kFile).Number(kDirectory).String("renamed")));
  count(p9.RenameAt(kDirectory, "renamed", kDirectory, name));
  for (const char* gone : {"pipe", "symlink", "hard"}) count(p9.Unlink(kDirectory, gone));
  for (const char* gone : {"below", "empty"}) count(p9.Unlink(kDirectory, gone, AT_REMOVEDIR));
  return made;
}

TEST_P(P9HostileTest, EveryAttackEndsInAResetOrAnAnswer) {
  for (const Attack& attack : Attacks()) {
    Make();
    RunAttack(attack, Target(), p9_->device().features());
  }
}

TEST_P(P9HostileTest, ResetsInEveryState) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Make(seed);
    HostileTarget target = Target();
    target.offer_good = [this] { OfferTransfer(); };
    target.expect_good();
    ResetInEveryState(target, p9_->device().features());
  }
}

TEST_P(P9HostileTest, ServesRequestsWithAnyFeatures) {
  Make();
  ExpectServiceWithAnyFeatures(Target());
}

INSTANTIATE_TEST_SUITE_P(Shares, P9HostileTest, testing::Values(false, true));

// Messages change nothing outside the share, whatever the host does meanwhile.
TEST(P9Race, NothingOutsideChangesWhileTheHostSwapsLinks) {
  P9Harness p9({.versions = P9Versions::kContents, .writable = true},
               [](const TemporaryTree& host) {
                 for (const char* directory : {"secret", "root/dir"}) {
                   host.Write(absl::StrCat(directory, "/a"), "content");
                   host.Directory(absl::StrCat(directory, "/empty"));
                 }
                 host.Link("../secret", "root/link");
                 host.Link("../../secret/a", "root/dir/b");
               });
  const std::string before = DescribeOutside(p9.host());
  int made = 0;
  {
    const NameSwapper swapper(p9.host(), {{"dir", "link"}, {"dir/a", "dir/b"}});
    for (int turn = 0; turn < 100 || (made == 0 && turn < 10'000); ++turn) {
      made += ChangeAll(p9, turn % 2 == 0 ? "dir" : "link", turn % 4 < 2 ? "a" : "b");
    }
  }
  EXPECT_EQ(DescribeOutside(p9.host()), before);
  EXPECT_GT(made, 0);
}

}  // namespace
}  // namespace virtio
