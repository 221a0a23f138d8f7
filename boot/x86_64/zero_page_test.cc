#include "boot/x86_64/zero_page.h"

#include <gtest/gtest.h>

#include "boot/testing/kernel_fixtures.h"

namespace boot {
namespace {

// The offsets come from Linux's Documentation/x86/zero-page.rst and boot.rst, not from the UAPI
// structure.
TEST(ZeroPageTest, HasEveryFieldAtItsOffset) {
  const Bytes file = MakeBzImage();
  const Bytes header(file.begin() + 0x1f1, file.begin() + 0x26c);
  const E820Entry map[] = {{{0, 0x9FC00}, E820Type::kRam},
                           {{0x9FC00, 0x60400}, E820Type::kReserved}};
  const auto page = BuildZeroPage(header, {.memory_map = map,
                                           .cmdline_addr = 0x120000000,
                                           .initrd = {0x234567000, 0x312345678},
                                           .rsdp_addr = 0xE0000});
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->size(), 4096u);
  const auto u32 = [&](size_t at) { return LoadWire<uint32_t>(*page, at); };
  EXPECT_EQ(LoadWire<uint64_t>(*page, 0x070), 0xE0000u) << "acpi_rsdp_addr";
  EXPECT_EQ(u32(0x0c0), 2u) << "ext_ramdisk_image";
  EXPECT_EQ(u32(0x0c4), 3u) << "ext_ramdisk_size";
  EXPECT_EQ(u32(0x0c8), 1u) << "ext_cmd_line_ptr";
  EXPECT_EQ((*page)[0x1e8], 2) << "e820_entries";
  EXPECT_EQ((*page)[0x1ef], 0) << "sentinel";
  EXPECT_EQ((*page)[0x210], 0xff) << "type_of_loader";
  EXPECT_EQ(u32(0x218), 0x34567000u) << "ramdisk_image";
  EXPECT_EQ(u32(0x21c), 0x12345678u) << "ramdisk_size";
  EXPECT_EQ(u32(0x228), 0x20000000u) << "cmd_line_ptr";
  EXPECT_EQ(u32(0x202), 0x53726448u) << "header";
  EXPECT_EQ(u32(0x260), kBzInitSize) << "init_size";
  EXPECT_EQ(LoadWire<uint64_t>(*page, 0x2d0 + 20), 0x9FC00u) << "second entry's address";
  EXPECT_EQ(LoadWire<uint64_t>(*page, 0x2d0 + 28), 0x60400u) << "its size";
  EXPECT_EQ(u32(0x2d0 + 36), 2u) << "its type";
}

TEST(ZeroPageTest, KeepsUnknownHeaderBytes) {
  Bytes header(0x290 - 0x1f1);
  header.back() = 0x5a;
  const auto page = BuildZeroPage(header, {});
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ((*page)[0x28f], 0x5a);
}

TEST(ZeroPageTest, RefusesTooLongHeadersAndMemoryMaps) {
  const Bytes header(0x291 - 0x1f1);
  EXPECT_FALSE(BuildZeroPage(header, {}).ok());
  const std::vector<E820Entry> map(129);
  BootInfo info;
  info.memory_map = map;
  EXPECT_FALSE(BuildZeroPage({}, info).ok());
  info.memory_map = std::span(map).first(128);
  EXPECT_TRUE(BuildZeroPage({}, info).ok());
}

}  // namespace
}  // namespace boot
