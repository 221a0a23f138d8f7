// What a hostile driver can do to the queues of a console.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fakes/hostile_driver.h"
#include "virtio/console/testing/console_fixtures.h"

namespace virtio {
namespace {

using ::testing::Contains;
using ::testing::Pair;

// A console whose queues can be attacked one after the other.
class HostileConsole {
 public:
  explicit HostileConsole(uint64_t seed = 0) : harness_({.loop = {.seed = seed}}) {
    harness_.Start(console_, kAllFeatures);
  }
  ~HostileConsole() { EXPECT_TRUE(harness_.Stop(console_)); }

  HostileTarget Target(uint16_t queue) {
    if (queue == kTx) {
      return {.harness = harness_,
              .device = console_,
              .queue = kTx,
              .writable = false,
              .offer_good = [this] { harness_.driver(kTx).Chain().Readable(10).Offer(); },
              .expect_good =
                  [this] {
                    backend_.output.clear();
                    harness_.driver(kTx).Chain().Readable(7).Offer();
                    harness_.Publish(kTx);
                    EXPECT_EQ(backend_.output, std::string(7, '\0'));
                  }};
    }
    return {.harness = harness_,
            .device = console_,
            .queue = kRx,
            .writable = true,
            .stimulate = [this] { backend_.Type("x"); },
            .offer_good = [this] { harness_.driver(kRx).Chain().Writable(10).Offer(); },
            .expect_good =
                [this] {
                  backend_.Type("!");
                  const uint16_t head = harness_.driver(kRx).Chain().Writable(4096).Offer();
                  harness_.Publish(kRx);
                  const auto used = harness_.driver(kRx).PopUsed();
                  ASSERT_TRUE(used && used->len > 0);
                  EXPECT_EQ(harness_.driver(kRx).WritableBytes(head)[used->len - 1], '!');
                }};
  }

 private:
  DeviceHarness harness_;
  FakeBackend backend_;
  ConsoleDevice console_{{}, harness_.loop(), harness_.memory(), backend_};
};

TEST(ConsoleHostileTest, EveryAttackEndsInAResetOrAnAnswer) {
  for (const uint16_t queue : {kRx, kTx}) {
    for (const Attack& attack : Attacks()) {
      HostileConsole console;
      RunAttack(attack, console.Target(queue), kAllFeatures);
    }
  }
}

TEST(ConsoleHostileTest, ResetsInEveryState) {
  for (const uint16_t queue : {kRx, kTx}) {
    for (uint64_t seed = 0; seed < 8; ++seed) {
      HostileConsole console(seed);
      ResetInEveryState(console.Target(queue), kAllFeatures);
    }
  }
}

TEST(ConsoleHostileTest, ServesRequestsWithAnyFeatures) {
  for (const uint16_t queue : {kRx, kTx}) {
    HostileConsole console;
    ExpectServiceWithAnyFeatures(console.Target(queue));
  }
}

TEST_F(ConsoleTest, BrokenTransmitRingDoesNotStopInput) {
  Start();
  tx().WriteDescriptor(0, {.addr = 0x1000000, .len = 4, .flags = 1, .next = 0});  // a loop
  tx().OfferRaw(0);
  harness_.Kick(kTx);
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(harness_.notifier().needs_reset, 1u);
  EXPECT_EQ(backend_.output, "");
  rx().Chain().Writable(16).Offer();
  harness_.Publish(kRx);
  backend_.Type("still there");
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(Received(), "still there");
  EXPECT_TRUE(harness_.StopQueue(console_, kTx));
}

TEST_F(ConsoleTest, BrokenReceiveRingKeepsTheInput) {
  Start();
  rx().OfferRaw(1000);
  backend_.Type("input");
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(harness_.notifier().needs_reset, 1u);
  EXPECT_THAT(console_.counters(), Contains(Pair("rx_pending_bytes", 5u)));
}

}  // namespace
}  // namespace virtio
