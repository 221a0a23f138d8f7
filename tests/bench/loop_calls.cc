#include "tests/bench/loop_calls.h"

// The linker (--wrap) redirects the event loop's calls of liburing to these functions. Each call
// makes exactly one io_uring_enter.
// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names
struct io_uring;
extern "C" {
int __real_io_uring_submit_and_wait(io_uring* ring, unsigned count);
int __real_io_uring_submit_and_get_events(io_uring* ring);
int __wrap_io_uring_submit_and_wait(io_uring* ring, unsigned count);
int __wrap_io_uring_submit_and_get_events(io_uring* ring);
}

namespace bench {
uint64_t g_loop_calls = 0;
}

int __wrap_io_uring_submit_and_wait(io_uring* ring, unsigned count) {
  ++bench::g_loop_calls;
  return __real_io_uring_submit_and_wait(ring, count);
}

int __wrap_io_uring_submit_and_get_events(io_uring* ring) {
  ++bench::g_loop_calls;
  return __real_io_uring_submit_and_get_events(ring);
}
// NOLINTEND(bugprone-reserved-identifier)
