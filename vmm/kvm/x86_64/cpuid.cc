#include "vmm/kvm/x86_64/cpuid.h"

#include <algorithm>
#include <bit>
#include <initializer_list>

namespace vmm {
namespace {

constexpr uint32_t Bits(std::initializer_list<int> bits) {
  uint32_t mask = 0;
  for (const int bit : bits) mask |= 1U << bit;
  return mask;
}

constexpr uint32_t kAll = 0xFFFF'FFFF;
constexpr uint32_t kAnyIndex = 0xFFFF'FFFF;

// One allowed leaf, and the bits of it that may pass. Other leaves do not exist for the guest.
struct Allowed {
  uint32_t function;
  uint32_t index;  // kAnyIndex: every sub-leaf
  uint32_t eax, ebx, ecx, edx;
};

// Leaf 1. Left out: DTES64, MONITOR, DS_CPL, VMX (nested only), SMX, EIST, TM2, SDBG, xTPR, PDCM
// (no PMU), DCA; DS, ACPI, TM, PBE. X2APIC and TSC_DEADLINE are added below, because KVM implements
// them itself.
constexpr uint32_t kLeaf1Ecx = Bits(
    {0 /*SSE3*/, 1 /*PCLMUL*/, 9 /*SSSE3*/, 12 /*FMA*/, 13 /*CX16*/, 17 /*PCID*/, 19 /*SSE4.1*/,
     20 /*SSE4.2*/, 21 /*X2APIC*/, 22 /*MOVBE*/, 23 /*POPCNT*/, 24 /*TSC_DEADLINE*/, 25 /*AES*/,
     26 /*XSAVE*/, 27 /*OSXSAVE*/, 28 /*AVX*/, 29 /*F16C*/, 30 /*RDRAND*/, 31 /*HYPERVISOR*/});
constexpr uint32_t kLeaf1Edx =
    Bits({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26, 27, 28});

// Leaf 7.0. Left out: SGX, resource monitoring and allocation, processor trace, MPX, CET, WAITPKG
// (would let a guest sleep where KVM cannot see it), bus lock detection, AMX (features.amx does not
// exist yet), user interrupts.
constexpr uint32_t kLeaf7Ebx = Bits({0 /*FSGSBASE*/,
                                     1 /*TSC_ADJUST*/,
                                     3 /*BMI1*/,
                                     4 /*HLE*/,
                                     5 /*AVX2*/,
                                     6 /*FDP_EXCPTN_ONLY*/,
                                     7 /*SMEP*/,
                                     8 /*BMI2*/,
                                     9 /*ERMS*/,
                                     10 /*INVPCID*/,
                                     11 /*RTM*/,
                                     13 /*ZERO_FCS_FDS*/,
                                     16 /*AVX512F*/,
                                     17 /*AVX512DQ*/,
                                     18 /*RDSEED*/,
                                     19 /*ADX*/,
                                     20 /*SMAP*/,
                                     21 /*AVX512IFMA*/,
                                     23 /*CLFLUSHOPT*/,
                                     24 /*CLWB*/,
                                     26,
                                     27,
                                     28 /*AVX512PF,ER,CD*/,
                                     29 /*SHA*/,
                                     30 /*AVX512BW*/,
                                     31 /*AVX512VL*/});
constexpr uint32_t kLeaf7Ecx =
    Bits({1 /*AVX512VBMI*/, 2 /*UMIP*/, 3 /*PKU*/, 4 /*OSPKE*/, 6 /*AVX512VBMI2*/, 8 /*GFNI*/,
          9 /*VAES*/, 10 /*VPCLMUL*/, 11 /*AVX512VNNI*/, 12 /*AVX512BITALG*/, 14 /*AVX512VPOPCNT*/,
          16 /*LA57*/, 22 /*RDPID*/, 25 /*CLDEMOTE*/, 27 /*MOVDIRI*/, 28 /*MOVDIR64B*/});
constexpr uint32_t kLeaf7Edx =
    Bits({2, 3 /*AVX512 4VNNIW,4FMAPS*/, 4 /*FSRM*/, 8 /*VP2INTERSECT*/, 10 /*MD_CLEAR*/,
          14 /*SERIALIZE*/, 16 /*TSXLDTRK*/, 23 /*AVX512FP16*/, 26 /*SPEC_CTRL*/, 27 /*STIBP*/,
          28 /*FLUSH_L1D*/, 29 /*ARCH_CAP*/, 31 /*SSBD*/});

// Leaf 0x8000'0001. Left out: SVM (nested only), extended APIC space, IBS, SKINIT, WDT, LWP,
// performance counters.
constexpr uint32_t kExt1Ecx =
    Bits({0 /*LAHF*/, 4 /*CR8_LEGACY*/, 5 /*ABM*/, 6 /*SSE4A*/, 7 /*MISALIGNSSE*/,
          8 /*3DNOWPREFETCH*/, 9 /*OSVW*/, 11 /*XOP*/, 16 /*FMA4*/, 21 /*TBM*/, 22 /*TOPOEXT*/});
constexpr uint32_t kExt1Edx = 0x0183'F3FF  // the bits AMD mirrors from leaf 1
                              | Bits({11 /*SYSCALL*/, 20 /*NX*/, 22 /*MMXEXT*/, 25 /*FXSR_OPT*/,
                                      26 /*PDPE1GB*/, 27 /*RDTSCP*/, 29 /*LM*/, 30, 31 /*3DNOW*/});
// Leaf 0x8000'0008 EBX: CLZERO, XSAVEERPTR, WBNOINVD, IBPB, IBRS, STIBP, IBRS and STIBP always on,
// IBRS preferred, SSBD, VIRT_SSBD, SSB_NO, PSFD.
constexpr uint32_t kExt8Ebx = Bits({0, 2, 9, 12, 14, 15, 16, 17, 18, 24, 25, 26, 28});

// KVM's paravirtual features [Linux Documentation/virt/kvm/x86/cpuid.rst]: clock sources, no I/O
// delay, async page faults, steal time, PV EOI, unhalt, TLB flush, IPIs, poll control, yield, async
// PF interrupt, extended MSI destination, stable clock.
constexpr uint32_t kKvmEax = Bits({0, 1, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 24});

constexpr Allowed kAllowList[] = {
    {0x0, 0, kAll, kAll, kAll, kAll},
    {0x1, 0, kAll, kAll, kLeaf1Ecx, kLeaf1Edx},
    {0x2, kAnyIndex, kAll, kAll, kAll, kAll},  // cache descriptors
    {0x4, kAnyIndex, kAll, kAll, kAll, kAll},  // caches (Intel)
    {0x6, 0, Bits({2 /*ARAT*/}), 0, 0, 0},     // power management: only "the timer never stops"
    {0x7, 0, kAll, kLeaf7Ebx, kLeaf7Ecx, kLeaf7Edx},
    {0x7, 1,
     Bits({4 /*AVX_VNNI*/, 5 /*AVX512_BF16*/, 10, 11, 12 /*fast short rep*/, 23 /*AVX_IFMA*/}), 0,
     0, Bits({4 /*AVX_VNNI_INT8*/, 5 /*AVX_NE_CONVERT*/, 14 /*PREFETCHITI*/})},
    {0x7, 2, 0, 0, 0, 0x3F},                   // speculation controls
    {0xD, kAnyIndex, kAll, kAll, kAll, kAll},  // XSAVE areas of the features above
    {0x4000'0000, 0, kAll, kAll, kAll, kAll},
    {0x4000'0001, 0, kKvmEax, 0, 0, Bits({0 /*REALTIME*/})},
    {0x8000'0000, 0, kAll, kAll, kAll, kAll},
    {0x8000'0001, 0, kAll, kAll, kExt1Ecx, kExt1Edx},
    {0x8000'0002, 0, kAll, kAll, kAll, kAll},  // brand string
    {0x8000'0003, 0, kAll, kAll, kAll, kAll},
    {0x8000'0004, 0, kAll, kAll, kAll, kAll},
    {0x8000'0005, 0, kAll, kAll, kAll, kAll},  // L1 (AMD)
    {0x8000'0006, 0, kAll, kAll, kAll, kAll},  // L2, L3 (AMD)
    {0x8000'0007, 0, 0, 0, 0, Bits({8 /*invariant TSC*/})},
    {0x8000'0008, 0, kAll, kExt8Ebx, 0, 0},
    {0x8000'001A, 0, 7, 0, 0, 0},                      // width of FP units
    {0x8000'001D, kAnyIndex, kAll, kAll, kAll, kAll},  // caches (AMD)
    {0x8000'001E, 0, 0, 0, 0, 0},                      // topology (AMD), filled in below
    {0x8000'0021, 0, Bits({0, 2, 6, 8}), 0, 0, 0},  // LFENCE serialising, null selector, AutoIBRS
};

const Allowed* FindAllowed(const kvm_cpuid_entry2& entry) {
  for (const Allowed& allowed : kAllowList) {
    if (allowed.function == entry.function &&
        (allowed.index == kAnyIndex || allowed.index == entry.index)) {
      return &allowed;
    }
  }
  return nullptr;
}

// Returns how many bits of the APIC id number the cores of a package.
uint32_t ApicIdBits(uint32_t vcpu_count) {
  return static_cast<uint32_t>(std::bit_width(vcpu_count - 1));
}

void AdjustEntry(kvm_cpuid_entry2& entry, const CpuidOptions& options,
                 const kvm_cpuid_entry2& supported) {
  const uint32_t vcpus = options.vcpu_count;
  const uint32_t id_bits = ApicIdBits(vcpus);
  switch (entry.function) {
    case 0x1: {
      entry.ecx |= Bits({21 /*X2APIC*/, 31 /*HYPERVISOR*/});
      if (options.tsc_deadline_timer) entry.ecx |= Bits({24});
      if (options.nested) entry.ecx |= supported.ecx & Bits({5 /*VMX*/});
      // Bits 31:24 APIC id (per vCPU), 23:16 ids in the package, 15:8 CLFLUSH line in 8 bytes.
      const uint32_t ids = std::min<uint32_t>(1U << id_bits, 255);
      entry.ebx = (entry.ebx & 0x0000'FF00) | (ids << 16);
      entry.edx = vcpus > 1 ? entry.edx | Bits({28 /*HTT*/}) : entry.edx & ~Bits({28});
      break;
    }
    case 0x4:  // 31:26 core ids in the package - 1; 25:14 threads sharing the cache - 1: L3 is
               // shared by all
      if ((entry.eax & 0x1F) != 0) {
        const uint32_t level = (entry.eax >> 5) & 7;
        const uint32_t sharing = level >= 3 ? std::min<uint32_t>(1U << id_bits, 4096) - 1 : 0;
        const uint32_t cores = std::min<uint32_t>(1U << id_bits, 64) - 1;
        entry.eax = (entry.eax & 0x3FFF) | (sharing << 14) | (cores << 26);
      }
      break;
    case 0x8000'001D:  // 25:14 threads sharing the cache - 1
      if ((entry.eax & 0x1F) != 0) {
        const uint32_t level = (entry.eax >> 5) & 7;
        const uint32_t sharing = level >= 3 ? std::min<uint32_t>(1U << id_bits, 4096) - 1 : 0;
        entry.eax = (entry.eax & ~(0xFFFU << 14)) | (sharing << 14);
      }
      break;
    case 0x4000'0000:
      entry.eax = options.tsc_khz != 0 ? 0x4000'0010 : 0x4000'0001;  // highest hypervisor leaf
      break;
    case 0x8000'0001:
      if (options.nested) entry.ecx |= supported.ecx & Bits({2 /*SVM*/});
      if (vcpus > 1) entry.ecx |= Bits({1 /*CMP_LEGACY*/});
      break;
    case 0x8000'0008: {
      const uint32_t bits = std::min(entry.eax & 0xFF, options.max_phys_bits);
      // 7:0 physical, 15:8 linear address bits; guest physical bits (23:16) stay 0: "as 7:0".
      entry.eax = (entry.eax & 0xFF00) | bits;
      // 7:0 cores - 1, 15:12 width of the core id.
      entry.ecx = std::min<uint32_t>(vcpus - 1, 255) | (id_bits << 12);
      break;
    }
    default:
      break;
  }
}

kvm_cpuid_entry2 MakeEntry(uint32_t function, uint32_t index, bool indexed) {
  kvm_cpuid_entry2 entry = {};
  entry.function = function;
  entry.index = index;
  entry.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
  return entry;
}

// Leaf 0xB: thread level (1 thread), then core level. EDX is the x2APIC id. [Intel SDM vol. 2 CPUID
// 0BH]
void AppendTopology(std::vector<kvm_cpuid_entry2>& entries, const CpuidOptions& options) {
  kvm_cpuid_entry2 threads = MakeEntry(0xB, 0, true);
  threads.ebx = 1;
  threads.ecx = 1 << 8;  // level type: SMT
  kvm_cpuid_entry2 cores = MakeEntry(0xB, 1, true);
  cores.eax = ApicIdBits(options.vcpu_count);
  cores.ebx = options.vcpu_count;
  cores.ecx = (2 << 8) | 1;  // level type: core
  entries.push_back(threads);
  entries.push_back(cores);
  entries.push_back(MakeEntry(0xB, 2, true));
  entries.back().ecx = 2;  // level type 0: the end
}

}  // namespace

std::vector<kvm_cpuid_entry2> BuildCpuid(std::span<const kvm_cpuid_entry2> supported,
                                         const CpuidOptions& options) {
  std::vector<kvm_cpuid_entry2> entries;
  for (const kvm_cpuid_entry2& source : supported) {
    const Allowed* allowed = FindAllowed(source);
    if (allowed == nullptr) {
      // Nested virtualization needs the leaf that describes the virtual SVM.
      if (!(options.nested && source.function == 0x8000'000A)) continue;
    }
    kvm_cpuid_entry2 entry = source;
    if (allowed != nullptr) {
      entry.eax &= allowed->eax;
      entry.ebx &= allowed->ebx;
      entry.ecx &= allowed->ecx;
      entry.edx &= allowed->edx;
    }
    AdjustEntry(entry, options, source);
    entries.push_back(entry);
  }
  AppendTopology(entries, options);
  if (options.tsc_khz != 0) {
    // EAX: TSC kHz. EBX: APIC bus kHz (KVM's is 1 GHz). The guest then has nothing to calibrate.
    kvm_cpuid_entry2 frequency = MakeEntry(0x4000'0010, 0, false);
    frequency.eax = options.tsc_khz;
    frequency.ebx = 1'000'000;
    entries.push_back(frequency);
  }
  for (kvm_cpuid_entry2& entry : entries) {
    if (entry.function == 0)
      entry.eax = std::clamp<uint32_t>(entry.eax, 0xB, 0xD);  // highest basic leaf
  }
  return entries;
}

void SetCpuidApicId(std::span<kvm_cpuid_entry2> entries, uint32_t apic_id) {
  for (kvm_cpuid_entry2& entry : entries) {
    switch (entry.function) {
      case 0x1:
        entry.ebx = (entry.ebx & 0x00FF'FFFF) | (std::min<uint32_t>(apic_id, 255) << 24);
        break;
      case 0xB:
        entry.edx = apic_id;
        break;
      case 0x8000'001E:  // EAX: APIC id, EBX 7:0: core id
        entry.eax = apic_id;
        entry.ebx = apic_id & 0xFF;
        break;
      default:
        break;
    }
  }
}

}  // namespace vmm
