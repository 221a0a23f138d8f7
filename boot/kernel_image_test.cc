#include "boot/kernel_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <span>
#include <string>

#include "boot/testing/kernel_fixtures.h"

namespace boot {
namespace {

using ::testing::ElementsAre;

absl::StatusOr<LoadPlan> Plan(const Bytes& file, uint64_t ram_mib = 128) {
  return PlanKernelLoad(MemoryByteSource(file), "K", TestWindow(ram_mib));
}

Bytes Text(absl::string_view text, size_t offset = 0) {
  Bytes out(offset);
  AppendBytes(out, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  return out;
}

TEST(ElfTest, IsLoadedByPhysicalAddressAndEnteredThroughItsPvhNote) {
  const auto plan = Plan(MakeElf());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->protocol, BootProtocol::kPvh);
  EXPECT_EQ(plan->entry_addr, kElfEntryAddr);
  EXPECT_THAT(plan->segments,
              ElementsAre(LoadSegment{kElfCodeOffset, kElfCodeAddr, 0x100, 0x100},
                          LoadSegment{kElfDataOffset, kElfDataAddr, 0x100, 0x5000}));
  EXPECT_EQ(plan->occupied, (MemoryRange{kElfCodeAddr, kElfDataAddr + 0x5000 - kElfCodeAddr}));
  EXPECT_EQ(plan->initrd_addr_max, 0xffffffff);
  EXPECT_EQ(plan->cmdline_max_bytes, 2047);
  EXPECT_TRUE(plan->setup_header.empty());
}

TEST(ElfTest, TakesAnEntryOfFourBytesAfterOtherNotes) {
  Bytes notes = XenNote(3, Text("abc"));  // this descriptor needs padding
  Bytes entry;
  AppendWire(entry, static_cast<uint32_t>(kElfCodeAddr + 0x20));
  AppendBytes(notes, XenNote(18, entry));
  Bytes file = MakeElf();
  SetNotes(file, notes);
  const auto plan = Plan(file);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->entry_addr, kElfCodeAddr + 0x20);
}

TEST(ElfTest, IgnoresSegmentsThatTakeNoMemory) {
  Bytes file = MakeElf();
  Poke(file, ElfPhdr(2, offsetof(Elf64_Phdr, p_filesz)), uint64_t{0});
  Poke(file, ElfPhdr(2, offsetof(Elf64_Phdr, p_memsz)), uint64_t{0});
  const auto plan = Plan(file);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->segments.size(), 1);
}

TEST(ElfTest, TakesASegmentWithoutFileBytesWhateverItsFileOffset) {
  Bytes file = MakeElf();
  Poke(file, ElfPhdr(2, offsetof(Elf64_Phdr, p_filesz)), uint64_t{0});
  Poke(file, ElfPhdr(2, offsetof(Elf64_Phdr, p_offset)), uint64_t{1} << 40);
  EXPECT_TRUE(Plan(file).ok());
}

TEST(ElfTest, FitsIntoAWindowOfExactlyItsSize) {
  Bytes file = MakeElf();
  Poke(file, ElfPhdr(2, offsetof(Elf64_Phdr, p_memsz)), 3 * kTestMiB);
  EXPECT_TRUE(Plan(file, 20).ok());
  EXPECT_FALSE(Plan(file, 19).ok());
}

TEST(BzImageTest, IsLoadedAtItsPreferredAddress) {
  const auto plan = Plan(MakeBzImage());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->protocol, BootProtocol::kLinux64);
  EXPECT_EQ(plan->entry_addr, kBzPrefAddr + 0x200);
  EXPECT_THAT(plan->segments, ElementsAre(LoadSegment{kBzPayloadOffset, kBzPrefAddr,
                                                      kBzPayloadBytes, kBzPayloadBytes}));
  EXPECT_EQ(plan->occupied, (MemoryRange{kBzPrefAddr, kBzInitSize}));
  EXPECT_EQ(plan->initrd_addr_max, 0x7fffffff);
  EXPECT_EQ(plan->cmdline_max_bytes, 2047);
}

TEST(BzImageTest, CopiesTheSetupHeaderAsFarAsTheJumpSays) {
  const Bytes file = MakeBzImage();
  const auto plan = Plan(file);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->setup_header, Bytes(file.begin() + 0x1f1, file.begin() + 0x26c));
}

TEST(BzImageTest, IsLoadedLowerWhenThePreferredAddressDoesNotFit) {
  const auto plan = Plan(MakeBzImage(), 20);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->occupied, (MemoryRange{2 * kTestMiB, kBzInitSize}));
  EXPECT_EQ(plan->entry_addr, 2 * kTestMiB + 0x200);
}

TEST(BzImageTest, TreatsZeroSetupSectorsAsFour) {
  Bytes file = MakeBzImage();
  file[0x1f1] = 0;
  const auto plan = Plan(file);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->segments[0].file_offset, 5 * 512);
}

TEST(BzImageTest, FitsIntoAWindowOfExactlyItsSize) {
  EXPECT_TRUE(Plan(MakeBzImage(), 10).ok());
  EXPECT_FALSE(Plan(MakeBzImage(), 9).ok());
}

// Behaves like a disk that fails after the first page.
class FailingSource : public MemoryByteSource {
 public:
  using MemoryByteSource::MemoryByteSource;
  bool ReadAt(uint64_t offset, std::span<uint8_t> out) const override {
    return allowed-- > 0 && MemoryByteSource::ReadAt(offset, out);
  }
  mutable int allowed = 0;
};

TEST(KernelImageTest, ReportsReadErrorsAtEveryRead) {
  const Bytes file = MakeElf();
  FailingSource source(file);
  const char* const kMessages[] = {
      "K: cannot be read; check that it is a regular file on a sound disk",
      "K: cannot be read (the ELF program headers); check the disk it is on",
      "K: cannot be read (the ELF notes); check the disk it is on",
  };
  for (int i = 0; i < 3; ++i) {
    source.allowed = i;
    EXPECT_EQ(PlanKernelLoad(source, "K", TestWindow(128)).status().message(), kMessages[i]);
  }
  source.allowed = 3;
  EXPECT_TRUE(PlanKernelLoad(source, "K", TestWindow(128)).ok());
}

TEST(KernelImageTest, RefusesAWindowThatWraps) {
  const Bytes file = MakeElf();
  EXPECT_FALSE(PlanKernelLoad(MemoryByteSource(file), "K", {kTestMiB, UINT64_MAX}).ok());
}

// Every truncation of a good file is refused with a message, and none crashes.
TEST(KernelImageTest, RefusesEveryTruncation) {
  const auto check = [](const Bytes& whole) {
    for (size_t size = 0; size < whole.size(); ++size) {
      const auto plan = Plan(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)));
      ASSERT_FALSE(plan.ok()) << size;
      EXPECT_EQ(plan.status().message().substr(0, 3), "K: ");
    }
  };
  check(MakeElf());
  check(MakeBzImage());
}

struct BadKernel {
  const char* name;
  std::function<Bytes()> make;
  const char* message;
  uint64_t ram_mib = 128;
};

Bytes Elf(const std::function<void(Bytes&)>& spoil) {
  Bytes file = MakeElf();
  spoil(file);
  return file;
}

Bytes BzImage(const std::function<void(Bytes&)>& spoil) {
  Bytes file = MakeBzImage();
  spoil(file);
  return file;
}

template <typename T>
std::function<Bytes()> ElfWith(size_t offset, T value) {
  return [=] { return Elf([&](Bytes& file) { Poke(file, offset, value); }); };
}

template <typename T>
std::function<Bytes()> BzWith(size_t field, T value) {
  return [=] { return BzImage([&](Bytes& file) { Poke(file, BzHeader(field), value); }); };
}

std::function<Bytes()> Cut(Bytes (*make)(), size_t size) {
  return [=] {
    Bytes file = make();
    file.resize(size);
    return file;
  };
}

std::function<Bytes()> TextFile(absl::string_view text, size_t offset = 0) {
  return [=] { return Text(text, offset); };
}

const BadKernel kBadKernels[] = {
    {"Empty", [] { return Bytes(); },
     "K: is empty; give an x86_64 vmlinux with a PVH note, or a bzImage"},
    {"Json", TextFile("{\"payload\": {}}\n"),
     "K: is not a kernel but JSON text; give an x86_64 vmlinux with a PVH note, or a bzImage"},
    {"Text", TextFile("#!/bin/sh\n"),
     "K: is not a kernel but text; give an x86_64 vmlinux with a PVH note, or a bzImage"},
    {"Zeros", [] { return Bytes(8192); },
     "K: is not a kernel but only zeros at its start; give an x86_64 vmlinux with a PVH note, or a "
     "bzImage"},
    {"Random", TextFile("\x01\x02\x03\x04\x05"),
     "K: is not a kernel but unknown data; give an x86_64 vmlinux with a PVH note, or a bzImage"},
    {"DiskImage", TextFile("\x55\xaa", 0x1fe),
     "K: is not a kernel but a disk image or boot sector; give an x86_64 vmlinux with a PVH note, "
     "or a bzImage"},
    {"Qcow2", TextFile("QFI\xfb"),
     "K: is not a kernel but a qcow2 disk image; give an x86_64 vmlinux with a PVH note, or a "
     "bzImage"},
    {"Initramfs", TextFile("070701"),
     "K: is not a kernel but a cpio archive, perhaps the initramfs; give an x86_64 vmlinux with a "
     "PVH note, or a bzImage"},
    {"EfiProgram", TextFile("MZ\x90"),
     "K: is not a kernel but an EFI program without a Linux boot header; give an x86_64 vmlinux "
     "with a PVH note, or a bzImage"},
    {"Aarch64Image", TextFile("ARM\x64", 0x38),
     "K: is an aarch64 kernel (Image), this machine is x86_64; give an x86_64 vmlinux with a PVH "
     "note, or a bzImage"},
    {"RiscvImage", TextFile("RSC\x05", 0x38),
     "K: is a RISC-V kernel (Image), this machine is x86_64; give an x86_64 vmlinux with a PVH "
     "note, or a bzImage"},
    {"EfiZboot", TextFile("MZ..zimg"),
     "K: is a kernel for another architecture (compressed EFI image), this machine is x86_64; give "
     "an x86_64 vmlinux with a PVH note, or a bzImage"},
    {"Gzip", TextFile("\x1f\x8b\x08"),
     "K: is compressed with gzip; decompress it first, with gunzip"},
    {"Xz",
     TextFile(absl::string_view("\xfd"
                                "7zXZ\0",
                                6)),
     "K: is compressed with xz; decompress it first, with unxz"},
    {"Zstd", TextFile("\x28\xb5\x2f\xfd"),
     "K: is compressed with zstd; decompress it first, with unzstd"},
    {"Lz4", TextFile("\x04\x22\x4d\x18"),
     "K: is compressed with lz4; decompress it first, with unlz4"},
    {"Lz4Legacy", TextFile("\x02\x21\x4c\x18"),
     "K: is compressed with lz4; decompress it first, with unlz4"},

    {"ElfMagicOnly",
     TextFile("\x7f"
              "ELF"),
     "K: is cut off after 4 bytes: 64 are needed for the ELF header; copy the file again"},
    {"ElfCutInHeader", Cut(MakeElf, 63),
     "K: is cut off after 63 bytes: 64 are needed for the ELF header; copy the file again"},
    {"ElfCutInProgramHeaders", Cut(MakeElf, 100),
     "K: is cut off after 100 bytes: 232 are needed for the ELF program headers; copy the file "
     "again"},
    {"ElfCutInNotes", Cut(MakeElf, 0x208),
     "K: is cut off after 520 bytes: 536 are needed for the ELF notes; copy the file again"},
    {"ElfCutInSegment", Cut(MakeElf, 0x610),
     "K: is cut off after 1552 bytes: 1792 are needed for segment 2; copy the file again"},
    {"ElfAarch64", ElfWith(offsetof(Elf64_Ehdr, e_machine), uint16_t{EM_AARCH64}),
     "K: is an ELF file for aarch64, this machine is x86_64; give an x86_64 vmlinux with a PVH "
     "note, or a bzImage"},
    {"ElfS390",
     [] {
       return Elf([](Bytes& file) {
         file[EI_DATA] = ELFDATA2MSB;
         Poke(file, offsetof(Elf64_Ehdr, e_machine), base::Be16(EM_S390));
       });
     },
     "K: is an ELF file for s390x, this machine is x86_64; give an x86_64 vmlinux with a PVH note, "
     "or a bzImage"},
    {"Elf32",
     [] {
       return Elf([](Bytes& file) {
         file[EI_CLASS] = ELFCLASS32;
         Poke(file, offsetof(Elf64_Ehdr, e_machine), uint16_t{EM_386});
       });
     },
     "K: is a 32-bit ELF file; give an x86_64 vmlinux with a PVH note, or a bzImage"},
    {"ElfBadClass", ElfWith(EI_CLASS, uint8_t{7}),
     "K: has a broken ELF header (class or byte order); copy the file again"},
    {"ElfObject", ElfWith(offsetof(Elf64_Ehdr, e_type), uint16_t{ET_REL}),
     "K: is an object file or kernel module, not a kernel; give an x86_64 vmlinux with a PVH note, "
     "or a bzImage"},
    {"ElfSharedObject", ElfWith(offsetof(Elf64_Ehdr, e_type), uint16_t{ET_DYN}),
     "K: is a shared object or a program for an operating system, not a kernel; give an x86_64 "
     "vmlinux with a PVH note, or a bzImage"},
    {"ElfCore", ElfWith(offsetof(Elf64_Ehdr, e_type), uint16_t{ET_CORE}),
     "K: is a core dump, not a kernel; give an x86_64 vmlinux with a PVH note, or a bzImage"},
    {"ElfNoProgramHeaders", ElfWith(offsetof(Elf64_Ehdr, e_phnum), uint16_t{0}),
     "K: has 0 program headers of 56 bytes, a kernel has 1 to 128 of 56; give an x86_64 vmlinux "
     "with a PVH note, or a bzImage"},
    {"ElfProgramHeadersWrap", ElfWith(offsetof(Elf64_Ehdr, e_phoff), UINT64_MAX - 4),
     "K: has a broken ELF header: the ELF program headers at 0xfffffffffffffffb of 0xa8 bytes; "
     "copy the file again"},
    {"ElfNoPvhNote", ElfWith(kElfNoteOffset + offsetof(Elf64_Nhdr, n_type), uint32_t{17}),
     "K: is an ELF file without a PVH note; build the kernel with CONFIG_PVH=y, or give its "
     "bzImage"},
    {"ElfNoteNameOther", ElfWith(kElfNoteOffset + sizeof(Elf64_Nhdr), uint32_t{0x554e47}),
     "K: is an ELF file without a PVH note; build the kernel with CONFIG_PVH=y, or give its "
     "bzImage"},
    {"ElfNoteOverruns", ElfWith(kElfNoteOffset + offsetof(Elf64_Nhdr, n_descsz), UINT32_MAX),
     "K: is an ELF file without a PVH note; build the kernel with CONFIG_PVH=y, or give its "
     "bzImage"},
    {"ElfNotesHuge",
     [] {
       return Elf([](Bytes& file) {
         Poke(file, ElfPhdr(0, offsetof(Elf64_Phdr, p_filesz)), uint64_t{65537});
         file.resize(1 << 17);
       });
     },
     "K: has 65537 bytes of ELF notes, at most 65536 are read; give an x86_64 vmlinux with a PVH "
     "note, or a bzImage"},
    {"ElfNoSegments",
     [] {
       return Elf([](Bytes& file) { Poke(file, offsetof(Elf64_Ehdr, e_phnum), uint16_t{1}); });
     },
     "K: has no segment to load; give an x86_64 vmlinux with a PVH note, or a bzImage"},
    {"ElfSegmentMoreFileThanMemory",
     ElfWith(ElfPhdr(1, offsetof(Elf64_Phdr, p_memsz)), uint64_t{0x80}),
     "K: has a broken ELF header: segment 1 has 0x100 bytes of file for 0x80 bytes of memory at "
     "0x1000000; copy the file again"},
    {"ElfSegmentWraps", ElfWith(ElfPhdr(2, offsetof(Elf64_Phdr, p_paddr)), UINT64_MAX - 10),
     "K: has a broken ELF header: segment 2 has 0x100 bytes of file for 0x5000 bytes of memory at "
     "0xfffffffffffffff5; copy the file again"},
    {"ElfSegmentLow", ElfWith(ElfPhdr(1, offsetof(Elf64_Phdr, p_paddr)), uint64_t{0x7000}),
     "K: loads segment 1 at [0x7000, 0x7100), below 0x100000 where boot data lives; link it "
     "higher"},
    {"ElfSegmentVirtual", ElfWith(ElfPhdr(1, offsetof(Elf64_Phdr, p_paddr)), 0xffffffff81000000),
     "K: loads segment 1 at [0xffffffff81000000, 0xffffffff81000100), outside RAM [0x100000, "
     "0x8000000); link it lower"},
    {"ElfOversized", ElfWith(ElfPhdr(2, offsetof(Elf64_Phdr, p_memsz)), 500 * kTestMiB),
     "K: is too large for the guest's RAM: it needs 517 MiB below 4 GiB, there are 128 MiB; "
     "raise memory.size"},
    {"ElfSegmentsOverlap", ElfWith(ElfPhdr(2, offsetof(Elf64_Phdr, p_paddr)), kElfCodeAddr - 8),
     "K: loads two segments at the same place, [0x1000000, 0x1000100) and [0xfffff8, 0x1004ff8); "
     "copy the file again"},
    {"ElfEntryOutside", ElfWith(kElfNoteOffset + sizeof(Elf64_Nhdr) + 4, uint64_t{0x5000000}),
     "K: has its PVH entry at 0x5000000, outside its segments; copy the file again"},

    {"BzCutInHeader", Cut(MakeBzImage, 0x220),
     "K: is cut off after 544 bytes: 616 are needed for the boot header; copy the file again"},
    {"BzCutInPayload", Cut(MakeBzImage, 3000),
     "K: is cut off after 3000 bytes: 6656 are needed for the kernel; copy the file again"},
    {"BzTooOld", BzWith(offsetof(setup_header, version), uint16_t{0x20a}),
     "K: speaks boot protocol 2.10, too old; at least 2.12 (Linux 3.8) is needed"},
    {"BzHeaderTooShort", BzWith(offsetof(setup_header, jump), uint16_t{0x10eb}),
     "K: has a broken boot header: it ends at 0x212; copy the file again"},
    {"BzHeaderTooLong", BzWith(offsetof(setup_header, jump), uint16_t{0xffeb}),
     "K: has a broken boot header: it ends at 0x301; copy the file again"},
    {"BzNoBootFlag", BzWith(offsetof(setup_header, boot_flag), uint16_t{0}),
     "K: has a broken boot header: boot_flag is 0; copy the file again"},
    {"ZImage", BzWith(offsetof(setup_header, loadflags), uint8_t{0}),
     "K: is a zImage, which loads low; build a bzImage"},
    {"Bz32Bit", BzWith(offsetof(setup_header, xloadflags), uint16_t{0}),
     "K: has no 64-bit entry point (a 32-bit kernel); give an x86_64 kernel"},
    {"BzBadAlignment", BzWith(offsetof(setup_header, kernel_alignment), uint32_t{3}),
     "K: has a broken boot header: kernel_alignment is 0x3; copy the file again"},
    {"BzNoPayload", BzWith(offsetof(setup_header, syssize), uint32_t{0x20}),
     "K: has a broken boot header: syssize is 0x20; copy the file again"},
    {"BzPayloadLength", BzWith(offsetof(setup_header, payload_length), UINT32_MAX),
     "K: has a broken boot header: payload_length is 0xffffffff; copy the file again"},
    {"BzOversized", [] { return MakeBzImage(); },
     "K: is too large for the guest's RAM: it needs 10 MiB below 4 GiB, there are 9 MiB; raise "
     "memory.size",
     9},
    {"BzFixedOversized", BzWith(offsetof(setup_header, relocatable_kernel), uint8_t{0}),
     "K: is too large for the guest's RAM: it needs 24 MiB below 4 GiB, there are 20 MiB; raise "
     "memory.size",
     20},
    {"BzFixedLow",
     [] {
       return BzImage([](Bytes& file) {
         Poke(file, BzHeader(offsetof(setup_header, relocatable_kernel)), uint8_t{0});
         Poke(file, BzHeader(offsetof(setup_header, pref_address)), uint64_t{0x10000});
       });
     },
     "K: has a broken boot header: pref_address is 0x10000; copy the file again"},
};

class BadKernelTest : public ::testing::TestWithParam<BadKernel> {};

TEST_P(BadKernelTest, HasItsOwnMessage) {
  const auto plan = Plan(GetParam().make(), GetParam().ram_mib);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(std::string(plan.status().message()), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(All, BadKernelTest, ::testing::ValuesIn(kBadKernels),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace boot
