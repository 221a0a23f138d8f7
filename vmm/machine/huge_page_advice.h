// Which parts of guest RAM get huge pages while the guest is loaded.
#ifndef VMM_MACHINE_HUGE_PAGE_ADVICE_H_
#define VMM_MACHINE_HUGE_PAGE_ADVICE_H_

#include <cstdint>

#include "base/guest_memory.h"

namespace vmm {

// The host zeroes a huge page at its first touch, some 0.2 ms each. That pays for what loading
// fills and for the guest's own memory, not for a few bytes of firmware tables before the first
// instruction. So as long as this object lives, RAM gets small pages but for the ranges announced
// by WillFill; afterwards all of it is advised to get huge ones again.
class HugePageAdvice {
 public:
  // Does nothing unless `enabled`. `memory` was made with transparent huge pages.
  HugePageAdvice(base::GuestMemory& memory, bool enabled);
  ~HugePageAdvice();
  HugePageAdvice(const HugePageAdvice&) = delete;
  HugePageAdvice& operator=(const HugePageAdvice&) = delete;

  // [addr, addr + bytes) is about to be written whole. Something in the same region must have been
  // written before: parts of a mapping that were first touched with different advice stay apart.
  void WillFill(uint64_t addr, uint64_t bytes);

 private:
  void AdviseAll(int advice);

  base::GuestMemory& memory_;
  const bool enabled_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_HUGE_PAGE_ADVICE_H_
