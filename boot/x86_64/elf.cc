// Loads an ELF vmlinux, which is entered through its PVH note [Xen docs/misc/pvh.pandoc,
// xen/include/public/elfnote.h].
#include <elf.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "boot/kernel_formats.h"
#include "boot/wire.h"

namespace boot {
namespace {

constexpr uint32_t kXenNotePhys32Entry = 18;  // XEN_ELFNOTE_PHYS32_ENTRY
constexpr absl::string_view kXenNoteName("Xen\0", 4);
constexpr size_t kMaxProgramHeaders = 128;     // a vmlinux has 5
constexpr uint64_t kMaxNoteBytes = 64 * 1024;  // a vmlinux has about 500 bytes
// LINUX: x86 copies at most COMMAND_LINE_SIZE (2048) bytes, including the NUL, and silently drops
// the rest. The PVH protocol has no field for the limit.
constexpr uint64_t kPvhCmdlineMaxBytes = 2047;
// LINUX: hvm_start_info carries 64 bits, but the PVH entry keeps only the low half of a module
// address.
constexpr uint64_t kPvhInitrdAddrMax = std::numeric_limits<uint32_t>::max();

std::string MachineName(uint16_t machine) {
  switch (machine) {
    case EM_386:
      return "i386";
    case EM_ARM:
      return "32-bit ARM";
    case EM_AARCH64:
      return "aarch64";
    case EM_RISCV:
      return "RISC-V";
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390x";
    case EM_LOONGARCH:
      return "LoongArch";
    default:
      return absl::StrCat("ELF machine ", machine);
  }
}

std::string RangeText(MemoryRange range) {
  return absl::StrFormat("[%#x, %#x)", range.start, range.end());
}

absl::Status CheckIdentity(const KernelFile& file) {
  constexpr size_t kMachineEnd = offsetof(Elf64_Ehdr, e_version);
  if (file.head.size() < kMachineEnd) {
    return TruncatedError(file, "the ELF header", sizeof(Elf64_Ehdr));
  }
  const bool big_endian = file.head[EI_DATA] == ELFDATA2MSB;
  uint16_t machine = LoadWire<uint16_t>(file.head, offsetof(Elf64_Ehdr, e_machine));
  if (big_endian) machine = base::ByteSwap(machine);
  if (file.head[EI_CLASS] == ELFCLASS32 && (machine == EM_386 || machine == EM_X86_64)) {
    return KernelError(file, absl::StrCat("is a 32-bit ELF file; give ", kWantedKernel));
  }
  if (big_endian || machine != EM_X86_64) {
    return KernelError(file, absl::StrCat("is an ELF file for ", MachineName(machine),
                                          ", this machine is x86_64; give ", kWantedKernel));
  }
  if (file.head[EI_CLASS] != ELFCLASS64 || file.head[EI_DATA] != ELFDATA2LSB) {
    return KernelError(file, "has a broken ELF header (class or byte order); copy the file again");
  }
  if (file.head.size() < sizeof(Elf64_Ehdr)) {
    return TruncatedError(file, "the ELF header", sizeof(Elf64_Ehdr));
  }
  return absl::OkStatus();
}

absl::Status CheckType(const KernelFile& file, uint16_t type) {
  absl::string_view what;
  switch (type) {
    case ET_EXEC:
      return absl::OkStatus();
    case ET_REL:
      what = "an object file or kernel module";
      break;
    case ET_DYN:
      what = "a shared object or a program for an operating system";
      break;
    case ET_CORE:
      what = "a core dump";
      break;
    default:
      what = "an ELF file of unknown type";
      break;
  }
  return KernelError(file, absl::StrCat("is ", what, ", not a kernel; give ", kWantedKernel));
}

// Fails if [offset, offset + length) is not inside the file.
absl::Status CheckInFile(const KernelFile& file, absl::string_view part, uint64_t offset,
                         uint64_t length) {
  if (length > std::numeric_limits<uint64_t>::max() - offset) {
    return KernelError(file, absl::StrFormat("has a broken ELF header: %s at %#x of %#x bytes; "
                                             "copy the file again",
                                             part, offset, length));
  }
  if (offset + length > file.bytes.size()) return TruncatedError(file, part, offset + length);
  return absl::OkStatus();
}

absl::Status ReadError(const KernelFile& file, absl::string_view part) {
  return KernelError(file, absl::StrCat("cannot be read (", part, "); check the disk it is on"));
}

absl::StatusOr<std::vector<Elf64_Phdr>> ReadProgramHeaders(const KernelFile& file,
                                                           const Elf64_Ehdr& header) {
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
      header.e_phnum > kMaxProgramHeaders) {
    return KernelError(
        file, absl::StrFormat("has %d program headers of %d bytes, a kernel has 1 to %d of %d; "
                              "give %s",
                              header.e_phnum, header.e_phentsize, kMaxProgramHeaders,
                              sizeof(Elf64_Phdr), kWantedKernel));
  }
  const uint64_t table_bytes = uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  constexpr absl::string_view kPart = "the ELF program headers";
  RETURN_IF_ERROR(CheckInFile(file, kPart, header.e_phoff, table_bytes));
  Bytes raw(table_bytes);
  if (!file.bytes.ReadAt(header.e_phoff, raw)) return ReadError(file, kPart);
  std::vector<Elf64_Phdr> table;
  for (size_t i = 0; i < header.e_phnum; ++i) {
    table.push_back(LoadWire<Elf64_Phdr>(raw, i * sizeof(Elf64_Phdr)));
  }
  return table;
}

absl::StatusOr<LoadSegment> PlanSegment(const KernelFile& file, size_t index,
                                        const Elf64_Phdr& header) {
  const std::string part = absl::StrCat("segment ", index);
  const LoadSegment segment{header.p_offset, header.p_paddr, header.p_filesz, header.p_memsz};
  if (segment.file_bytes != 0) {
    RETURN_IF_ERROR(CheckInFile(file, part, segment.file_offset, segment.file_bytes));
  }
  const MemoryRange memory = segment.memory();
  if (memory.Wraps() || segment.file_bytes > segment.memory_bytes) {
    return KernelError(
        file, absl::StrFormat("has a broken ELF header: %s has %#x bytes of file for %#x bytes "
                              "of memory at %#x; copy the file again",
                              part, segment.file_bytes, segment.memory_bytes, memory.start));
  }
  if (memory.start < file.window.start) {
    return KernelError(file, absl::StrFormat("loads %s at %s, below %#x where boot data lives; "
                                             "link it higher",
                                             part, RangeText(memory), file.window.start));
  }
  if (memory.end() > file.window.end()) {
    constexpr uint64_t kFourGiB = uint64_t{1} << 32;
    if (memory.end() <= kFourGiB) return TooLargeError(file, memory.end());
    return KernelError(file, absl::StrFormat("loads %s at %s, outside RAM %s; link it lower", part,
                                             RangeText(memory), RangeText(file.window)));
  }
  return segment;
}

absl::StatusOr<std::vector<LoadSegment>> PlanSegments(const KernelFile& file,
                                                      std::span<const Elf64_Phdr> headers) {
  std::vector<LoadSegment> segments;
  for (size_t i = 0; i < headers.size(); ++i) {
    if (headers[i].p_type != PT_LOAD || headers[i].p_memsz == 0) continue;
    ASSIGN_OR_RETURN(LoadSegment segment, PlanSegment(file, i, headers[i]));
    for (const LoadSegment& other : segments) {
      if (!other.memory().Overlaps(segment.memory())) continue;
      return KernelError(file,
                         absl::StrFormat("loads two segments at the same place, %s and %s; "
                                         "copy the file again",
                                         RangeText(other.memory()), RangeText(segment.memory())));
    }
    segments.push_back(segment);
  }
  if (segments.empty()) {
    return KernelError(file, absl::StrCat("has no segment to load; give ", kWantedKernel));
  }
  return segments;
}

// Rounds the size of a note's name or descriptor up to its padded size. The result has 64 bits, so
// it cannot overflow.
uint64_t NotePadded(uint32_t size) { return (uint64_t{size} + 3) & ~uint64_t{3}; }

// Returns the PVH entry from `notes`, if there is one. The search ends at a note that does not fit.
std::optional<uint64_t> FindPvhEntry(std::span<const uint8_t> notes) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    const auto header = LoadWire<Elf64_Nhdr>(notes, 0);
    const uint64_t desc_offset = sizeof(header) + NotePadded(header.n_namesz);
    if (desc_offset + header.n_descsz > notes.size()) break;
    const auto name = LoadWire<uint32_t>(notes, sizeof(header));
    if (header.n_type == kXenNotePhys32Entry && header.n_namesz == kXenNoteName.size() &&
        name == LoadWire<uint32_t>({reinterpret_cast<const uint8_t*>(kXenNoteName.data()), 4}, 0)) {
      if (header.n_descsz == 4) return LoadWire<uint32_t>(notes, desc_offset);
      if (header.n_descsz == 8) return LoadWire<uint64_t>(notes, desc_offset);
    }
    const uint64_t next = desc_offset + NotePadded(header.n_descsz);
    notes = notes.subspan(std::min<uint64_t>(next, notes.size()));
  }
  return std::nullopt;
}

absl::StatusOr<uint64_t> ReadPvhEntry(const KernelFile& file, std::span<const Elf64_Phdr> headers) {
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type != PT_NOTE) continue;
    constexpr absl::string_view kPart = "the ELF notes";
    RETURN_IF_ERROR(CheckInFile(file, kPart, header.p_offset, header.p_filesz));
    if (header.p_filesz > kMaxNoteBytes) {
      return KernelError(file, absl::StrFormat("has %d bytes of ELF notes, at most %d are read; "
                                               "give %s",
                                               header.p_filesz, kMaxNoteBytes, kWantedKernel));
    }
    Bytes notes(header.p_filesz);
    if (!file.bytes.ReadAt(header.p_offset, notes)) return ReadError(file, kPart);
    if (const std::optional<uint64_t> entry = FindPvhEntry(notes)) return *entry;
  }
  return KernelError(file,
                     "is an ELF file without a PVH note; build the kernel with CONFIG_PVH=y, or "
                     "give its bzImage");
}

}  // namespace

absl::StatusOr<LoadPlan> PlanElf(const KernelFile& file) {
  RETURN_IF_ERROR(CheckIdentity(file));
  const auto header = LoadWire<Elf64_Ehdr>(file.head, 0);
  RETURN_IF_ERROR(CheckType(file, header.e_type));
  ASSIGN_OR_RETURN(const std::vector<Elf64_Phdr> headers, ReadProgramHeaders(file, header));

  LoadPlan plan;
  plan.protocol = BootProtocol::kPvh;
  plan.initrd_addr_max = kPvhInitrdAddrMax;
  plan.cmdline_max_bytes = kPvhCmdlineMaxBytes;
  ASSIGN_OR_RETURN(plan.entry_addr, ReadPvhEntry(file, headers));
  ASSIGN_OR_RETURN(plan.segments, PlanSegments(file, headers));

  uint64_t start = std::numeric_limits<uint64_t>::max();
  uint64_t end = 0;
  bool entry_loaded = false;
  for (const LoadSegment& segment : plan.segments) {
    start = std::min(start, segment.guest_addr);
    end = std::max(end, segment.memory().end());
    entry_loaded |= segment.memory().Contains({plan.entry_addr, 1});
  }
  plan.occupied = {start, end - start};
  if (!entry_loaded || plan.entry_addr > std::numeric_limits<uint32_t>::max()) {
    return KernelError(file, absl::StrFormat("has its PVH entry at %#x, outside its segments; "
                                             "copy the file again",
                                             plan.entry_addr));
  }
  return plan;
}

}  // namespace boot
