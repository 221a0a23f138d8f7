// What a malicious driver does to the queues of a file system device.

#include <gtest/gtest.h>

#include <memory>

#include "tests/fakes/hostile_driver.h"
#include "virtio/fs/fs_test_harness.h"

namespace virtio {
namespace {

class FsHostileTest : public testing::TestWithParam<uint16_t> {
 protected:
  // A new device; the last one is gone.
  void Make(uint64_t seed = 0) {
    fs_ = nullptr;
    FsHarness::Options options;
    options.harness = {.loop = {.seed = seed}};
    fs_ = std::make_unique<FsHarness>(
        options, [](const TemporaryTree& host) { host.Write("root/file", "content"); });
  }
  HostileTarget Target() {
    return {.harness = fs_->harness(),
            .device = fs_->device(),
            .queue = GetParam(),
            .writable = true,
            .offer_good =
                [this] {
                  fs_->driver(GetParam())
                      .Chain()
                      .Readable(fs_->Request(FUSE_READ, file_, FsHarness::ReadArguments(0, 100)))
                      .Writable(116)
                      .Offer();
                },
            .expect_good =
                [this] {
                  if (GetParam() == FsHarness::kHighPriority) {
                    fs_->Send(GetParam(), fs_->Request(FUSE_FORGET, 1, Bytes(8)));
                  }
                  EXPECT_EQ(fs_->Init().error, 0);
                  file_ = fs_->Find(1, "file");
                  EXPECT_EQ(fs_->Read(file_, 0, 100).Text(), "content");
                }};
  }

  std::unique_ptr<FsHarness> fs_;
  uint64_t file_ = 1;
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

TEST_P(FsHostileTest, FeatureGames) {
  Make();
  FeatureGames(Target());
}

INSTANTIATE_TEST_SUITE_P(Queues, FsHostileTest,
                         testing::Values(FsHarness::kHighPriority, FsHarness::kRequests));

}  // namespace
}  // namespace virtio
