#include "vmm/machine/huge_page_advice.h"

#include <sys/mman.h>

#include <optional>

namespace vmm {
namespace {

constexpr uintptr_t kHugePageBytes = 2 << 20;

}  // namespace

HugePageAdvice::HugePageAdvice(base::GuestMemory& memory, bool enabled)
    : memory_(memory), enabled_(enabled) {
  AdviseAll(MADV_NOHUGEPAGE);
}

HugePageAdvice::~HugePageAdvice() { AdviseAll(MADV_HUGEPAGE); }

void HugePageAdvice::AdviseAll(int advice) {
  if (!enabled_) return;
  for (const auto& region : memory_.regions()) madvise(region.host, region.size_bytes, advice);
}

void HugePageAdvice::WillFill(uint64_t addr, uint64_t bytes) {
  const auto range = base::GuestRange::Create(addr, bytes);
  const auto iov = range && enabled_ ? memory_.IoVec(*range) : std::nullopt;
  if (!iov) return;
  const auto start = reinterpret_cast<uintptr_t>(iov->iov_base);
  const uintptr_t first = (start + kHugePageBytes - 1) & ~(kHugePageBytes - 1);
  const uintptr_t last = (start + iov->iov_len) & ~(kHugePageBytes - 1);
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

}  // namespace vmm
