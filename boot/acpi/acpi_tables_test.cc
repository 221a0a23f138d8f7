#include "boot/acpi/acpi_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "boot/testing/golden_fixtures.h"
#include "boot/wire.h"

namespace boot {
namespace {

using ::testing::ElementsAre;

AcpiConfig Config(uint32_t vcpus) {
  AcpiConfig config;
  for (uint32_t i = 0; i < vcpus; ++i) config.apic_ids.push_back(i);
  config.local_apic_addr = 0xFEE00000;
  config.ioapic_addr = 0xFEC00000;
  config.ecam = {0xE0000000, 1 << 20};
  config.pci_mmio32 = {0xC0000000, 0x20000000};
  config.pci_mmio64 = {uint64_t{1} << 38, uint64_t{1} << 36};
  config.event_gsi = 5;
  config.serial = AcpiSerialPort{};
  return config;
}

uint8_t Sum(std::span<const uint8_t> bytes) {
  uint8_t sum = 0;
  for (const uint8_t byte : bytes) sum = static_cast<uint8_t>(sum + byte);
  return sum;
}

// Finds the tables as a guest does: by address, starting at the RSDP.
class Guest {
 public:
  Guest(const AcpiTables& tables, uint64_t base) : tables_(tables), base_(base) {
    xsdt_ = Table(Load<uint64_t>(tables.rsdp_addr + 24));
    for (size_t at = 36; at < xsdt_.size(); at += 8) {
      const Bytes table = Table(LoadWire<uint64_t>(xsdt_, at));
      by_signature_[Signature(table)] = table;
    }
    const Bytes dsdt = Table(LoadWire<uint64_t>(by_signature_.at("FACP"), 140));
    by_signature_[Signature(dsdt)] = dsdt;
    by_signature_["XSDT"] = xsdt_;
  }

  template <typename T>
  T Load(uint64_t addr) const {
    return LoadWire<T>(tables_.bytes, addr - base_);
  }

  Bytes Table(uint64_t addr) const {
    EXPECT_EQ(addr % 16, 0);
    const auto begin = tables_.bytes.begin() + static_cast<ptrdiff_t>(addr - base_);
    return Bytes(begin, begin + Load<uint32_t>(addr + 4));
  }

  const std::map<std::string, Bytes>& tables() const { return by_signature_; }

 private:
  static std::string Signature(const Bytes& table) {
    return std::string(table.begin(), table.begin() + 4);
  }

  const AcpiTables& tables_;
  uint64_t base_;
  Bytes xsdt_;
  std::map<std::string, Bytes> by_signature_;
};

std::map<std::string, Bytes> TablesOf(const AcpiConfig& config) {
  const auto tables = BuildAcpiTables(config);
  EXPECT_TRUE(tables.ok()) << tables.status();
  return Guest(*tables, config.table_base).tables();
}

// A fresh directory in which iasl runs.
class Iasl {
 public:
  explicit Iasl(const std::string& name)
      : dir_(std::filesystem::path(::testing::TempDir()) / absl::StrCat("acpi_", name, getpid())) {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  ~Iasl() { std::filesystem::remove_all(dir_); }

  // Returns iasl's output. Fails the test if iasl fails or is not installed.
  std::string Run(const std::string& arguments) {
    const std::string log = (dir_ / "log").string();
    const std::string command =
        absl::StrCat("cd ", dir_.string(), " && iasl ", arguments, " >", log, " 2>&1");
    EXPECT_EQ(std::system(command.c_str()), 0) << command << "\n" << ReadFile(log);
    return ReadFile(log);
  }

  // Returns the disassembly, without the lines that depend on the date or the directory.
  std::string Disassemble(const std::string& name, const Bytes& table) {
    WriteFile(dir_ / (name + ".aml"), std::string(table.begin(), table.end()));
    const std::string said = Run(absl::StrCat("-d ", name, ".aml"));
    EXPECT_FALSE(absl::StrContains(said, "Error")) << said;
    EXPECT_FALSE(absl::StrContains(said, "Warning")) << said;
    std::istringstream lines(ReadFile(dir_ / (name + ".dsl")));
    std::string text;
    for (std::string line; std::getline(lines, line);) {
      const bool varies = absl::StrContains(line, "Disassembly of") ||
                          absl::StrContains(line, "Copyright (c)") ||
                          absl::StrContains(line, "Disassembler version");
      if (!varies) absl::StrAppend(&text, absl::string_view(line), "\n");
    }
    return text;
  }

 private:
  std::filesystem::path dir_;
};

TEST(AcpiTablesTest, AreReachableAndHaveCorrectSums) {
  const AcpiConfig config = Config(4);
  const auto tables = BuildAcpiTables(config);
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_EQ(tables->rsdp_addr, 0xE0000);
  const std::span<const uint8_t> bytes(tables->bytes);
  EXPECT_EQ(std::memcmp(bytes.data(), "RSD PTR ", 8), 0);
  EXPECT_EQ(bytes[15], 2) << "RSDP revision";
  EXPECT_EQ(Sum(bytes.first(20)), 0);
  EXPECT_EQ(Sum(bytes.first(36)), 0);
  const Guest guest(*tables, config.table_base);
  std::vector<std::string> signatures;
  for (const auto& [signature, table] : guest.tables()) {
    EXPECT_EQ(Sum(table), 0) << signature;
    signatures.push_back(signature);
  }
  EXPECT_THAT(signatures, ElementsAre("APIC", "DSDT", "FACP", "MCFG", "XSDT"));
}

void ExpectGoldenTables(const std::string& name, const AcpiConfig& config) {
  Iasl iasl(name);
  for (const auto& [signature, table] : TablesOf(config)) {
    ExpectGolden(absl::StrCat("acpi/", name, "/", signature, ".dsl"),
                 iasl.Disassemble(signature, table));
  }
}

TEST(AcpiGoldenTest, OneVcpuWithSerial) { ExpectGoldenTables("1_vcpu_serial", Config(1)); }

TEST(AcpiGoldenTest, FourVcpusWithoutSerialRtcAndHighWindow) {
  AcpiConfig config = Config(4);
  config.serial.reset();
  config.cmos_rtc = false;
  config.pci_mmio64 = {};
  ExpectGoldenTables("4_vcpus_no_serial", config);
}

TEST(AcpiGoldenTest, MadtOf300VcpusUsesX2ApicEntriesFromId255) {
  Iasl iasl("300");
  ExpectGolden("acpi/300_vcpus/APIC.dsl",
               iasl.Disassemble("APIC", TablesOf(Config(300)).at("APIC")));
}

TEST(AcpiIaslTest, RecompilesTheDsdtWithoutErrorsAndWarnings) {
  AcpiConfig bare = Config(1);
  bare.serial.reset();
  bare.cmos_rtc = false;
  bare.pci_mmio64 = {};
  for (const AcpiConfig& config : {Config(1), Config(300), bare}) {
    Iasl iasl("compile");
    iasl.Disassemble("dsdt", TablesOf(config).at("DSDT"));
    EXPECT_THAT(iasl.Run("-tc dsdt.dsl"), ::testing::HasSubstr("0 Errors, 0 Warnings, 0 Remarks"));
  }
}

TEST(AcpiTablesTest, DescribeSparseApicIds) {
  AcpiConfig config = Config(3);
  config.apic_ids = {0, 254, 255};
  const Bytes madt = TablesOf(config).at("APIC");
  const std::span<const uint8_t> entries = std::span(madt).subspan(44);
  EXPECT_EQ(entries[0], 0);        // type: local APIC
  EXPECT_EQ(entries[8], 0);        // type: local APIC
  EXPECT_EQ(entries[8 + 2], 1);    // its processor
  EXPECT_EQ(entries[8 + 3], 254);  // its APIC
  EXPECT_EQ(entries[16], 9);       // type: local x2APIC
  EXPECT_EQ(LoadWire<uint32_t>(entries, 16 + 4), 255);
  EXPECT_EQ(LoadWire<uint32_t>(entries, 16 + 12), 2);
  EXPECT_EQ(entries[32], 1);  // type: I/O APIC
}

TEST(AcpiTablesTest, TablesOf1024VcpusFitIn64KiB) {
  const auto tables = BuildAcpiTables(Config(1024));
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_LE(tables->bytes.size(), 0x10000);
}

TEST(AcpiTablesTest, UseUpToTheLimitAndNotMore) {
  AcpiConfig config = Config(1);
  const size_t needed = BuildAcpiTables(config)->bytes.size();
  config.table_limit = config.table_base + needed;
  EXPECT_TRUE(BuildAcpiTables(config).ok());
  --config.table_limit;
  EXPECT_EQ(BuildAcpiTables(config).status().message(),
            absl::StrCat("ACPI: the tables for 1 vCPUs need ", needed, " bytes, ", needed - 1,
                         " are there; lower cpus.boot_vcpus"));
}

struct BadConfig {
  const char* name;
  void (*spoil)(AcpiConfig&);
  const char* message;
};

class BadAcpiConfigTest : public ::testing::TestWithParam<BadConfig> {};

TEST_P(BadAcpiConfigTest, IsRefused) {
  AcpiConfig config = Config(1);
  GetParam().spoil(config);
  EXPECT_EQ(std::string(BuildAcpiTables(config).status().message()), GetParam().message);
}

constexpr BadConfig kBadConfigs[] = {
    {"NoVcpu", [](AcpiConfig& c) { c.apic_ids.clear(); },
     "ACPI: 0 vCPUs, 1 to 4096 can be described"},
    {"TooManyVcpus", [](AcpiConfig& c) { c.apic_ids.resize(4097); },
     "ACPI: 4097 vCPUs, 1 to 4096 can be described"},
    {"EcamHigh", [](AcpiConfig& c) { c.ecam.start = uint64_t{1} << 32; },
     "ACPI: ECAM at 0x100000000 of 0x100000 bytes is not 1 MiB or more below 4 GiB"},
    {"EcamSmall", [](AcpiConfig& c) { c.ecam.size = 4096; },
     "ACPI: ECAM at 0xe0000000 of 0x1000 bytes is not 1 MiB or more below 4 GiB"},
    {"WindowHigh", [](AcpiConfig& c) { c.pci_mmio32.size = uint64_t{1} << 32; },
     "ACPI: a PCI memory window is outside its address range"},
    {"Window64Wraps", [](AcpiConfig& c) { c.pci_mmio64.size = UINT64_MAX; },
     "ACPI: a PCI memory window is outside its address range"},
    {"SerialIrq", [](AcpiConfig& c) { c.serial->irq = 16; },
     "ACPI: serial interrupt 16 is above 15"},
    {"Misaligned", [](AcpiConfig& c) { c.table_base += 8; },
     "ACPI: tables cannot be between 0xe0008 and 0xf0000"},
    {"LimitBelowBase", [](AcpiConfig& c) { c.table_limit = 0; },
     "ACPI: tables cannot be between 0xe0000 and 0"},
};

INSTANTIATE_TEST_SUITE_P(All, BadAcpiConfigTest, ::testing::ValuesIn(kBadConfigs),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace boot
