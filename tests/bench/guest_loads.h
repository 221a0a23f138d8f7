// Declarations that the loads of benchmark guests share.

#ifndef TESTS_BENCH_GUEST_LOADS_H_
#define TESTS_BENCH_GUEST_LOADS_H_

#include <stddef.h>
#include <stdint.h>

struct load {
  const char* name;
  int write;
  size_t bytes;
  int depth;
  int sequential;
};

// Returns the monotonic time in microseconds.
int64_t now_us(void);

// Opens a device node, which may appear a moment after its driver. If it does not appear, prints an
// error and returns -1.
int wait_open(const char* path, int flags);

// Puts a load on a descriptor with O_DIRECT, by Linux AIO with `depth` requests in flight (at most
// 64). Prints "BENCH-BLOCK name ops bytes us errors=n".
void run_load(int fd, uint64_t size, const struct load* load, int seconds);

// Serves the commands that arrive on the console (guest_shares.c). Never returns.
void serve_share_loads(void);

#endif  // TESTS_BENCH_GUEST_LOADS_H_
