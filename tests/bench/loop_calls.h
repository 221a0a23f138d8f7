// Counts the system calls of an event loop. Programs that use it link with --wrap, see
// CMakeLists.txt.
#ifndef TESTS_BENCH_LOOP_CALLS_H_
#define TESTS_BENCH_LOOP_CALLS_H_

#include <cstdint>

namespace bench {

// The calls of io_uring_enter that event loops have made so far. For programs with one loop thread.
extern uint64_t g_loop_calls;

}  // namespace bench

#endif  // TESTS_BENCH_LOOP_CALLS_H_
