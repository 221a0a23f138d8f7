#include "boot/x86_64/long_mode.h"

#include <span>

#include "absl/strings/str_format.h"
#include "base/endian.h"
#include "boot/wire.h"

namespace boot {
namespace {

// [Intel SDM vol. 3 §2.5, §2.2.1, §4.5]
constexpr uint64_t kCr0ProtectionEnable = 1 << 0;
constexpr uint64_t kCr0ExtensionType = 1 << 4;  // hard-wired to 1 in silicon
constexpr uint64_t kCr0Paging = uint64_t{1} << 31;
constexpr uint64_t kCr4PhysicalAddressExtension = 1 << 5;
constexpr uint64_t kEferLongModeEnable = 1 << 8;
constexpr uint64_t kEferLongModeActive = 1 << 10;
constexpr uint64_t kRflagsReserved = 1 << 1;  // always 1
constexpr uint64_t kPagePresent = 1 << 0;
constexpr uint64_t kPageWritable = 1 << 1;
constexpr uint64_t kPageLarge = 1 << 7;

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kLargePageBytes = 2 << 20;
constexpr uint64_t kEntriesPerTable = 512;
constexpr uint64_t kGibibytes = 4;

constexpr uint16_t kCodeSelector = 0x10;
constexpr uint16_t kDataSelector = 0x18;
constexpr uint16_t kTssSelector = 0x20;
constexpr uint8_t kTypeCode = 0xB;  // execute, read, accessed
constexpr uint8_t kTypeData = 0x3;  // read, write, accessed
constexpr uint8_t kTypeTss = 0xB;   // busy: KVM refuses an idle TSS in TR
constexpr size_t kGdtBytes = 0x30;  // a 64-bit TSS descriptor takes two slots

SegmentState CodeSegment(bool long_mode) {
  return {.limit = UINT32_MAX,
          .selector = kCodeSelector,
          .type = kTypeCode,
          .code_or_data = true,
          .present = true,
          .long_mode = long_mode,
          .default_32_bit = !long_mode,
          .granularity_4k = true};
}

SegmentState DataSegment() {
  return {.limit = UINT32_MAX,
          .selector = kDataSelector,
          .type = kTypeData,
          .code_or_data = true,
          .present = true,
          .default_32_bit = true,
          .granularity_4k = true};
}

SegmentState TaskSegment() {
  return {.limit = 0x67, .selector = kTssSelector, .type = kTypeTss, .present = true};
}

// Returns the 8-byte descriptor of a segment with base 0. [Intel SDM vol. 3 §3.4.5]
uint64_t Descriptor(const SegmentState& s) {
  const uint64_t limit = s.granularity_4k ? s.limit >> 12 : s.limit;
  const uint64_t access = uint64_t{s.type} | uint64_t{s.code_or_data} << 4 | uint64_t{s.dpl} << 5 |
                          uint64_t{s.present} << 7;
  const uint64_t flags = uint64_t{s.long_mode} << 1 | uint64_t{s.default_32_bit} << 2 |
                         uint64_t{s.granularity_4k} << 3;
  return (limit & 0xFFFF) | access << 40 | (limit >> 16 & 0xF) << 48 | flags << 52;
}

EntryState CommonState(uint64_t entry_addr, uint64_t gdt_addr, bool long_mode) {
  EntryState state;
  state.rip = entry_addr;
  state.rflags = kRflagsReserved;
  state.cr0 = kCr0ProtectionEnable | kCr0ExtensionType;
  state.gdt_base = gdt_addr;
  state.gdt_limit = kGdtBytes - 1;
  state.cs = CodeSegment(long_mode);
  state.data = DataSegment();
  state.tr = TaskSegment();
  return state;
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> BuildIdentityPageTables(uint64_t base) {
  constexpr uint64_t kFourGiB = uint64_t{1} << 32;
  if (base % kPageBytes != 0 || base > kFourGiB - kIdentityPageTableBytes) {
    return absl::InvalidArgumentError(
        absl::StrFormat("page tables: %#x is not page aligned or not below 4 GiB", base));
  }
  constexpr uint64_t kTableFlags = kPagePresent | kPageWritable;
  Bytes bytes(kIdentityPageTableBytes);
  const std::span<uint8_t> out(bytes);
  StoreWire(out, 0, base::Le64((base + kPageBytes) | kTableFlags));
  for (uint64_t gib = 0; gib < kGibibytes; ++gib) {
    const uint64_t directory_offset = (2 + gib) * kPageBytes;
    StoreWire(out, kPageBytes + gib * 8, base::Le64((base + directory_offset) | kTableFlags));
    for (uint64_t i = 0; i < kEntriesPerTable; ++i) {
      const uint64_t target = (gib * kEntriesPerTable + i) * kLargePageBytes;
      StoreWire(out, directory_offset + i * 8, base::Le64(target | kTableFlags | kPageLarge));
    }
  }
  return bytes;
}

std::vector<uint8_t> BuildGdt(bool long_mode) {
  Bytes gdt(kGdtBytes);
  const std::span<uint8_t> out(gdt);
  for (const SegmentState& segment : {CodeSegment(long_mode), DataSegment(), TaskSegment()}) {
    StoreWire(out, segment.selector, base::Le64(Descriptor(segment)));
  }
  return gdt;
}

EntryState Linux64EntryState(uint64_t entry_addr, uint64_t zero_page_addr, uint64_t gdt_addr,
                             uint64_t page_table_addr) {
  EntryState state = CommonState(entry_addr, gdt_addr, /*long_mode=*/true);
  state.rsi = zero_page_addr;
  state.cr0 |= kCr0Paging;
  state.cr3 = page_table_addr;
  state.cr4 = kCr4PhysicalAddressExtension;
  state.efer = kEferLongModeEnable | kEferLongModeActive;
  return state;
}

EntryState PvhEntryState(uint64_t entry_addr, uint64_t start_info_addr, uint64_t gdt_addr) {
  EntryState state = CommonState(entry_addr, gdt_addr, /*long_mode=*/false);
  state.rbx = start_info_addr;
  return state;
}

}  // namespace boot
