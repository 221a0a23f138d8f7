#include "boot/acpi/aml.h"

#include <gtest/gtest.h>

#include "boot/wire.h"

namespace boot {
namespace {

TEST(AmlTest, S20_2_2_NamesArePaddedAndPrefixed) {
  EXPECT_EQ(AmlPath("_S5"), (Aml{'_', 'S', '5', '_'}));
  EXPECT_EQ(AmlPath("\\_SB"), (Aml{'\\', '_', 'S', 'B', '_'}));
  EXPECT_EQ(AmlPath("\\_SB.PCI0"), (Aml{'\\', 0x2E, '_', 'S', 'B', '_', 'P', 'C', 'I', '0'}));
  EXPECT_EQ(AmlPath("A.B.C"),
            (Aml{0x2F, 3, 'A', '_', '_', '_', 'B', '_', '_', '_', 'C', '_', '_', '_'}));
}

TEST(AmlTest, S20_2_3_IntegersTakeTheShortestForm) {
  EXPECT_EQ(AmlInteger(0), (Aml{0x00}));
  EXPECT_EQ(AmlInteger(1), (Aml{0x01}));
  EXPECT_EQ(AmlInteger(2), (Aml{0x0A, 2}));
  EXPECT_EQ(AmlInteger(0xFF), (Aml{0x0A, 0xFF}));
  EXPECT_EQ(AmlInteger(0x100), (Aml{0x0B, 0x00, 0x01}));
  EXPECT_EQ(AmlInteger(0x10000), (Aml{0x0C, 0, 0, 1, 0}));
  EXPECT_EQ(AmlInteger(uint64_t{1} << 32), (Aml{0x0E, 0, 0, 0, 0, 1, 0, 0, 0}));
}

// Decodes a PkgLength. [ACPI 6.5 §20.2.4]
size_t DecodeLength(const Aml& aml, size_t at) {
  const size_t more = aml[at] >> 6;
  if (more == 0) return aml[at];
  size_t length = aml[at] & 0x0F;
  for (size_t i = 1; i <= more; ++i) length |= size_t{aml[at + i]} << (8 * i - 4);
  return length;
}

TEST(AmlTest, S20_2_4_PackageLengthsCoverThemselvesAtEverySize) {
  for (const size_t size :
       {0u,    50u,   57u,   58u,   59u,   60u,      61u,      62u,      63u,      4080u,   4088u,
        4089u, 4090u, 4091u, 4092u, 4096u, 1048560u, 1048570u, 1048571u, 1048572u, 1048573u}) {
    const Aml aml = AmlElse(Aml(size, 0xA3));
    EXPECT_EQ(DecodeLength(aml, 1), aml.size() - 1) << size;
  }
}

TEST(AmlTest, S20_2_4_PackageLengthOfSixBitsEndsAt63) {
  EXPECT_EQ(AmlElse(Aml(62))[1], 63);
  EXPECT_EQ(AmlElse(Aml(63)).size(), 1 + 2 + 63u);
}

TEST(AmlTest, S19_3_4_EisaIdsAreCompressed) {
  EXPECT_EQ(AmlEisaId("PNP0A03"), (Aml{0x0C, 0x41, 0xD0, 0x0A, 0x03}));
}

TEST(AmlTest, S19_6_142_UuidsAreMixedEndian) {
  EXPECT_EQ(AmlUuid("33DB4D5B-1FF7-401c-9657-7441C03DD766"),
            (Aml{0x11, 0x13, 0x0A, 0x10, 0x5B, 0x4D, 0xDB, 0x33, 0xF7, 0x1F,
                 0x1C, 0x40, 0x96, 0x57, 0x74, 0x41, 0xC0, 0x3D, 0xD7, 0x66}));
}

TEST(AmlTest, S6_4_ResourcesEndWithTheEndTag) {
  EXPECT_EQ(AmlResources({AmlIoPorts(0x70, 2)}),
            (Aml{0x11, 0x0D, 0x0A, 0x0A, 0x47, 0x01, 0x70, 0x00, 0x70, 0x00, 0x01, 0x02, 0x79, 0}));
}

TEST(AmlTest, S6_4_3_5_WindowsCarryInclusiveEndsAndLength) {
  const Aml window = AmlMemoryWindow64(0x1000, 0x2FFF);
  EXPECT_EQ(window.size(), 46u);
  EXPECT_EQ(window[0], 0x8A);
  EXPECT_EQ(LoadWire<uint16_t>(window, 1), 43);
  EXPECT_EQ(LoadWire<uint64_t>(window, 14), 0x1000u);
  EXPECT_EQ(LoadWire<uint64_t>(window, 22), 0x2FFFu);
  EXPECT_EQ(LoadWire<uint64_t>(window, 38), 0x2000u);
}

}  // namespace
}  // namespace boot
