#include "devices/character/output_ring.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace devices {
namespace {

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string TakeAll(OutputRing& ring, size_t chunk = 4096) {
  std::string all;
  std::vector<uint8_t> buffer(chunk);
  while (const size_t taken = ring.Take(buffer))
    all.append(buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(taken));
  return all;
}

TEST(OutputRingTest, KeepsTheOrderWhenItWraps) {
  OutputRing ring;
  std::string expected, got;
  for (int i = 0; i < 300; ++i) {
    const std::string text(1000, static_cast<char>('a' + i % 26));
    ring.Append(Bytes(text));
    expected += text;
    if (i % 40 == 39) got += TakeAll(ring, 777);
  }
  EXPECT_EQ(got + TakeAll(ring), expected);
  EXPECT_EQ(ring.dropped_bytes(), 0u);
  EXPECT_TRUE(ring.empty());
}

TEST(OutputRingTest, FullRingDropsTheOldestAndMarksThePlace) {
  OutputRing ring;
  ring.Append(Bytes(std::string(OutputRing::kCapacityBytes, 'a')));
  EXPECT_EQ(ring.dropped_bytes(), 0u);
  ring.Append(Bytes("0123456789"));
  EXPECT_EQ(ring.dropped_bytes(), 10u);
  const std::string all = TakeAll(ring);
  EXPECT_EQ(all, "\r\n[vmm: 10 bytes dropped]\r\n" +
                     std::string(OutputRing::kCapacityBytes - 10, 'a') + "0123456789");
}

TEST(OutputRingTest, OneHugeAppendKeepsItsEnd) {
  OutputRing ring;
  ring.Append(Bytes("lost"));
  std::string text(3 * OutputRing::kCapacityBytes + 5, 'x');
  text += "end";
  ring.Append(Bytes(text));
  EXPECT_EQ(ring.dropped_bytes(), 4 + text.size() - OutputRing::kCapacityBytes);
  EXPECT_EQ(TakeAll(ring).substr(OutputRing::kCapacityBytes), [&] {
    const std::string mark =
        "\r\n[vmm: " + std::to_string(ring.dropped_bytes()) + " bytes dropped]\r\n";
    return std::string(mark.size() - 3, 'x') + "end";
  }());
}

TEST(OutputRingTest, EachLossIsMarkedOnce) {
  OutputRing ring;
  ring.Append(Bytes("gone"));
  ring.Clear();
  ring.Append(Bytes("a"));
  EXPECT_EQ(TakeAll(ring), "\r\n[vmm: 4 bytes dropped]\r\na");
  ring.Append(Bytes("b"));
  EXPECT_EQ(TakeAll(ring), "b");
  ring.CountDropped(2);
  ring.Append(Bytes("c"));
  EXPECT_EQ(TakeAll(ring), "\r\n[vmm: 2 bytes dropped]\r\nc");
  EXPECT_EQ(ring.dropped_bytes(), 6u);
}

TEST(OutputRingTest, MarkFitsTheSmallestTakeWithTheLargestNumber) {
  OutputRing ring;
  ring.CountDropped(~uint64_t{0});
  ring.Append(Bytes("a"));
  std::vector<uint8_t> buffer(OutputRing::kMinTakeBytes);
  const size_t taken = ring.Take(buffer);
  EXPECT_EQ(std::string(buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(taken)),
            "\r\n[vmm: 18446744073709551615 bytes dropped]\r\na");
}

}  // namespace
}  // namespace devices
