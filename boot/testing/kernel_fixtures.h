// Test only: small kernel files built by code, and a source that reads them. The files are valid
// until a test changes a field.
#ifndef BOOT_TESTING_KERNEL_FIXTURES_H_
#define BOOT_TESTING_KERNEL_FIXTURES_H_

#include <asm/bootparam.h>
#include <elf.h>

#include <cstdint>
#include <cstring>
#include <span>

#include "boot/byte_source.h"
#include "boot/memory_map.h"
#include "boot/wire.h"

namespace boot {

inline constexpr uint64_t kTestMiB = 1 << 20;
inline constexpr uint64_t kElfPhdrOffset = sizeof(Elf64_Ehdr);
inline constexpr uint64_t kElfNoteOffset = 0x200;
inline constexpr uint64_t kElfCodeOffset = 0x400;
inline constexpr uint64_t kElfDataOffset = 0x600;
inline constexpr uint64_t kElfFileBytes = 0x700;
inline constexpr uint64_t kElfCodeAddr = 16 * kTestMiB;
inline constexpr uint64_t kElfDataAddr = 17 * kTestMiB;
inline constexpr uint64_t kElfEntryAddr = kElfCodeAddr + 0x10;

// Returns the load window of a guest with `mib` MiB of RAM.
inline MemoryRange TestWindow(uint64_t mib) { return {kTestMiB, (mib - 1) * kTestMiB}; }

template <typename T>
void Poke(Bytes& file, size_t offset, T value) {
  StoreWire(std::span<uint8_t>(file), offset, value);
}

// Returns a note with name "Xen" and `desc`.
inline Bytes XenNote(uint32_t type, std::span<const uint8_t> desc) {
  Bytes note;
  AppendWire(note, Elf64_Nhdr{4, static_cast<Elf64_Word>(desc.size()), type});
  AppendBytes(note, std::span(reinterpret_cast<const uint8_t*>("Xen"), 4));
  AppendBytes(note, desc);
  note.resize((note.size() + 3) & ~size_t{3});
  return note;
}

// Replaces the notes of an ELF fixture.
inline void SetNotes(Bytes& file, std::span<const uint8_t> notes) {
  std::memcpy(file.data() + kElfNoteOffset, notes.data(), notes.size());
  Poke(file, kElfPhdrOffset + offsetof(Elf64_Phdr, p_filesz), uint64_t{notes.size()});
}

// Returns the offset, in an ELF fixture, of `field` of program header `index`: 0 is the notes, 1 is
// code, 2 is data with bss.
inline size_t ElfPhdr(size_t index, size_t field) {
  return kElfPhdrOffset + index * sizeof(Elf64_Phdr) + field;
}

// Returns a vmlinux with a PVH note and two segments, the second of which has a bss.
inline Bytes MakeElf() {
  Bytes file(kElfFileBytes);
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_entry = 0xffffffff81000000;
  header.e_phoff = kElfPhdrOffset;
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 3;
  Poke(file, 0, header);

  Elf64_Phdr note = {};
  note.p_type = PT_NOTE;
  note.p_offset = kElfNoteOffset;
  Elf64_Phdr code = {};
  code.p_type = PT_LOAD;
  code.p_flags = PF_R | PF_X;
  code.p_offset = kElfCodeOffset;
  code.p_vaddr = 0xffffffff81000000;
  code.p_paddr = kElfCodeAddr;
  code.p_filesz = 0x100;
  code.p_memsz = 0x100;
  Elf64_Phdr data = code;
  data.p_flags = PF_R | PF_W;
  data.p_offset = kElfDataOffset;
  data.p_paddr = kElfDataAddr;
  data.p_memsz = 0x5000;
  Poke(file, ElfPhdr(0, 0), note);
  Poke(file, ElfPhdr(1, 0), code);
  Poke(file, ElfPhdr(2, 0), data);
  Bytes entry;
  AppendWire(entry, kElfEntryAddr);
  SetNotes(file, XenNote(18, entry));
  return file;
}

inline constexpr uint64_t kBzSetupSectors = 4;
inline constexpr uint64_t kBzPayloadOffset = (kBzSetupSectors + 1) * 512;
inline constexpr uint64_t kBzPayloadBytes = 0x1000;
inline constexpr uint64_t kBzInitSize = 8 * kTestMiB;
inline constexpr uint64_t kBzPrefAddr = 16 * kTestMiB;

// Returns the offset in a bzImage fixture of a field of setup_header.
inline size_t BzHeader(size_t field) { return offsetof(boot_params, hdr) + field; }

// Returns a bzImage of protocol 2.15.
inline Bytes MakeBzImage() {
  Bytes file(kBzPayloadOffset + kBzPayloadBytes);
  file[0] = 'M';
  file[1] = 'Z';
  setup_header header = {};
  header.setup_sects = kBzSetupSectors;
  header.syssize = kBzPayloadBytes / 16;
  header.boot_flag = 0xAA55;
  header.jump = 0x6AEB;  // a jump over 0x6a bytes: the header ends at 0x26c
  header.header = 0x53726448;
  header.version = 0x020F;
  header.loadflags = LOADED_HIGH;
  header.initrd_addr_max = 0x7fffffff;
  header.kernel_alignment = 2 * kTestMiB;
  header.relocatable_kernel = 1;
  header.min_alignment = 21;
  header.xloadflags = XLF_KERNEL_64;
  header.cmdline_size = 2047;
  header.payload_offset = 0x300;
  header.payload_length = 0x800;
  header.pref_address = kBzPrefAddr;
  header.init_size = kBzInitSize;
  Poke(file, BzHeader(0), header);
  return file;
}

// Reads bytes in memory, which must outlive the object.
class MemoryByteSource : public ByteSource {
 public:
  explicit MemoryByteSource(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  uint64_t size() const override { return bytes_.size(); }

  bool ReadAt(uint64_t offset, std::span<uint8_t> out) const override {
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) return false;
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return true;
  }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace boot

#endif  // BOOT_TESTING_KERNEL_FIXTURES_H_
