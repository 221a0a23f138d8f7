// Tells the handler of SIGABRT whether a CHECK has failed.
#ifndef BASE_CHECK_FAILED_H_
#define BASE_CHECK_FAILED_H_

namespace base {

// Returns true if a CHECK has failed and has written its message to stderr, and the process is
// about to abort. Async-signal-safe.
bool CheckHasFailed();

}  // namespace base

#endif  // BASE_CHECK_FAILED_H_
