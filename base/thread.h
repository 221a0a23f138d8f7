// Starts threads that leave the process's signals to the main thread.
#ifndef BASE_THREAD_H_
#define BASE_THREAD_H_

#include <string>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace base {

// Runs `function` on a new thread called `name` (what tools show; at most 15 bytes). From its first
// instruction on it has all signals blocked but those that its own faults raise (SIGBUS, SIGSEGV,
// ...): blocked, they would kill the process without the handlers that report and clean up.
// Errors: ResourceExhausted with what to raise.
absl::StatusOr<std::thread> StartThread(std::string name, absl::AnyInvocable<void()> function);

}  // namespace base

#endif  // BASE_THREAD_H_
