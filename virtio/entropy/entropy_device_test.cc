// Tests of the entropy device, named after the clauses of VIRTIO 1.2 that they check.

#include "virtio/entropy/entropy_device.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/fakes/device_fixtures.h"
#include "tests/fakes/hostile_driver.h"

namespace virtio {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;

class EntropyTest : public ::testing::Test {
 protected:
  ~EntropyTest() override {
    if (rng_ != nullptr) {
      EXPECT_TRUE(harness_.Stop(*rng_));
    }
    unlink(path_.c_str());
  }

  void Start(const std::string& source = "/dev/urandom") {
    auto rng =
        EntropyDevice::Create({.id = "_rng", .source = source}, harness_.loop(), harness_.memory());
    ASSERT_TRUE(rng.ok()) << rng.status();
    rng_ = *std::move(rng);
    harness_.Start(*rng_, 0);
  }
  // Makes a file with `content` and returns its path.
  std::string File(const std::string& content) {
    const int fd = open(path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    EXPECT_EQ(write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
    close(fd);
    return path_;
  }
  // Makes a FIFO and opens it for writing, too, so that its reader waits. Returns its path.
  std::string Fifo() {
    EXPECT_EQ(mkfifo(path_.c_str(), 0600), 0);
    fifo_.reset(open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    return path_;
  }
  FakeDriver& driver() { return harness_.driver(0); }
  // Asks for `bytes` bytes and returns the bytes that the device wrote.
  std::vector<uint8_t> Ask(uint32_t bytes) {
    driver().Chain().Writable(bytes).Offer();
    harness_.Publish(0);
    return Take();
  }
  std::vector<uint8_t> Take() {
    const auto used = driver().PopUsed();
    EXPECT_TRUE(used.has_value());
    if (!used) return {};
    auto all = driver().WritableBytes(static_cast<uint16_t>(used->id));
    EXPECT_LE(used->len, all.size());
    EXPECT_TRUE(std::all_of(all.begin() + used->len, all.end(), [](uint8_t b) {
      return b == 0xEE;
    })) << "bytes beyond the used length were written";
    all.resize(used->len);
    return all;
  }

  DeviceHarness harness_{{}};
  const std::string path_ = absl::StrCat(testing::TempDir(), "/entropy_test.", getpid());
  base::UniqueFd fifo_;
  std::unique_ptr<EntropyDevice> rng_;
};

// True for the output of a generator, except with negligible probability.
bool LooksRandom(const std::vector<uint8_t>& bytes) {
  return bytes.size() >= 64 && std::set<uint8_t>(bytes.begin(), bytes.end()).size() > 32;
}

TEST_F(EntropyTest, Entropy_5_4_1_DeviceIdIs4) {
  Start();
  EXPECT_EQ(rng_->type(), 4);
}

TEST_F(EntropyTest, Entropy_5_4_2_OneQueueNoDeviceFeaturesNoConfiguration) {
  Start();
  EXPECT_EQ(rng_->queue_sizes().size(), 1u);
  EXPECT_EQ(rng_->features(), kRingFeatures);
  EXPECT_EQ(rng_->config_size(), 0u);
  uint8_t bytes[8];
  std::fill(std::begin(bytes), std::end(bytes), uint8_t{0xAA});
  rng_->ReadConfig(0, bytes);
  EXPECT_THAT(bytes, testing::Each(0));
}

TEST_F(EntropyTest, Entropy_5_4_6_2_BufferGetsRandomBytes) {
  Start();
  const auto first = Ask(64);
  const auto second = Ask(64);
  EXPECT_EQ(first.size(), 64u);
  EXPECT_TRUE(LooksRandom(first));
  EXPECT_NE(first, second);
  EXPECT_EQ(Ask(1).size(), 1u);
  EXPECT_THAT(rng_->counters(), AllOf(Contains(Pair("requests", 3u)), Contains(Pair("bytes", 129u)),
                                      Contains(Pair("source_errors", 0u))));
}

TEST_F(EntropyTest, Entropy_5_4_6_2_LessThanTheBufferIsGivenToALargeRequest) {
  Start();
  const auto bytes = Ask(1 << 20);
  EXPECT_EQ(bytes.size(), kEntropyMaxRequestBytes);
  EXPECT_TRUE(LooksRandom(bytes));
}

TEST_F(EntropyTest, Entropy_2_7_4_AnyFramingIsFilled) {
  Start();
  driver().Chain().Writable(1).Writable(0).Writable(100).Indirect().Writable(27).Offer();
  harness_.Publish(0);
  EXPECT_TRUE(LooksRandom(Take()));
}

TEST_F(EntropyTest, Entropy_5_4_6_1_BufferWithoutAWritableByteIsUsedWithLengthZero) {
  Start();
  driver().Chain().Readable(16).Offer();
  driver().Chain().Writable(0).Offer();
  driver().Chain().Readable(16).Writable(4).Offer();
  harness_.Publish(0);
  EXPECT_EQ(driver().PopUsed()->len, 0u);
  EXPECT_EQ(driver().PopUsed()->len, 0u);
  EXPECT_EQ(driver().PopUsed()->len, 4u);
}

TEST_F(EntropyTest, AWholeQueueOfRequestsIsServed) {
  Start();
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 8; ++i) driver().Chain().Writable(64).Offer();
    harness_.Publish(0);
    for (int i = 0; i < 8; ++i) ASSERT_EQ(Take().size(), 64u);
  }
}

TEST_F(EntropyTest, Entropy_2_2_2_OnlySupportedFeaturesAreOffered) {
  Start();
  EXPECT_EQ(rng_->features(), kRingFeatures);
}

// "A device MUST NOT write to a device-readable buffer."
TEST_F(EntropyTest, Entropy_2_7_5_1_ReadableBuffersAreNotWritten) {
  Start();
  constexpr uint64_t kBuffer = 0x200000;
  const std::vector<uint8_t> before(100, 0x33);
  ASSERT_TRUE(harness_.memory().Write(kBuffer, before));
  driver().Chain().ReadableAt(kBuffer, 100).Writable(64).Offer();
  driver().Chain().ReadableAt(kBuffer, 100).Offer();
  harness_.Publish(0);
  EXPECT_EQ(Take().size(), 64u);
  std::vector<uint8_t> after(100);
  ASSERT_TRUE(harness_.memory().Read(kBuffer, after));
  EXPECT_EQ(after, before);
}

// "The device MUST write at least len bytes to descriptor, beginning at the first device-writable
// buffer": Take() checks that no bytes behind them were written.
TEST_F(EntropyTest, Entropy_2_7_8_2_UsedLengthCountsWrittenBytes) {
  Start(File("abcde"));
  driver().Chain().Writable(2).Writable(30).Offer();
  harness_.Publish(0);
  EXPECT_EQ(Take(), std::vector<uint8_t>({'a', 'b', 'c', 'd', 'e'}));
}

// --- A file as the source ---

TEST_F(EntropyTest, FileIsReadFromItsStartOn) {
  Start(File("abcdefgh"));
  EXPECT_EQ(Ask(3), std::vector<uint8_t>({'a', 'b', 'c'}));
  EXPECT_EQ(Ask(3), std::vector<uint8_t>({'d', 'e', 'f'}));
  EXPECT_EQ(Ask(3), std::vector<uint8_t>({'g', 'h'})) << "a short read must give a short answer";
}

TEST_F(EntropyTest, Entropy_5_4_6_2_SourceAtItsEndIsReplaced) {
  Start(File(""));
  EXPECT_TRUE(LooksRandom(Ask(64)));
  EXPECT_THAT(rng_->counters(), Contains(Pair("source_errors", 1u)));
}

TEST_F(EntropyTest, Entropy_5_4_6_2_SourceThatFailsIsReplacedForThisRequest) {
  Start(File("abcd"));
  harness_.loop().FailNext(base::FakeEventLoop::Kind::kRead, EIO);
  EXPECT_TRUE(LooksRandom(Ask(64)));
  EXPECT_THAT(rng_->counters(), Contains(Pair("source_errors", 1u)));
  EXPECT_EQ(Ask(4), std::vector<uint8_t>({'a', 'b', 'c', 'd'})) << "the source must be tried again";
}

TEST_F(EntropyTest, SourceFillsOnlyTheBoundedPrefix) {
  Start(File(std::string(10'000, 'r')));
  driver().Chain().Writable(4000).Writable(4000).Offer();
  harness_.Publish(0);
  EXPECT_EQ(Take(), std::vector<uint8_t>(kEntropyMaxRequestBytes, 'r'));
}

TEST_F(EntropyTest, RequestWaitsForASlowStream) {
  Start(Fifo());
  driver().Chain().Writable(64).Offer();
  harness_.Publish(0);
  EXPECT_FALSE(driver().PopUsed().has_value());
  ASSERT_EQ(write(fifo_.get(), "xyz", 3), 3);
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(Take(), std::vector<uint8_t>({'x', 'y', 'z'}));
}

TEST_F(EntropyTest, PauseDoesNotWaitForASilentSource) {
  Start(Fifo());
  for (int i = 0; i < 3; ++i) driver().Chain().Writable(64).Offer();
  harness_.Publish(0);
  ASSERT_TRUE(harness_.Pause(*rng_));
  EXPECT_TRUE(LooksRandom(Take())) << "the kernel's generator must fill the request in flight";
  EXPECT_FALSE(driver().PopUsed().has_value()) << "the other requests must stay in the queue";
  EXPECT_THAT(rng_->counters(), Contains(Pair("source_errors", 0u)));
  rng_->Resume();
  ASSERT_EQ(write(fifo_.get(), "xyz", 3), 3);
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(Take().size(), 3u);
}

TEST_F(EntropyTest, StopDoesNotWaitForASilentSource) {
  Start(Fifo());
  for (int i = 0; i < 3; ++i) driver().Chain().Writable(64).Offer();
  harness_.Publish(0);
  EXPECT_TRUE(harness_.StopQueue(*rng_, 0));
  harness_.StartQueue(*rng_, 0);
  ASSERT_EQ(write(fifo_.get(), "xyz", 3), 3);
  EXPECT_EQ(Ask(64).size(), 3u);
}

TEST_F(EntropyTest, BrokenRingNeedsAReset) {
  Start();
  driver().WriteDescriptor(0, {.addr = ~uint64_t{0} - 8, .len = 64, .flags = 2, .next = 0});
  driver().OfferRaw(0);
  harness_.Kick(0);
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(harness_.notifier().needs_reset, 1u);
}

TEST(EntropyDeviceTest, EveryRequestIsAnsweredForAnySeed) {
  const std::string path = absl::StrCat(testing::TempDir(), "/entropy_seed_test.", getpid());
  const int fd = open(path.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
  ASSERT_EQ(ftruncate(fd, 1 << 16), 0);
  close(fd);
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    DeviceHarness harness({.loop = {.seed = seed,
                                    .short_transfer_percent = 30,
                                    .short_transfer_unit_bytes = 1,
                                    .error_percent = 20},
                           .event_idx = seed % 2 == 0});
    auto rng =
        EntropyDevice::Create({.id = "_rng", .source = path}, harness.loop(), harness.memory());
    ASSERT_TRUE(rng.ok());
    harness.Start(**rng, 0, static_cast<uint16_t>(65530 + seed));
    for (int i = 0; i < 50; ++i) {
      for (int j = 0; j <= i % 8; ++j) harness.driver(0).Chain().Writable(100).Offer();
      harness.Publish(0);
      for (int j = 0; j <= i % 8; ++j) {
        const auto used = harness.driver(0).PopUsed();
        ASSERT_TRUE(used.has_value()) << "seed " << seed;
        EXPECT_GT(used->len, 0u);
        EXPECT_LE(used->len, 100u);
      }
    }
    ASSERT_TRUE(harness.Stop(**rng));
  }
  unlink(path.c_str());
}

TEST(EntropyDeviceTest, ErrorsNameTheSource) {
  DeviceHarness harness({});
  const auto create = [&harness](const std::string& source) {
    return std::string(
        EntropyDevice::Create({.id = "_rng", .source = source}, harness.loop(), harness.memory())
            .status()
            .message());
  };
  EXPECT_THAT(create("/nonexistent/rng"),
              AllOf(HasSubstr("rng.src: /nonexistent/rng: cannot open for reading"),
                    HasSubstr("No such file")));
  EXPECT_THAT(create("/proc"), HasSubstr("rng.src: /proc: not a source of random bytes"));
}

// --- A hostile driver ---

class EntropyHostileTest : public ::testing::Test {
 protected:
  // Makes a new device, after destroying the last one.
  void Make(uint64_t seed = 0) {
    Drop();
    harness_ = std::make_unique<DeviceHarness>(DeviceHarness::Options{.loop = {.seed = seed}});
    rng_ = *EntropyDevice::Create({.id = "_rng", .source = "/dev/urandom"}, harness_->loop(),
                                  harness_->memory());
    harness_->Start(*rng_, kRingFeatures);
  }
  void Drop() {
    if (rng_ != nullptr) {
      EXPECT_TRUE(harness_->Stop(*rng_));
    }
    rng_ = nullptr;
  }
  ~EntropyHostileTest() override { Drop(); }
  HostileTarget Target() {
    return {.harness = *harness_,
            .device = *rng_,
            .queue = 0,
            .writable = true,
            .offer_good = [this] { harness_->driver(0).Chain().Writable(64).Offer(); },
            .expect_good =
                [this] {
                  const uint16_t head = harness_->driver(0).Chain().Writable(64).Offer();
                  harness_->Publish(0);
                  const auto used = harness_->driver(0).PopUsed();
                  ASSERT_TRUE(used);
                  EXPECT_EQ(used->len, 64u);
                  EXPECT_TRUE(LooksRandom(harness_->driver(0).WritableBytes(head)));
                }};
  }

  std::unique_ptr<DeviceHarness> harness_;
  std::unique_ptr<EntropyDevice> rng_;
};

TEST_F(EntropyHostileTest, EveryAttackEndsInAResetOrAnAnswer) {
  for (const Attack& attack : Attacks()) {
    Make();
    RunAttack(attack, Target(), kRingFeatures);
  }
}

TEST_F(EntropyHostileTest, ResetsInEveryState) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Make(seed);
    ResetInEveryState(Target(), kRingFeatures);
  }
}

TEST_F(EntropyHostileTest, ServesRequestsWithAnyFeatures) {
  Make();
  ExpectServiceWithAnyFeatures(Target());
}

}  // namespace
}  // namespace virtio
