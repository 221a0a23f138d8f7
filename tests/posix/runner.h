// What main() and the helpers of cases share.

#ifndef TESTS_POSIX_RUNNER_H_
#define TESTS_POSIX_RUNNER_H_

#include <string>

namespace posix {

// Exit statuses of the process of a case.
inline constexpr int kCasePassed = 0;
inline constexpr int kCaseFailed = 1;

// Sets the name that failures carry, and the file whose times tell the file system's clock.
void BeginCase(const std::string& name, const std::string& clock_file);

// What a file system cannot carry, by design of the protocol or of its client.
struct Difference {
  const char* system;  // as --on names it
  const char* name;    // of a case; a trailing * stands for any rest
  const char* reason;
};

// Returns the difference that a case is known for on a system, or null.
const Difference* FindDifference(const std::string& system, const std::string& name);
// Returns whether the system has a list, which may be empty.
bool IsKnownSystem(const std::string& system);
// Returns a difference of this system that no case has, or null.
const Difference* FindUnusedDifference(const std::string& system);

}  // namespace posix

#endif  // TESTS_POSIX_RUNNER_H_
