// Memory that costs the host only the pages that were touched.
#ifndef BASE_LAZY_MEMORY_H_
#define BASE_LAZY_MEMORY_H_

#include <sys/mman.h>

#include <cstddef>

namespace base {

// Maps `bytes` of private memory that reads as zero. Each page becomes resident when it is first
// written, and no page does beside it: huge pages are switched off, since one touch would make
// 2 MiB resident, also in whichever mapping lies next to this one. Returns nullptr, with errno set,
// if the host refuses. Unmap with munmap.
inline void* MapLazily(size_t bytes) {
  void* const start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  // Fails on a kernel without huge pages, where nothing has to be switched off.
  madvise(start, bytes, MADV_NOHUGEPAGE);
  return start;
}

}  // namespace base

#endif  // BASE_LAZY_MEMORY_H_
