// The attacks of a malicious driver on one queue of a device, and the checks afterwards. Each
// device's tests run every attack against each of its queues; docs/assurance.md has the table.
#ifndef TESTS_FAKES_HOSTILE_DRIVER_H_
#define TESTS_FAKES_HOSTILE_DRIVER_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/fakes/device_fixtures.h"

namespace virtio {

// A queue under attack.
struct HostileTarget {
  DeviceHarness& harness;
  Device& device;
  uint16_t queue;
  bool writable;  // whether the queue is for buffers that the device writes
  // Makes the device look at the queue if a kick is not enough: a receive queue needs input.
  std::function<void()> stimulate = [] {};
  // Offers one well-formed chain without making it available.
  std::function<void()> offer_good;
  // Makes one well-formed request and checks that it is served.
  std::function<void()> expect_good;
};

// What the attacker works with: RAM at fixed places, and a driver with 8 descriptors.
class Attacker {
 public:
  static constexpr uint64_t kGood = 0x200000;
  static constexpr uint64_t kTable = 0x210000;
  static constexpr uint64_t kNothing = 0xc000'0000;  // no RAM: BARs are here
  static constexpr uint16_t kNext = 1;
  static constexpr uint16_t kWrite = 2;
  static constexpr uint16_t kIndirect = 4;

  explicit Attacker(const HostileTarget& target)
      : driver(target.harness.driver(target.queue)),
        direction(target.writable ? kWrite : uint16_t{0}) {}

  void Set(uint16_t index, uint64_t addr, uint32_t len, unsigned flags, uint16_t next = 0) {
    driver.WriteDescriptor(index, {addr, len, static_cast<uint16_t>(flags), next});
  }
  void SetIndirect(uint16_t index, uint64_t addr, uint32_t len, unsigned flags, uint16_t next = 0) {
    driver.WriteDescriptorAt(kTable + 16 * uint64_t{index},
                             {addr, len, static_cast<uint16_t>(flags), next});
  }
  // Makes one buffer in the queue's direction available.
  void One(uint64_t addr, uint32_t len) {
    Set(0, addr, len, direction);
    driver.OfferRaw(0);
  }

  FakeDriver& driver;
  const uint16_t direction;
};

struct Attack {
  const char* name;
  void (*run)(Attacker&);
  // A part of the reason for which the device asks for a reset. "" means that the chain is served;
  // nullptr means that either is right.
  const char* breaks;
};

inline const std::vector<Attack>& Attacks() {
  using A = Attacker;
  static const std::vector<Attack> attacks = {
      // --- loops ---
      {"LoopToItself",
       [](A& a) {
         a.Set(0, A::kGood, 16, a.direction | A::kNext, 0);
         a.driver.OfferRaw(0);
       },
       "loops or is too long"},
      {"LoopOfAll",
       [](A& a) {
         for (uint16_t i = 0; i < 8; ++i) {
           a.Set(i, A::kGood, 16, a.direction | A::kNext, static_cast<uint16_t>((i + 1) % 8));
         }
         a.driver.OfferRaw(3);
       },
       "loops or is too long"},
      {"LoopOfEmptyDescriptors",
       [](A& a) {
         a.Set(0, A::kNothing, 0, a.direction | A::kNext, 1);
         a.Set(1, A::kNothing, 0, a.direction | A::kNext, 0);
         a.driver.OfferRaw(0);
       },
       "loops or is too long"},
      {"LoopInIndirectTable",
       [](A& a) {
         a.SetIndirect(0, A::kGood, 16, a.direction | A::kNext, 1);
         a.SetIndirect(1, A::kGood, 16, a.direction | A::kNext, 0);
         a.Set(0, A::kTable, 32, A::kIndirect);
         a.driver.OfferRaw(0);
       },
       "loops or is too long"},
      // --- indices ---
      {"NextOutOfRange",
       [](A& a) {
         a.Set(0, A::kGood, 16, a.direction | A::kNext, 8);
         a.driver.OfferRaw(0);
       },
       "next field is out of range"},
      {"NextOutOfIndirectTable",
       [](A& a) {
         a.SetIndirect(0, A::kGood, 16, a.direction | A::kNext, 2);
         a.Set(0, A::kTable, 32, A::kIndirect);
         a.driver.OfferRaw(0);
       },
       "next field is out of range"},
      {"HeadOutOfRange", [](A& a) { a.driver.OfferRaw(8); }, "head is out of range"},
      {"HeadFarOutOfRange", [](A& a) { a.driver.OfferRaw(0xffff); }, "head is out of range"},
      {"AvailIndexJumpsByOneTooMany",
       [](A& a) { a.driver.SetAvailIndex(static_cast<uint16_t>(a.driver.avail_index() + 9)); },
       "more chains made available"},
      {"AvailIndexJumpsByHalf",
       [](A& a) { a.driver.SetAvailIndex(static_cast<uint16_t>(a.driver.avail_index() + 0x8000)); },
       "more chains made available"},
      {"AvailIndexGoesBack",
       [](A& a) { a.driver.SetAvailIndex(static_cast<uint16_t>(a.driver.avail_index() - 1)); },
       "more chains made available"},
      // --- addresses and lengths ---
      {"BufferInAHole", [](A& a) { a.One(A::kNothing, 16); }, "buffer is not in RAM"},
      {"BufferOverTheEndOfRam", [](A& a) { a.One(DeviceHarness::kRamBytes - 8, 16); },
       "buffer is not in RAM"},
      {"BufferWrapsAround", [](A& a) { a.One(~uint64_t{0} - 7, 16); }, "buffer is not in RAM"},
      {"LengthOfFourGigabytes", [](A& a) { a.One(A::kGood, 0xffff'ffff); }, "buffer is not in RAM"},
      {"SecondBufferInAHole",
       [](A& a) {
         a.Set(0, A::kGood, 16, a.direction | A::kNext, 1);
         a.Set(1, A::kNothing, 16, a.direction);
         a.driver.OfferRaw(0);
       },
       "buffer is not in RAM"},
      {"NothingAtAll", [](A& a) { a.One(A::kGood, 0); }, nullptr},
      // --- directions ---
      {"ReadableAfterWritable",
       [](A& a) {
         a.Set(0, A::kGood, 16, A::kWrite | A::kNext, 1);
         a.Set(1, A::kGood, 16, 0);
         a.driver.OfferRaw(0);
       },
       "readable buffer follows a writable one"},
      {"OnlyTheWrongDirection",
       [](A& a) {
         a.Set(0, A::kGood, 16, a.direction ^ A::kWrite);
         a.driver.OfferRaw(0);
       },
       ""},
      // --- indirect tables ---
      {"IndirectInIndirect",
       [](A& a) {
         a.SetIndirect(0, A::kTable, 16, A::kIndirect);
         a.Set(0, A::kTable, 16, A::kIndirect);
         a.driver.OfferRaw(0);
       },
       "indirect descriptor in an indirect table"},
      {"IndirectTableIsTheDescriptorTable",
       [](A& a) {
         a.Set(0, a.driver.descriptor_table(), 16 * 8, A::kIndirect);
         a.driver.OfferRaw(0);
       },
       "indirect descriptor in an indirect table"},
      {"IndirectWithNext",
       [](A& a) {
         a.Set(0, A::kTable, 16, A::kIndirect | A::kNext, 1);
         a.driver.OfferRaw(0);
       },
       "indirect descriptor with a next one"},
      {"IndirectTableOfNoBytes",
       [](A& a) {
         a.Set(0, A::kTable, 0, A::kIndirect);
         a.driver.OfferRaw(0);
       },
       "no multiple of 16"},
      {"IndirectTableOfOddLength",
       [](A& a) {
         a.Set(0, A::kTable, 17, A::kIndirect);
         a.driver.OfferRaw(0);
       },
       "no multiple of 16"},
      {"IndirectTableInAHole",
       [](A& a) {
         a.Set(0, A::kNothing, 16, A::kIndirect);
         a.driver.OfferRaw(0);
       },
       "indirect table is not in RAM"},
      {"IndirectTableOfFourGigabytes",
       [](A& a) {
         a.Set(0, A::kTable, 0xffff'fff0, A::kIndirect);
         a.driver.OfferRaw(0);
       },
       "indirect table is not in RAM"},
      // --- chains over each other and over the rings ---
      {"TwoChainsShareDescriptors",
       [](A& a) {
         a.Set(0, A::kGood, 1, a.direction | A::kNext, 1);
         a.Set(1, A::kGood + 1, 1, a.direction | A::kNext, 2);
         a.Set(2, A::kGood + 2, 1, a.direction);
         a.driver.OfferRaw(0);
         a.driver.OfferRaw(1);
         a.driver.OfferRaw(2);
       },
       ""},
      {"TheSameHeadInEverySlot",
       [](A& a) {
         a.Set(0, A::kGood, 1, a.direction);
         for (int i = 0; i < 8; ++i) a.driver.OfferRaw(0);
       },
       nullptr},  // "while in use", unless the device uses each chain before it takes the next
      {"BuffersOverEachOther",
       [](A& a) {
         for (uint16_t i = 0; i < 4; ++i) {
           a.Set(i, A::kGood, 64, a.direction | (i < 3 ? A::kNext : 0),
                 static_cast<uint16_t>(i + 1));
         }
         a.driver.OfferRaw(0);
       },
       ""},
      {"BufferIsTheDescriptorTable", [](A& a) { a.One(a.driver.descriptor_table(), 16 * 8); },
       nullptr},
      {"BufferIsTheAvailRing", [](A& a) { a.One(a.driver.driver_area(), 6 + 2 * 8); }, nullptr},
      {"BufferIsTheUsedRing", [](A& a) { a.One(a.driver.device_area(), 6 + 8 * 8); }, nullptr},
      // --- unusual but allowed ---
      {"ABufferOfSingleBytes",
       [](A& a) {
         for (uint16_t i = 0; i < 8; ++i) {
           a.Set(i, A::kGood + i, 1, a.direction | (i < 7 ? A::kNext : 0),
                 static_cast<uint16_t>(i + 1));
         }
         a.driver.OfferRaw(0);
       },
       ""},
      {"FlagsThatDoNotExist",
       [](A& a) {
         a.Set(0, A::kGood, 16, a.direction | 0xfff8, 0xffff);
         a.driver.OfferRaw(0);
       },
       ""},
  };
  return attacks;
}

// Runs an attack. Checks that the device asks for a reset or continues, as the attack demands; that
// kicks do nothing to a broken queue; that RAM beside the buffers is unchanged; and that the queue
// works again after its own reset and after the device's.
inline void RunAttack(const Attack& attack, const HostileTarget& target, uint64_t features) {
  SCOPED_TRACE(std::string(attack.name) + ", queue " + std::to_string(target.queue));
  DeviceHarness& harness = target.harness;
  constexpr std::array<uint64_t, 2> kCanaries = {0x8000, DeviceHarness::kRamBytes - 4096};
  const std::vector<uint8_t> canary(4096, 0x5a);
  for (uint64_t at : kCanaries) CHECK(harness.memory().Write(at, canary));

  const uint64_t before = harness.notifier().needs_reset;
  Attacker attacker(target);
  attack.run(attacker);
  for (int i = 0; i < 3; ++i) {
    harness.Kick(target.queue);
    target.stimulate();
    harness.loop().RunUntilIdle();
  }
  const uint64_t resets = harness.notifier().needs_reset - before;
  EXPECT_LE(resets, 1u) << "a broken queue must be reported once";
  if (attack.breaks != nullptr) {
    EXPECT_EQ(resets, *attack.breaks == '\0' ? 0u : 1u) << harness.notifier().last_reason;
    if (resets != 0) {
      EXPECT_THAT(harness.notifier().last_reason, testing::HasSubstr(attack.breaks));
    }
  }
  for (uint64_t at : kCanaries) {
    std::vector<uint8_t> now(canary.size());
    CHECK(harness.memory().Read(at, now));
    EXPECT_EQ(now, canary) << "the device wrote outside of the buffers";
  }

  ASSERT_TRUE(harness.StopQueue(target.device, target.queue));
  harness.StartQueue(target.device, target.queue, 0xfffe);
  target.expect_good();
  ASSERT_TRUE(harness.Stop(target.device));
  harness.Start(target.device, features, 0xffff);
  target.expect_good();
}

// Resets the queue, then the device, after each number of turns with requests in flight.
inline void ResetInEveryState(const HostileTarget& target, uint64_t features) {
  DeviceHarness& harness = target.harness;
  for (int turns = 0; turns < 12; ++turns) {
    for (const bool whole_device : {false, true}) {
      SCOPED_TRACE(std::to_string(turns) + (whole_device ? " turns, device" : " turns, queue"));
      for (int i = 0; i < 2; ++i) target.offer_good();
      harness.driver(target.queue).Publish();
      harness.Kick(target.queue);
      target.stimulate();
      for (int turn = 0; turn < turns; ++turn) harness.loop().RunTurn();
      if (whole_device) {
        ASSERT_TRUE(harness.Stop(target.device));
        harness.Start(target.device, features, static_cast<uint16_t>(turns));
      } else {
        ASSERT_TRUE(harness.StopQueue(target.device, target.queue));
        harness.StartQueue(target.device, target.queue, static_cast<uint16_t>(turns));
      }
      target.expect_good();
    }
  }
  EXPECT_EQ(harness.notifier().needs_reset, 0u);
}

// Checks that the device serves requests with any set of features, even with sets that a transport
// would refuse: no feature, every bit, and each set that lacks one offered feature.
inline void ExpectServiceWithAnyFeatures(const HostileTarget& target) {
  for (int bit = -2; bit < 64; ++bit) {
    SCOPED_TRACE(bit);
    const uint64_t all = target.device.features();
    const uint64_t features = bit == -2   ? 0
                              : bit == -1 ? ~uint64_t{0}
                                          : all & ~(uint64_t{1} << bit);
    ASSERT_TRUE(target.harness.Stop(target.device));
    target.harness.Start(target.device, features);
    target.expect_good();
  }
  EXPECT_EQ(target.harness.notifier().needs_reset, 0u);
}

}  // namespace virtio

#endif  // TESTS_FAKES_HOSTILE_DRIVER_H_
