// Declarations shared by main() and the helpers of cases.

#ifndef TESTS_POSIX_RUNNER_H_
#define TESTS_POSIX_RUNNER_H_

#include <string>

namespace posix {

// Exit statuses of the process of a case.
inline constexpr int kCasePassed = 0;
inline constexpr int kCaseFailed = 1;

// Sets the name for messages of failures, and the file whose times show the file system's clock.
void BeginCase(const std::string& name, const std::string& clock_file);

// A case that a file system cannot pass, by the design of its protocol or of its client.
struct Difference {
  const char* system;  // a name that --on takes
  const char* name;    // of a case; a trailing * matches any rest
  const char* reason;
};

// Returns the known difference of a system for a case, or null.
const Difference* FindDifference(const std::string& system, const std::string& name);
// Returns true if the system has a list of differences, which may be empty.
bool IsKnownSystem(const std::string& system);
// Returns a difference of this system that matches no case, or null.
const Difference* FindUnusedDifference(const std::string& system);

}  // namespace posix

#endif  // TESTS_POSIX_RUNNER_H_
