// The state that a vCPU needs for its first instruction: descriptor table, page tables and
// registers.
#ifndef BOOT_X86_64_LONG_MODE_H_
#define BOOT_X86_64_LONG_MODE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace boot {

// A segment register with its hidden part, as in struct kvm_segment. [Intel SDM vol. 3 §3.4.5]
struct SegmentState {
  uint64_t base = 0;
  uint32_t limit = 0;  // in bytes, with the granularity already applied
  uint16_t selector = 0;
  uint8_t type = 0;
  bool code_or_data = false;  // S; clear for system segments
  uint8_t dpl = 0;
  bool present = false;
  bool long_mode = false;       // L
  bool default_32_bit = false;  // D/B
  bool granularity_4k = false;  // G

  friend bool operator==(const SegmentState&, const SegmentState&) = default;
};

// Registers of the boot vCPU at entry. All other registers are zero, interrupts are off, and the
// IDT is empty.
struct EntryState {
  uint64_t rip = 0;
  uint64_t rbx = 0;
  uint64_t rsi = 0;
  uint64_t rflags = 0;
  uint64_t cr0 = 0;
  uint64_t cr3 = 0;
  uint64_t cr4 = 0;
  uint64_t efer = 0;
  uint64_t gdt_base = 0;
  uint16_t gdt_limit = 0;
  SegmentState cs;
  SegmentState data;  // ds, es, fs, gs and ss
  SegmentState tr;
};

// The size of the tables of BuildIdentityPageTables: one PML4, one PDPT, four page directories.
inline constexpr uint64_t kIdentityPageTableBytes = 6 * 4096;

// Returns page tables that map the first 4 GiB to themselves, writable. They belong at `base` (page
// aligned, below 4 GiB minus the tables). The PML4 comes first, so `base` is the value of CR3. The
// tables use 2 MiB pages, which every 64-bit CPU has; 1 GiB pages depend on a CPUID bit that the
// guest may lack.
absl::StatusOr<std::vector<uint8_t>> BuildIdentityPageTables(uint64_t base);

// Returns the descriptor table: null, null, code (0x10), data (0x18), TSS (0x20). The selectors are
// Linux's __BOOT_CS and __BOOT_DS. The code segment is 64-bit if `long_mode`, otherwise flat
// 32-bit.
std::vector<uint8_t> BuildGdt(bool long_mode);

// Returns the state for the 64-bit Linux entry. [Linux Documentation/x86/boot.rst §64-bit]
EntryState Linux64EntryState(uint64_t entry_addr, uint64_t zero_page_addr, uint64_t gdt_addr,
                             uint64_t page_table_addr);

// Returns the state for the PVH entry: flat 32-bit protected mode, paging off.
// [Xen docs/misc/pvh.pandoc]
EntryState PvhEntryState(uint64_t entry_addr, uint64_t start_info_addr, uint64_t gdt_addr);

}  // namespace boot

#endif  // BOOT_X86_64_LONG_MODE_H_
