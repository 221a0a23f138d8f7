#include "vmm/startup_pages.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

#include <chrono>
#include <cstdint>

namespace vmm {
namespace {

// Long enough for the vCPUs to be running: earlier, page faults would delay the guest's first
// instructions.
constexpr std::chrono::milliseconds kDelay{250};
constexpr uintptr_t kPageBytes = 4096;

// Drops only segments that are never written, because their pages can be read from the file again.
int DropReadOnlySegments(dl_phdr_info* info, size_t /*size*/, void* /*context*/) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const uintptr_t start = (info->dlpi_addr + segment.p_vaddr) & ~(kPageBytes - 1);
    const uintptr_t end = info->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
  }
  return 1;  // the program itself comes first; libraries stay as they are
}

}  // namespace

StartupPages::StartupPages(base::EventLoop& loop) { loop.Timeout(*this, kDelay); }

void StartupPages::OnComplete(int32_t /*result*/) {
  malloc_trim(0);
  dl_iterate_phdr(DropReadOnlySegments, nullptr);
}

}  // namespace vmm
