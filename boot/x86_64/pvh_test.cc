#include "boot/x86_64/pvh.h"

#include <gtest/gtest.h>

#include <span>

#include "boot/wire.h"

namespace boot {
namespace {

constexpr uint64_t kAddr = 0x6000;

PvhConfig Config(std::span<const E820Entry> map) {
  PvhConfig config;
  config.start_info_addr = kAddr;
  config.limit = kAddr + 0x1000;
  config.info.memory_map = map;
  config.info.cmdline_addr = 0x20000;
  config.info.initrd = {0x7000000, 0x12345};
  config.info.rsdp_addr = 0xE0000;
  return config;
}

const E820Entry kMap[] = {{{0, 0x9FC00}, E820Type::kRam},
                          {{0x9FC00, 0x60400}, E820Type::kReserved}};

// Reads by address, as the guest does.
template <typename T>
T At(const Bytes& bytes, uint64_t addr) {
  return LoadWire<T>(bytes, addr - kAddr);
}

TEST(PvhStartInfoTest, HasEveryFieldOfVersionOne) {
  const auto bytes = BuildPvhStartInfo(Config(kMap));
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(At<uint32_t>(*bytes, kAddr), 0x336ec578u) << "magic";
  EXPECT_EQ(At<uint32_t>(*bytes, kAddr + 4), 1u) << "version";
  EXPECT_EQ(At<uint32_t>(*bytes, kAddr + 12), 1u) << "nr_modules";
  EXPECT_EQ(At<uint64_t>(*bytes, kAddr + 24), 0x20000u) << "cmdline_paddr";
  EXPECT_EQ(At<uint64_t>(*bytes, kAddr + 32), 0xE0000u) << "rsdp_paddr";
  EXPECT_EQ(At<uint32_t>(*bytes, kAddr + 48), 2u) << "memmap_entries";

  const auto module = At<uint64_t>(*bytes, kAddr + 16);
  EXPECT_EQ(At<uint64_t>(*bytes, module), 0x7000000u);
  EXPECT_EQ(At<uint64_t>(*bytes, module + 8), 0x12345u);

  const auto second = At<uint64_t>(*bytes, kAddr + 40) + 24;
  EXPECT_EQ(At<uint64_t>(*bytes, second), 0x9FC00u);
  EXPECT_EQ(At<uint64_t>(*bytes, second + 8), 0x60400u);
  EXPECT_EQ(At<uint32_t>(*bytes, second + 16), 2u);
  EXPECT_EQ(second + 24, kAddr + bytes->size());
}

TEST(PvhStartInfoTest, HasNoModuleWithoutInitrd) {
  PvhConfig config = Config(kMap);
  config.info.initrd = {};
  const auto bytes = BuildPvhStartInfo(config);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(At<uint32_t>(*bytes, kAddr + 12), 0u);
  EXPECT_EQ(At<uint64_t>(*bytes, kAddr + 16), 0u);
  EXPECT_EQ(At<uint64_t>(*bytes, kAddr + 40), kAddr + 56);
}

TEST(PvhStartInfoTest, Fits128EntriesInAPageAndRespectsItsLimit) {
  const std::vector<E820Entry> map(129);
  PvhConfig config = Config(std::span(map).first(128));
  const auto bytes = BuildPvhStartInfo(config);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  config.limit = kAddr + bytes->size();
  EXPECT_TRUE(BuildPvhStartInfo(config).ok());
  --config.limit;
  EXPECT_FALSE(BuildPvhStartInfo(config).ok());
  config.limit = 0;
  EXPECT_FALSE(BuildPvhStartInfo(config).ok());
  EXPECT_FALSE(BuildPvhStartInfo(Config(map)).ok());
}

}  // namespace
}  // namespace boot
