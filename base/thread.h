// Starts threads that leave the process's signals to the main thread.
#ifndef BASE_THREAD_H_
#define BASE_THREAD_H_

#include <string>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace base {

// Runs `function` on a new thread named `name` (what tools show; at most 15 bytes). All signals are
// blocked from the thread's first instruction, except those that its own faults raise (SIGBUS,
// SIGSEGV, ...): if those were blocked, they would kill the process without running the handlers
// that report and clean up. Errors: ResourceExhausted with the limit to raise.
absl::StatusOr<std::thread> StartThread(const std::string& name,
                                        absl::AnyInvocable<void()> function);

}  // namespace base

#endif  // BASE_THREAD_H_
