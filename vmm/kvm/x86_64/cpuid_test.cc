#include "vmm/kvm/x86_64/cpuid.h"

#include <stdlib.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

// Reads a dump with one line per entry: "function index flags eax ebx ecx edx", all hexadecimal.
std::vector<kvm_cpuid_entry2> ReadDump(const std::string& name) {
  std::ifstream file(std::string(VMM_SOURCE_DIR "/tests/golden/cpuid/") + name);
  EXPECT_TRUE(file.good()) << name;
  std::vector<kvm_cpuid_entry2> entries;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream in(line);
    kvm_cpuid_entry2 entry = {};
    in >> std::hex >> entry.function >> entry.index >> entry.flags >> entry.eax >> entry.ebx >>
        entry.ecx >> entry.edx;
    EXPECT_FALSE(in.fail()) << line;
    entries.push_back(entry);
  }
  return entries;
}

std::string Dump(const std::vector<kvm_cpuid_entry2>& entries) {
  std::string text;
  for (const kvm_cpuid_entry2& e : entries) {
    text += absl::StrFormat("%08x %x %x %08x %08x %08x %08x\n", e.function, e.index, e.flags, e.eax,
                            e.ebx, e.ecx, e.edx);
  }
  return text;
}

void ExpectGolden(const std::string& actual, const std::string& name) {
  const std::string path = std::string(VMM_SOURCE_DIR "/tests/golden/cpuid/") + name;
  if (getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(path) << actual;
  std::ifstream file(path);
  std::stringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(actual, golden.str()) << "UPDATE_GOLDEN=1 rewrites " << path;
}

const kvm_cpuid_entry2* Find(const std::vector<kvm_cpuid_entry2>& entries, uint32_t function,
                             uint32_t index = 0) {
  for (const kvm_cpuid_entry2& entry : entries) {
    if (entry.function == function && entry.index == index) return &entry;
  }
  return nullptr;
}

TEST(CpuidTest, AmdGuestSeesTheGoldenMachine) {
  auto entries = BuildCpuid(ReadDump("amd.supported"),
                            {.vcpu_count = 4, .tsc_deadline_timer = true, .tsc_khz = 2'500'000});
  SetCpuidApicId(entries, 3);
  ExpectGolden(Dump(entries), "amd.guest");
}

TEST(CpuidTest, IntelGuestSeesTheGoldenMachine) {
  auto entries = BuildCpuid(ReadDump("intel.supported"),
                            {.vcpu_count = 2, .tsc_deadline_timer = true, .tsc_khz = 2'000'000});
  SetCpuidApicId(entries, 1);
  ExpectGolden(Dump(entries), "intel.guest");
}

// The host offers every bit, so the list alone decides what the guest gets.
TEST(CpuidTest, BitsThatAreNotOnTheListAreAlwaysOff) {
  std::vector<kvm_cpuid_entry2> all;
  for (const uint32_t function :
       {0x1U, 0x6U, 0x7U, 0xAU, 0x14U, 0x4000'0001U, 0x8000'0001U, 0x8000'000AU}) {
    kvm_cpuid_entry2 entry = {};
    entry.function = function;
    entry.eax = entry.ebx = entry.ecx = entry.edx = 0xFFFF'FFFF;
    all.push_back(entry);
  }
  const auto entries = BuildCpuid(all, {});
  EXPECT_EQ(Find(entries, 0x1)->ecx & (1U << 5), 0U) << "VMX";
  EXPECT_EQ(Find(entries, 0x1)->ecx & (1U << 3), 0U) << "MONITOR";
  EXPECT_EQ(Find(entries, 0x8000'0001)->ecx & (1U << 2), 0U) << "SVM";
  EXPECT_EQ(Find(entries, 0x6)->ecx, 0U) << "APERFMPERF";
  EXPECT_EQ(Find(entries, 0x7)->ebx & (1U << 2), 0U) << "SGX";
  EXPECT_EQ(Find(entries, 0xA), nullptr) << "performance counters";
  EXPECT_EQ(Find(entries, 0x14), nullptr) << "processor trace";
  EXPECT_EQ(Find(entries, 0x8000'000A), nullptr) << "SVM features";
}

TEST(CpuidTest, NestedPassesVirtualizationOnly) {
  std::vector<kvm_cpuid_entry2> supported = ReadDump("amd.supported");
  const auto plain = BuildCpuid(supported, {});
  const auto nested = BuildCpuid(supported, {.nested = true});
  EXPECT_EQ(Find(plain, 0x8000'0001)->ecx & 4U, 0U);
  EXPECT_EQ(Find(nested, 0x8000'0001)->ecx & 4U, 4U);
  EXPECT_EQ(Find(nested, 0x8000'0001)->ecx & ~4U, Find(plain, 0x8000'0001)->ecx);
}

TEST(CpuidTest, TopologyIsOnePackageOfCores) {
  for (const uint32_t vcpus : {1U, 2U, 3U, 64U, 300U}) {
    auto entries = BuildCpuid(ReadDump("amd.supported"), {.vcpu_count = vcpus});
    SetCpuidApicId(entries, vcpus - 1);
    const kvm_cpuid_entry2* threads = Find(entries, 0xB, 0);
    const kvm_cpuid_entry2* cores = Find(entries, 0xB, 1);
    EXPECT_EQ(threads->ebx, 1U);
    EXPECT_EQ(cores->ebx, vcpus);
    EXPECT_EQ(cores->edx, vcpus - 1) << "x2APIC id";
    EXPECT_GE(1U << cores->eax, vcpus) << "the ids of all cores must fit";
    EXPECT_EQ((Find(entries, 0x1)->edx >> 28 & 1) != 0, vcpus > 1) << "HTT";
  }
}

TEST(CpuidTest, FrequencyLeafExistsIfTheFrequencyIsKnown) {
  const auto with = BuildCpuid(ReadDump("amd.supported"), {.tsc_khz = 3'000'000});
  EXPECT_EQ(Find(with, 0x4000'0010)->eax, 3'000'000U);
  EXPECT_EQ(Find(with, 0x4000'0000)->eax, 0x4000'0010U);
  const auto without = BuildCpuid(ReadDump("amd.supported"), {});
  EXPECT_EQ(Find(without, 0x4000'0010), nullptr);
}

TEST(CpuidTest, PhysicalBitsAreTheSmallerOfHostAndConfig) {
  const uint32_t host = Find(ReadDump("amd.supported"), 0x8000'0008)->eax & 0xFF;
  EXPECT_EQ(
      Find(BuildCpuid(ReadDump("amd.supported"), {.max_phys_bits = 39}), 0x8000'0008)->eax & 0xFF,
      39U);
  EXPECT_EQ(
      Find(BuildCpuid(ReadDump("amd.supported"), {.max_phys_bits = 64}), 0x8000'0008)->eax & 0xFF,
      host);
}

}  // namespace
}  // namespace vmm
