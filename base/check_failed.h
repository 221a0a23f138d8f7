// What the handler of SIGABRT asks.
#ifndef BASE_CHECK_FAILED_H_
#define BASE_CHECK_FAILED_H_

namespace base {

// Returns whether a CHECK has failed, and has said so on stderr, before the process aborts.
// Async-signal-safe.
bool CheckHasFailed();

}  // namespace base

#endif  // BASE_CHECK_FAILED_H_
