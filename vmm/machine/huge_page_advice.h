// Which parts of guest RAM get huge pages while the guest is loaded.
#ifndef VMM_MACHINE_HUGE_PAGE_ADVICE_H_
#define VMM_MACHINE_HUGE_PAGE_ADVICE_H_

#include <cstdint>

#include "base/guest_memory.h"

namespace vmm {

// The host zeroes a huge page at its first touch, which takes about 0.2 ms. This time is well spent
// for the ranges that loading fills and for the memory that the guest uses, but not for a few bytes
// of firmware tables before the first instruction. So while this object lives, RAM gets small pages
// except in the ranges that WillFill announces. The destructor advises huge pages for all RAM
// again.
class HugePageAdvice {
 public:
  // Does nothing unless `enabled`. `memory` was made with transparent huge pages.
  HugePageAdvice(base::GuestMemory& memory, bool enabled);
  ~HugePageAdvice();
  HugePageAdvice(const HugePageAdvice&) = delete;
  HugePageAdvice& operator=(const HugePageAdvice&) = delete;

  // Announces that all of [addr, addr + bytes) is about to be written, so that it gets huge pages.
  // The caller must have written to the same region before: parts of a mapping that are first
  // touched under different advice remain separate mappings.
  void WillFill(uint64_t addr, uint64_t bytes);

 private:
  void AdviseAll(int advice);

  base::GuestMemory& memory_;
  const bool enabled_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_HUGE_PAGE_ADVICE_H_
