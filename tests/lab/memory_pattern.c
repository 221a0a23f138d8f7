// Runs in a test guest, as root: writes a pattern into MIB MiB of memory, reads it back, and prints
// how much of it is above 4 GiB of guest physical memory (found in pagemap).
// Usage: memory-pattern MIB

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const uint64_t kOdd = 0x9e3779b97f4a7c15ULL;  // 2^64 / golden ratio: every word differs.
static const uint64_t kPfnMask =
    (1ULL << 55) - 1;  // [Linux Documentation/admin-guide/mm/pagemap.rst]
static const uint64_t kFirstPfnAbove4GiB = 1ULL << 20;

int main(int argc, char** argv) {
  size_t size = (argc == 2 ? strtoul(argv[1], NULL, 10) : 0) << 20;
  uint64_t* words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (size == 0 || words == MAP_FAILED) return 2;
  size_t count = size / sizeof(*words);
  for (size_t i = 0; i < count; ++i) words[i] = i * kOdd;
  for (size_t i = 0; i < count; ++i) {
    if (words[i] != i * kOdd) {
      printf("MEMORY-BAD word %zu: %016llx\n", i, (unsigned long long)words[i]);
      return 1;
    }
  }
  int pagemap = open("/proc/self/pagemap", O_RDONLY);
  size_t above = 0;
  for (size_t page = 0; page < size / 4096; ++page) {
    uint64_t entry = 0;
    off_t at = (off_t)(((uintptr_t)words / 4096 + page) * sizeof(entry));
    if (pread(pagemap, &entry, sizeof(entry), at) != sizeof(entry)) return 2;
    above += (entry & kPfnMask) >= kFirstPfnAbove4GiB;
  }
  printf("MEMORY-OK %zu MiB, above 4 GiB: %zu MiB\n", size >> 20, above / 256);
  return 0;
}
