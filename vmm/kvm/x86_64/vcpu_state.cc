#include "vmm/kvm/x86_64/vcpu_state.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "vmm/kvm/kvm_uapi.h"
#include "vmm/kvm/vcpu_arch.h"

namespace vmm {
namespace {

constexpr uint32_t kMsrMiscEnable = 0x1A0;
constexpr uint32_t kMsrMtrrDefType = 0x2FF;
constexpr uint64_t kApicBaseX2ApicEnable = 1 << 10;

kvm_segment ToKvm(const boot::SegmentState& segment) {
  kvm_segment result = {};
  result.base = segment.base;
  result.limit = segment.limit;
  result.selector = segment.selector;
  result.type = segment.type;
  result.s = segment.code_or_data;
  result.dpl = segment.dpl;
  result.present = segment.present;
  result.l = segment.long_mode;
  result.db = segment.default_32_bit;
  result.g = segment.granularity_4k;
  result.unusable = !segment.present;
  return result;
}

}  // namespace

absl::Status SetEntryState(int vcpu_fd, const boot::EntryState& state) {
  kvm_sregs sregs = {};
  if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) != 0) return base::ErrnoStatus(errno, "KVM_GET_SREGS");
  sregs.cs = ToKvm(state.cs);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = ToKvm(state.data);
  sregs.tr = ToKvm(state.tr);
  sregs.gdt.base = state.gdt_base;
  sregs.gdt.limit = state.gdt_limit;
  sregs.idt.base = 0;
  sregs.idt.limit = 0;
  sregs.cr0 = state.cr0;
  sregs.cr3 = state.cr3;
  sregs.cr4 = state.cr4;
  sregs.efer = state.efer;
  if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) != 0) return base::ErrnoStatus(errno, "KVM_SET_SREGS");
  kvm_regs regs = {};
  regs.rip = state.rip;
  regs.rbx = state.rbx;
  regs.rsi = state.rsi;
  regs.rflags = state.rflags;
  if (ioctl(vcpu_fd, KVM_SET_REGS, &regs) != 0) return base::ErrnoStatus(errno, "KVM_SET_REGS");
  return absl::OkStatus();
}

absl::Status SetInitialMsrs(int vcpu_fd) {
  alignas(kvm_msrs) std::array<uint8_t, sizeof(kvm_msrs) + 2 * sizeof(kvm_msr_entry)> buffer = {};
  auto* msrs = reinterpret_cast<kvm_msrs*>(buffer.data());
  msrs->nmsrs = 2;
  msrs->entries[0] = {kMsrMtrrDefType, 0, (1 << 11) | 6};  // MTRRs on, default write-back
  msrs->entries[1] = {kMsrMiscEnable, 0, 1};               // fast strings
  // The ioctl returns how many MSRs were set. A KVM without one of them serves guests that do not
  // need it.
  if (ioctl(vcpu_fd, KVM_SET_MSRS, msrs) < 0) return base::ErrnoStatus(errno, "KVM_SET_MSRS");
  return absl::OkStatus();
}

absl::Status EnableX2Apic(int vcpu_fd) {
  kvm_sregs sregs = {};
  if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) != 0) return base::ErrnoStatus(errno, "KVM_GET_SREGS");
  sregs.apic_base |= kApicBaseX2ApicEnable;
  if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) != 0) {
    return base::ErrnoStatus(errno, "KVM_SET_SREGS: x2APIC");
  }
  return absl::OkStatus();
}

uint64_t HostTicks() { return __rdtsc(); }

absl::Status TurnTicksBack(int vcpu_fd, uint64_t ticks) {
  uint64_t offset = 0;  // added to the host's counter by KVM
  kvm_device_attr attribute = {};
  attribute.group = KVM_VCPU_TSC_CTRL;
  attribute.attr = KVM_VCPU_TSC_OFFSET;
  attribute.addr = reinterpret_cast<uint64_t>(&offset);
  if (ioctl(vcpu_fd, KVM_HAS_DEVICE_ATTR, &attribute) != 0) return absl::OkStatus();
  if (ioctl(vcpu_fd, KVM_GET_DEVICE_ATTR, &attribute) != 0) {
    return base::ErrnoStatus(errno, "KVM_GET_DEVICE_ATTR: TSC offset");
  }
  offset -= ticks;
  if (ioctl(vcpu_fd, KVM_SET_DEVICE_ATTR, &attribute) != 0) {
    return base::ErrnoStatus(errno, "KVM_SET_DEVICE_ATTR: TSC offset");
  }
  return absl::OkStatus();
}

std::string DescribeVcpu(int vcpu_fd, const base::GuestMemory& memory) {
  kvm_regs r = {};
  kvm_sregs s = {};
  if (ioctl(vcpu_fd, KVM_GET_REGS, &r) != 0 || ioctl(vcpu_fd, KVM_GET_SREGS, &s) != 0) {
    return absl::StrCat("registers: not readable (", strerrorname_np(errno), ")");
  }
  std::string text = absl::StrFormat(
      "rip=%016x rflags=%08x cs=%04x cpl=%d mode=%s\n"
      "rax=%016x rbx=%016x rcx=%016x rdx=%016x\n"
      "rsi=%016x rdi=%016x rbp=%016x rsp=%016x\n"
      "r8 =%016x r9 =%016x r10=%016x r11=%016x\n"
      "r12=%016x r13=%016x r14=%016x r15=%016x\n"
      "cr0=%08x cr2=%016x cr3=%016x cr4=%08x efer=%04x",
      r.rip, r.rflags, s.cs.selector, s.ss.dpl,
      s.cs.l != 0 ? "64-bit" : (s.cs.db != 0 ? "32-bit" : "16-bit"), r.rax, r.rbx, r.rcx, r.rdx,
      r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, s.cr0,
      s.cr2, s.cr3, s.cr4, s.efer);
  kvm_translation translation = {};
  translation.linear_address = s.cs.base + r.rip;
  std::array<uint8_t, 16> bytes = {};
  if (ioctl(vcpu_fd, KVM_TRANSLATE, &translation) != 0 || translation.valid == 0 ||
      !memory.Read(translation.physical_address, bytes)) {
    return text + "\nbytes at rip: not readable";
  }
  text += "\nbytes at rip:";
  for (const uint8_t byte : bytes) absl::StrAppendFormat(&text, " %02x", byte);
  return text;
}

}  // namespace vmm
