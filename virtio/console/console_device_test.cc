// Tests of the console device, named after the clauses of VIRTIO 1.2 that they check.

#include "virtio/console/console_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/virtio_console.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "virtio/console/console_wire.h"
#include "virtio/console/testing/console_fixtures.h"

namespace virtio {
namespace {

using ::testing::Contains;
using ::testing::Pair;

// --- §2: requirements for every device ---

TEST_F(ConsoleTest, Console_2_2_2_OnlySupportedFeaturesAreOffered) {
  EXPECT_EQ(console_.features(),
            kRingFeatures | 1u << VIRTIO_CONSOLE_F_SIZE | 1u << VIRTIO_CONSOLE_F_EMERG_WRITE);
}

// "A device MUST NOT write to a device-readable buffer."
TEST_F(ConsoleTest, Console_2_7_5_1_ReadableBuffersAreNotWritten) {
  Start();
  constexpr uint64_t kBuffer = 0x200000;
  const std::string before = Pattern(100);
  ASSERT_TRUE(harness_.memory().Write(kBuffer, Bytes(before)));
  tx().Chain().ReadableAt(kBuffer, 100).Offer();
  harness_.Publish(kTx);
  rx().Chain().ReadableAt(kBuffer, 100).Writable(1).Offer();
  harness_.Publish(kRx);
  backend_.Type("typed");
  harness_.loop().RunUntilIdle();
  std::vector<uint8_t> after(100);
  ASSERT_TRUE(harness_.memory().Read(kBuffer, after));
  EXPECT_EQ(std::string(after.begin(), after.end()), before);
  EXPECT_EQ(backend_.output, before);
}

// "The device MUST write at least len bytes to descriptor, beginning at the first device-writable
// buffer, prior to updating the used idx."
TEST_F(ConsoleTest, Console_2_7_8_2_UsedLengthCountsWrittenBytes) {
  Start();
  const uint16_t head = rx().Chain().Writable(3).Writable(0).Writable(13).Offer();
  harness_.Publish(kRx);
  backend_.Type("12345");
  harness_.loop().RunUntilIdle();
  const auto used = rx().PopUsed();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->len, 5u);
  const auto bytes = rx().WritableBytes(head);
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "12345" + std::string(11, '\xEE'));
}

// --- §5.3.1 to §5.3.3 ---

TEST_F(ConsoleTest, Console_5_3_1_DeviceIdIs3) { EXPECT_EQ(console_.type(), 3); }

TEST_F(ConsoleTest, Console_5_3_2_TwoQueuesWithoutMultiport) {
  EXPECT_EQ(console_.queue_sizes().size(), 2u);
  EXPECT_EQ(console_.features() & (1u << VIRTIO_CONSOLE_F_MULTIPORT), 0u);
}

// --- §5.3.4: configuration ---

TEST_F(ConsoleTest, Console_5_3_4_SizeIsInTheConfiguration) {
  backend_.Resize(132, 43);
  EXPECT_EQ(ConfigField(offsetof(virtio_console_config, cols)), 132);
  EXPECT_EQ(ConfigField(offsetof(virtio_console_config, rows)), 43);
}

TEST_F(ConsoleTest, Console_2_5_ConfigurationBeyondTheStructureReadsAsZero) {
  backend_.Resize(0xFFFF, 0xFFFF);
  std::vector<uint8_t> bytes(64, 0xAA);
  console_.ReadConfig(2, bytes);
  EXPECT_EQ(bytes[0], 0xFF);
  EXPECT_EQ(bytes[1], 0xFF);
  EXPECT_TRUE(std::all_of(bytes.begin() + 2, bytes.end(), [](uint8_t b) { return b == 0; }));
  console_.ReadConfig(0, {});
  for (const uint32_t offset : {12u, 13u, 4096u, UINT32_MAX}) {
    std::fill(bytes.begin(), bytes.end(), uint8_t{0xAA});
    console_.ReadConfig(offset, bytes);
    EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; }));
  }
}

// --- §5.3.5: initialization ---

TEST_F(ConsoleTest, Console_5_3_5_1_EmergencyWriteWorksOnAnUnconfiguredDevice) {
  const uint8_t dword[] = {'p', 0xFF, 0xFF, 0xFF};
  console_.WriteConfig(offsetof(virtio_console_config, emerg_wr), dword);
  console_.WriteConfig(offsetof(virtio_console_config, emerg_wr), std::span(dword).first(1));
  EXPECT_EQ(backend_.output, "pp");
  EXPECT_THAT(console_.counters(), Contains(Pair("tx_bytes", 2u)));
}

TEST_F(ConsoleTest, Console_5_3_5_1_OtherConfigurationWritesAreIgnored) {
  const uint8_t dword[] = {'p', 'q', 'r', 's'};
  for (const uint32_t offset : {0u, 2u, 4u, 7u, 9u, 12u, UINT32_MAX}) {
    console_.WriteConfig(offset, dword);
  }
  console_.WriteConfig(offsetof(virtio_console_config, emerg_wr), {});
  EXPECT_EQ(backend_.output, "");
}

// --- §5.3.6: output ---

TEST_F(ConsoleTest, Console_5_3_6_OutputOfTheTransmitqGoesToTheBackend) {
  Start();
  Send("hello ");
  Send("world\n");
  EXPECT_EQ(backend_.output, "hello world\n");
  EXPECT_EQ(tx().PopUsed()->len, 0u);
  EXPECT_EQ(tx().PopUsed()->len, 0u);
  EXPECT_THAT(console_.counters(), Contains(Pair("tx_bytes", 12u)));
}

TEST_F(ConsoleTest, Console_2_7_4_OutputMayHaveAnyFraming) {
  Start();
  tx().Chain().Readable(Bytes("a")).Readable(Bytes("bc")).Readable(Bytes("")).Offer();
  tx().Chain().Readable(Bytes("d")).Indirect().Readable(Bytes("e")).Readable(Bytes("f")).Offer();
  harness_.Publish(kTx);
  EXPECT_EQ(backend_.output, "abcdef");
}

TEST_F(ConsoleTest, Console_5_3_6_1_WritableBufferInTheTransmitqIsUsedWithLengthZero) {
  Start();
  const uint16_t head = tx().Chain().Writable(64).Offer();
  tx().Chain().Readable(Bytes("x")).Writable(64).Offer();
  harness_.Publish(kTx);
  EXPECT_EQ(tx().PopUsed()->len, 0u);
  EXPECT_EQ(tx().PopUsed()->len, 0u);
  EXPECT_EQ(tx().WritableBytes(head), std::vector<uint8_t>(64, 0xEE)) << "nothing was written";
  EXPECT_EQ(backend_.output, "x");
}

TEST_F(ConsoleTest, StalledSinkDoesNotStallTheGuest) {
  Start();
  backend_.room = 10;
  for (int i = 0; i < 1000; ++i) {
    Send("0123456789");
    ASSERT_TRUE(tx().PopUsed().has_value()) << i;
  }
  EXPECT_EQ(backend_.output, "0123456789");
  EXPECT_THAT(console_.counters(), Contains(Pair("tx_bytes", 10000u)));
  EXPECT_THAT(console_.counters(), Contains(Pair("dropped_bytes", 9990u)));
}

TEST_F(ConsoleTest, LongOutputTakesBoundedPiecesPerTurn) {
  Start();
  const uint64_t addr = 0x1000000;
  const std::string text = Pattern(1 << 20);
  ASSERT_TRUE(harness_.memory().Write(addr, Bytes(text)));
  for (int i = 0; i < 3; ++i) tx().Chain().ReadableAt(addr, 1 << 20).Offer();
  tx().Chain().Readable(Bytes("end")).Offer();
  if (tx().Publish()) harness_.Kick(kTx);
  size_t turns = 0;
  for (size_t before = 0; harness_.loop().RunTurn(); before = backend_.output.size(), ++turns) {
    // A turn may see the end of one chain and the beginning of the next.
    EXPECT_LE(backend_.output.size() - before, 2 * ConsoleTransmitQueue::kMaxBytesPerTurn);
  }
  EXPECT_GE(turns, 3u << 3);
  EXPECT_TRUE(backend_.output == text + text + text + "end");
  EXPECT_LE(backend_.largest_write, ConsoleTransmitQueue::kPieceBytes);
}

TEST_F(ConsoleTest, StopDropsTheRestOfALongOutput) {
  Start();
  tx().Chain().ReadableAt(0x1000000, 16 << 20).Offer();
  if (tx().Publish()) harness_.Kick(kTx);
  ASSERT_TRUE(harness_.loop().RunTurn());
  const size_t before = backend_.output.size();
  ASSERT_GT(before, 0u);
  ASSERT_TRUE(harness_.StopQueue(console_, kTx));
  EXPECT_LE(backend_.output.size() - before, ConsoleTransmitQueue::kMaxBytesPerTurn);
}

// --- §5.3.6: input ---

TEST_F(ConsoleTest, Console_5_3_6_InputArrivesInReceiveBuffers) {
  Start();
  rx().Chain().Writable(16).Offer();
  harness_.Publish(kRx);
  EXPECT_FALSE(rx().PopUsed().has_value()) << "a buffer is kept until there is input";
  backend_.Type("ls\n");
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(Received(), "ls\n");
  EXPECT_EQ(harness_.notifier().queue_interrupts.at(kRx), 1u);
  EXPECT_THAT(console_.counters(), Contains(Pair("rx_bytes", 3u)));
}

TEST_F(ConsoleTest, Console_5_3_6_NoBufferIsHeldWithoutInput) {
  Start();
  for (int i = 0; i < 8; ++i) rx().Chain().Writable(16).Offer();
  harness_.Publish(kRx);
  harness_.Kick(kRx);  // a kick alone must take no buffer
  harness_.loop().RunUntilIdle();
  EXPECT_TRUE(harness_.StopQueue(console_, kRx)) << "there is nothing to wait for";
  EXPECT_EQ(rx().UsedIndex(), 0);
}

TEST_F(ConsoleTest, Console_2_7_4_InputIsSpreadOverAnyFraming) {
  Start();
  rx().Chain().Writable(1).Writable(2).Offer();
  rx().Chain().Indirect().Writable(1).Writable(0).Writable(1).Offer();
  rx().Chain().Writable(100).Offer();
  harness_.Publish(kRx);
  backend_.Type("abcdefgh");
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(Received(), "abcdefgh");
}

TEST_F(ConsoleTest, Console_5_3_6_1_ReadableBufferInTheReceiveqIsUsedWithLengthZero) {
  Start();
  rx().Chain().Readable(Bytes("wrong")).Offer();
  rx().Chain().Readable(Bytes("wrong")).Writable(4).Offer();
  rx().Chain().Writable(4).Offer();
  harness_.Publish(kRx);
  backend_.Type("abcdefgh");
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(rx().PopUsed()->len, 0u);
  EXPECT_EQ(Received(), "abcdefgh") << "the useless buffers must lose no input";
}

TEST_F(ConsoleTest, InputBeforeTheDriverIsKept) {
  backend_.Type("early");
  Start();
  rx().Chain().Writable(16).Offer();
  harness_.Publish(kRx);
  EXPECT_EQ(Received(), "early");
}

TEST_F(ConsoleTest, InputFasterThanTheGuestIsHeldBackAndNotLost) {
  for (const bool at_once : {false, true}) {
    FakeBackend backend;
    backend.resume_at_once = at_once;
    DeviceHarness harness({});
    ConsoleDevice console({}, harness.loop(), harness.memory(), backend);
    harness.Start(console, kAllFeatures);
    const std::string text = Pattern(100'000);
    backend.Type(text);
    EXPECT_EQ(backend.waiting(), text.size() - ConsoleReceiveQueue::kMaxPendingBytes);
    EXPECT_EQ(backend.resumes, 0) << "there is no room yet";
    std::string received;
    for (int i = 0; i < 10'000 && received.size() < text.size(); ++i) {
      harness.driver(kRx).Chain().Writable(100).Offer();
      harness.Publish(kRx);
      const int resumes = backend.resumes;
      if (!at_once && resumes > 0) backend.Pump();
      harness.loop().RunUntilIdle();
      while (const auto used = harness.driver(kRx).PopUsed()) {
        const auto bytes = harness.driver(kRx).WritableBytes(static_cast<uint16_t>(used->id));
        received.append(bytes.begin(), bytes.begin() + used->len);
      }
    }
    EXPECT_TRUE(received == text);
    EXPECT_GT(backend.resumes, 0);
    EXPECT_TRUE(harness.Stop(console));
  }
}

TEST_F(ConsoleTest, BackendIsNotResumedFromWithinItsOwnInput) {
  Start();
  backend_.resume_at_once = true;
  const std::string text = Pattern(3 * ConsoleReceiveQueue::kMaxPendingBytes);
  for (int i = 0; i < 8; ++i) rx().Chain().Writable(4096).Offer();
  harness_.Publish(kRx);
  backend_.Type(text);
  EXPECT_EQ(backend_.resumes, 0);
  harness_.loop().RunUntilIdle();
  EXPECT_TRUE(Received() == text);
  EXPECT_EQ(backend_.waiting(), 0u);
}

TEST_F(ConsoleTest, PauseKeepsInputAndOutputForLater) {
  Start();
  rx().Chain().Writable(16).Offer();
  harness_.Publish(kRx);
  ASSERT_TRUE(harness_.Pause(console_));
  backend_.Type("typed");
  Send("printed");
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(Received(), "");
  EXPECT_EQ(backend_.output, "");
  console_.Resume();
  harness_.loop().RunUntilIdle();
  EXPECT_EQ(Received(), "typed");
  EXPECT_EQ(backend_.output, "printed");
}

TEST_F(ConsoleTest, PauseWaitsForALongOutput) {
  Start();
  tx().Chain().ReadableAt(0x1000000, 1 << 20).Offer();
  if (tx().Publish()) harness_.Kick(kTx);
  ASSERT_TRUE(harness_.loop().RunTurn());
  ASSERT_TRUE(harness_.Pause(console_));
  EXPECT_EQ(backend_.output.size(), size_t{1} << 20);
  console_.Resume();
}

TEST_F(ConsoleTest, InputPendingAtAResetGoesToTheNextDriver) {
  Start();
  backend_.Type("typed");
  ASSERT_TRUE(harness_.Stop(console_));
  Start();
  rx().Chain().Writable(16).Offer();
  harness_.Publish(kRx);
  EXPECT_EQ(Received(), "typed");
}

TEST_F(ConsoleTest, Console_2_6_1_QueuesAreResetOneByOne) {
  Start();
  Send("a");
  ASSERT_TRUE(harness_.StopQueue(console_, kTx));
  harness_.StartQueue(console_, kTx);
  Send("b");
  EXPECT_EQ(backend_.output, "ab");
}

TEST_F(ConsoleTest, StopOfAQueueThatNeverStartedIsDoneAtOnce) {
  EXPECT_TRUE(harness_.StopQueue(console_, kRx));
}

// --- §5.3.6: size ---

TEST_F(ConsoleTest, Console_5_3_6_ResizeIsAConfigurationChange) {
  backend_.Resize(80, 25);
  Start();
  const uint64_t before = harness_.notifier().config_changes;
  backend_.Resize(100, 50);
  EXPECT_EQ(harness_.notifier().config_changes, before + 1);
  EXPECT_EQ(ConfigField(offsetof(virtio_console_config, cols)), 100);
  backend_.Resize(100, 50);
  EXPECT_EQ(harness_.notifier().config_changes, before + 1) << "nothing changed";
}

TEST_F(ConsoleTest, Console_5_3_6_NoConfigurationChangeWithoutTheSizeFeature) {
  Start(kAllFeatures & ~(uint64_t{1} << VIRTIO_CONSOLE_F_SIZE));
  backend_.Resize(100, 50);
  EXPECT_EQ(harness_.notifier().config_features, uint64_t{1} << VIRTIO_CONSOLE_F_SIZE)
      << "the transport notifies only drivers that have accepted SIZE";
}

TEST(ConsoleDeviceTest, DestructorDetachesFromTheBackend) {
  DeviceHarness harness({});
  FakeBackend backend;
  {
    ConsoleDevice console({}, harness.loop(), harness.memory(), backend);
    EXPECT_TRUE(backend.has_client());
  }
  EXPECT_FALSE(backend.has_client());
}

// With any order of completions, no byte is lost, doubled or reordered.
TEST(ConsoleDeviceTest, EchoIsCompleteInAnyOrder) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    DeviceHarness harness({.loop = {.seed = seed}, .event_idx = seed % 2 == 0});
    FakeBackend backend;
    backend.resume_at_once = seed % 3 == 0;
    ConsoleDevice console({}, harness.loop(), harness.memory(), backend);
    harness.Start(console, kAllFeatures, static_cast<uint16_t>(65530 + seed));
    const std::string text = Pattern(20'000);
    backend.Type(text);
    std::string received;
    for (int i = 0; i < 5'000 && received.size() < text.size(); ++i) {
      const auto size = static_cast<uint32_t>(1 + (seed * 31 + static_cast<uint64_t>(i)) % 700);
      FakeDriver& rx = harness.driver(kRx);
      if (rx.free_descriptors() > 0) rx.Chain().Writable(size).Offer();
      harness.Publish(kRx);
      backend.Pump();
      harness.loop().RunUntilIdle();
      while (const auto used = rx.PopUsed()) {
        const auto bytes = rx.WritableBytes(static_cast<uint16_t>(used->id));
        harness.driver(kTx).Chain().Readable(std::span(bytes).first(used->len)).Offer();
        harness.Publish(kTx);
        ASSERT_TRUE(harness.driver(kTx).PopUsed().has_value());
        received.append(bytes.begin(), bytes.begin() + used->len);
      }
    }
    EXPECT_TRUE(received == text) << "seed " << seed;
    EXPECT_TRUE(backend.output == text) << "seed " << seed;
    ASSERT_TRUE(harness.Stop(console));
  }
}

}  // namespace
}  // namespace virtio
