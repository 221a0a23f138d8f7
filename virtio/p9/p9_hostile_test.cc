// What a malicious driver does to the queue of a 9P device.

#include <gtest/gtest.h>

#include <memory>

#include "tests/fakes/hostile_driver.h"
#include "virtio/p9/p9_test_harness.h"

namespace virtio {
namespace {

class P9HostileTest : public testing::Test {
 protected:
  // A new device; the last one is gone.
  void Make(uint64_t seed = 0) {
    p9_ = nullptr;
    P9Harness::Options options;
    options.harness = {.loop = {.seed = seed}};
    p9_ = std::make_unique<P9Harness>(
        options, [](const TemporaryTree& host) { host.Write("root/file", "content"); });
  }
  HostileTarget Target() {
    return {.harness = p9_->harness(),
            .device = p9_->device(),
            .queue = 0,
            .writable = true,
            // A session, whatever became of the last one, up to a read.
            .offer_good =
                [this] {
                  p9_->Offer(kP9Version, 1, P9Bytes().Number(8192U).String(kP9Dialect), 64);
                  p9_->Offer(kP9Read, 2, P9Harness::ReadArguments(2, 0, 100), 104);
                },
            .expect_good =
                [this] {
                  EXPECT_EQ(p9_->Version().error, 0);
                  EXPECT_EQ(p9_->Attach(1).error, 0);
                  EXPECT_EQ(p9_->Walked(1, 2, {"file"}), 1);
                  EXPECT_EQ(p9_->Open(2).error, 0);
                  EXPECT_EQ(p9_->ReadText(2, 0, 100), "content");
                }};
  }

  std::unique_ptr<P9Harness> p9_;
};

TEST_F(P9HostileTest, EveryAttackEndsInAResetOrAnAnswer) {
  for (const Attack& attack : Attacks()) {
    Make();
    RunAttack(attack, Target(), p9_->device().features());
  }
}

TEST_F(P9HostileTest, ResetsInEveryState) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Make(seed);
    HostileTarget target = Target();
    target.offer_good = [this] {
      p9_->Offer(kP9Read, 2, P9Harness::ReadArguments(2, 0, 100), 104);
    };
    target.expect_good();
    ResetInEveryState(target, p9_->device().features());
  }
}

TEST_F(P9HostileTest, FeatureGames) {
  Make();
  FeatureGames(Target());
}

}  // namespace
}  // namespace virtio
