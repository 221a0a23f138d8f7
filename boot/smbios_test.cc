#include "boot/smbios.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "absl/strings/str_format.h"
#include "boot/testing/golden_fixtures.h"
#include "boot/wire.h"

namespace boot {
namespace {

SmbiosConfig Config() {
  SmbiosConfig config;
  config.area = {0xF0000, 0x10000};
  config.uuid = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
  return config;
}

std::string Message(const SmbiosConfig& config) {
  return std::string(BuildSmbios(config).status().message());
}

// Returns a dump of 16 bytes per line, with their address and text.
std::string HexDump(std::span<const uint8_t> bytes, uint64_t addr) {
  std::string out;
  for (size_t line = 0; line < bytes.size(); line += 16) {
    const auto part = bytes.subspan(line, std::min<size_t>(16, bytes.size() - line));
    std::string text;
    absl::StrAppendFormat(&out, "%08x ", addr + line);
    for (const uint8_t byte : part) {
      absl::StrAppendFormat(&out, " %02x", byte);
      text.push_back(byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '.');
    }
    absl::StrAppend(&out, std::string(2 + 3 * (16 - part.size()), ' '), text, "\n");
  }
  return out;
}

// One structure: its fixed bytes and its strings. Structures are listed in the order of the table.
struct Structure {
  Bytes fixed;
  std::vector<std::string> strings;
};

std::vector<Structure> Walk(std::span<const uint8_t> bytes) {
  std::vector<Structure> out;
  size_t at = LoadWire<uint64_t>(bytes, 16) - 0xF0000;
  const size_t end = at + LoadWire<uint32_t>(bytes, 12);
  EXPECT_EQ(end, bytes.size());
  while (at < end) {
    const size_t length = bytes[at + 1];
    Structure structure{Bytes(bytes.begin() + static_cast<ptrdiff_t>(at),
                              bytes.begin() + static_cast<ptrdiff_t>(at + length)),
                        {}};
    at += length;
    if (bytes[at] == 0) ++at;
    while (bytes[at] != 0) {
      structure.strings.emplace_back(reinterpret_cast<const char*>(&bytes[at]));
      at += structure.strings.back().size() + 1;
    }
    ++at;
    out.push_back(structure);
  }
  return out;
}

TEST(SmbiosTest, MatchesTheGoldenFile) {
  SmbiosConfig config = Config();
  config.version = "1.0";
  config.serial_number = "serial-7";
  config.sku_number = "sku";
  config.family = "family";
  config.oem_strings = {"io.systemd.credential:hello=world", "second"};
  const auto bytes = BuildSmbios(config);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  ExpectGolden("smbios/full.hex", HexDump(*bytes, config.area.start));
}

TEST(SmbiosTest, DefaultsMatchTheGoldenFile) {
  const auto bytes = BuildSmbios(Config());
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  ExpectGolden("smbios/default.hex", HexDump(*bytes, 0xF0000));
}

TEST(SmbiosTest, S5_2_2_EntryPointHasAnchorLengthAndSum) {
  const auto bytes = BuildSmbios(Config());
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(std::string(bytes->begin(), bytes->begin() + 5), "_SM3_");
  EXPECT_EQ((*bytes)[6], 24);
  uint8_t sum = 0;
  for (size_t i = 0; i < 24; ++i) sum = static_cast<uint8_t>(sum + (*bytes)[i]);
  EXPECT_EQ(sum, 0);
}

TEST(SmbiosTest, HasTheStructuresInOrder) {
  SmbiosConfig config = Config();
  config.oem_strings = {"a", "b"};
  const auto structures = Walk(*BuildSmbios(config));
  ASSERT_EQ(structures.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(structures[i].fixed[0], (std::array<int, 4>{0, 1, 11, 127})[i]);
    EXPECT_EQ(LoadWire<uint16_t>(structures[i].fixed, 2), i) << "handle";
  }
  EXPECT_EQ(structures[2].fixed[4], 2) << "count of OEM strings";
  EXPECT_EQ(structures[2].strings, config.oem_strings);
  EXPECT_EQ(Walk(*BuildSmbios(Config())).size(), 3u) << "no type 11 without strings";
}

TEST(SmbiosTest, S7_4_AssetTagIsInTheEnclosure) {
  SmbiosConfig config = Config();
  config.chassis_asset_tag = "rack-7";
  const auto structures = Walk(*BuildSmbios(config));
  ASSERT_EQ(structures.size(), 4u);
  const auto& enclosure = structures[2];
  ASSERT_EQ(enclosure.fixed.size(), 0x15u);
  EXPECT_EQ(enclosure.fixed[0], 3);
  ASSERT_EQ(enclosure.fixed[8], enclosure.strings.size()) << "the number of the tag";
  EXPECT_EQ(enclosure.strings.back(), "rack-7");
}

TEST(SmbiosTest, S7_2_1_UuidIsMixedEndian) {
  const auto system = Walk(*BuildSmbios(Config()))[1];
  EXPECT_EQ(Bytes(system.fixed.begin() + 8, system.fixed.begin() + 24),
            (Bytes{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc,
                   0xdd, 0xee, 0xff}));
}

TEST(SmbiosTest, AbsentStringsHaveNumberZero) {
  SmbiosConfig config = Config();
  config.manufacturer = "";
  config.product_name = "p";
  const auto system = Walk(*BuildSmbios(config))[1];
  EXPECT_EQ(system.fixed[4], 0);
  EXPECT_EQ(system.fixed[5], 1);
  EXPECT_EQ(system.strings, std::vector<std::string>{"p"});
  config.product_name = "";
  EXPECT_TRUE(Walk(*BuildSmbios(config))[1].strings.empty());
}

TEST(SmbiosTest, AcceptsAtMost255OemStrings) {
  SmbiosConfig config = Config();
  config.oem_strings.assign(255, "x");
  EXPECT_EQ(Walk(*BuildSmbios(config))[2].strings.size(), 255u);
  config.oem_strings.push_back("x");
  EXPECT_EQ(
      Message(config),
      "platform.oem_strings: with the credentials there are 256 strings, at most 255 fit; remove "
      "some");
}

TEST(SmbiosTest, UsesItsWholeAreaAndNotMore) {
  SmbiosConfig config = Config();
  const size_t base = BuildSmbios(config)->size();
  config.oem_strings = {std::string(65536 - base - 7, 'x')};  // 5 for the header, 2 for NULs
  EXPECT_EQ(BuildSmbios(config)->size(), 65536u);
  config.oem_strings[0].push_back('x');
  EXPECT_EQ(
      Message(config),
      "platform.oem_strings: with the credentials the SMBIOS tables need 65537 bytes, at most "
      "65536 fit; shorten them");
}

TEST(SmbiosTest, RefusesStringsThatBreakTheTable) {
  SmbiosConfig config = Config();
  config.oem_strings = {"a", std::string("b\0c", 3)};
  EXPECT_EQ(Message(config), "platform.oem_strings[1]: has a NUL character; remove it");
  config.oem_strings = {"a", ""};
  EXPECT_EQ(Message(config), "platform.oem_strings[1]: is empty; remove it");
  config.oem_strings.clear();
  config.serial_number = std::string("\0", 1);
  EXPECT_EQ(Message(config), "SMBIOS serial number: has a NUL character; remove it");
}

}  // namespace
}  // namespace boot
