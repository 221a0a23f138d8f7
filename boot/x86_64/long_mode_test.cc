#include "boot/x86_64/long_mode.h"

#include <gtest/gtest.h>

#include <optional>

#include "boot/wire.h"

namespace boot {
namespace {

constexpr uint64_t kBase = 0x9000;
constexpr uint64_t kAddressMask = 0x000FFFFFFFFFF000;

// Walks the tables as the processor does. Returns the address to which `addr` is mapped, if the
// mapping is writable.
std::optional<uint64_t> Translate(const Bytes& tables, uint64_t addr) {
  uint64_t table = kBase;
  for (const int shift : {39, 30, 21}) {
    const uint64_t index = addr >> shift & 511;
    const auto entry = LoadWire<uint64_t>(tables, table - kBase + index * 8);
    if ((entry & 3) != 3) return std::nullopt;
    if (shift == 21) {
      if ((entry & 0x80) == 0) return std::nullopt;
      return (entry & kAddressMask) + (addr & 0x1FFFFF);
    }
    table = entry & kAddressMask;
  }
  return std::nullopt;
}

TEST(IdentityPageTablesTest, MapExactlyTheFirst4GiB) {
  const auto tables = BuildIdentityPageTables(kBase);
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_EQ(tables->size(), kIdentityPageTableBytes);
  for (uint64_t addr = 0; addr < uint64_t{1} << 32; addr += 0x1FF000) {
    ASSERT_EQ(Translate(*tables, addr), addr);
  }
  EXPECT_EQ(Translate(*tables, 0xFFFFFFFF), 0xFFFFFFFF);
  EXPECT_EQ(Translate(*tables, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(Translate(*tables, uint64_t{1} << 39), std::nullopt);
}

TEST(IdentityPageTablesTest, RefuseAnUnalignedOrHighBase) {
  EXPECT_FALSE(BuildIdentityPageTables(0x9001).ok());
  EXPECT_FALSE(BuildIdentityPageTables(UINT64_MAX & ~uint64_t{4095}).ok());
  EXPECT_FALSE(BuildIdentityPageTables((uint64_t{1} << 32) - 4096).ok());
}

// Linux writes these descriptors in its own boot GDT.
TEST(GdtTest, HasLinuxBootDescriptors) {
  const Bytes gdt64 = BuildGdt(/*long_mode=*/true);
  EXPECT_EQ(LoadWire<uint64_t>(gdt64, 0), 0u);
  EXPECT_EQ(LoadWire<uint64_t>(gdt64, 0x10), 0x00AF9B000000FFFFu);
  EXPECT_EQ(LoadWire<uint64_t>(gdt64, 0x18), 0x00CF93000000FFFFu);
  EXPECT_EQ(LoadWire<uint64_t>(gdt64, 0x20), 0x00008B0000000067u);
  EXPECT_EQ(LoadWire<uint64_t>(BuildGdt(/*long_mode=*/false), 0x10), 0x00CF9B000000FFFFu);
}

TEST(EntryStateTest, Linux64IsInLongModeWithPaging) {
  const EntryState state = Linux64EntryState(0x1000200, 0x7000, 0x500, kBase);
  EXPECT_EQ(state.rip, 0x1000200u);
  EXPECT_EQ(state.rsi, 0x7000u);
  EXPECT_EQ(state.rflags, 2u);
  EXPECT_EQ(state.cr0, 0x80000011u);
  EXPECT_EQ(state.cr3, kBase);
  EXPECT_EQ(state.cr4, 0x20u);
  EXPECT_EQ(state.efer, 0x500u);
  EXPECT_EQ(state.gdt_base, 0x500u);
  EXPECT_EQ(state.gdt_limit + 1u, BuildGdt(true).size());
  EXPECT_TRUE(state.cs.long_mode);
  EXPECT_FALSE(state.cs.default_32_bit);
  EXPECT_EQ(state.cs.selector, 0x10);
  EXPECT_EQ(state.data.selector, 0x18);
}

TEST(EntryStateTest, PvhIsInFlat32BitModeWithoutPaging) {
  const EntryState state = PvhEntryState(0x1000010, 0x6000, 0x500);
  EXPECT_EQ(state.rip, 0x1000010u);
  EXPECT_EQ(state.rbx, 0x6000u);
  EXPECT_EQ(state.cr0, 0x11u);
  EXPECT_EQ(state.cr4, 0u);
  EXPECT_EQ(state.efer, 0u);
  EXPECT_FALSE(state.cs.long_mode);
  EXPECT_TRUE(state.cs.default_32_bit);
  EXPECT_EQ(state.cs.limit, 0xFFFFFFFF);
  EXPECT_EQ(state.data.limit, 0xFFFFFFFF);
  EXPECT_EQ(state.tr.limit, 0x67u);
  EXPECT_EQ(state.tr.type, 0xB);
}

}  // namespace
}  // namespace boot
