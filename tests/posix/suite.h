// The parts of the POSIX suite's cases: registration, checks, and small helpers.
//
// Each case runs as root in its own process and its own empty directory. Its changes to the process
// (umask, ids, limits, working directory) end with the process. The first check that fails prints a
// line and ends the case.

#ifndef TESTS_POSIX_SUITE_H_
#define TESTS_POSIX_SUITE_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace posix {

// Ids that own nothing on the host, for cases about the permissions of other users.
inline constexpr uid_t kUser = 4711;
inline constexpr uid_t kOtherUser = 4712;
inline constexpr gid_t kGroup = 4721;
inline constexpr gid_t kOtherGroup = 4722;

struct Case {
  std::string name;  // topic.what
  std::function<void()> run;
};

// Returns all registered cases.
std::vector<Case>& Cases();

// Registers a case when it is constructed.
struct Registered {
  Registered(const std::string& name, const std::function<void()>& run);
};

#define POSIX_CASE(topic, name)                                                          \
  static void topic##_##name();                                                          \
  static const ::posix::Registered k_##topic##_##name(#topic "." #name, topic##_##name); \
  static void topic##_##name()

// --- checks ---

// Prints a line about the running case and ends it as failed.
[[noreturn]] void Fail(const char* file, int line, const std::string& text);

// Ends the case because a call returned -1; prints errno.
[[noreturn]] void FailCall(const char* what, const char* file, int line);
template <typename Result>
Result CheckOk(Result result, const char* what, const char* file, int line) {
  if (result == -1) FailCall(what, file, line);
  return result;
}
void CheckFails(int error, long result, const char* what, const char* file, int line);
void CheckEqual(long long got, long long wanted, const char* what, const char* file, int line);
void CheckText(const std::string& got, const std::string& wanted, const char* what,
               const char* file, int line);

// Returns the result of a call, which must not be -1.
#define OK(call) ::posix::CheckOk((call), #call, __FILE__, __LINE__)
// The call must return -1 with this errno.
#define FAILS(error, call)                                                            \
  do {                                                                                \
    errno = 0;                                                                        \
    ::posix::CheckFails((error), static_cast<long>(call), #call, __FILE__, __LINE__); \
  } while (false)
#define EQUAL(got, wanted)                                                                         \
  ::posix::CheckEqual(static_cast<long long>(got), static_cast<long long>(wanted), #got, __FILE__, \
                      __LINE__)
#define SAME_TEXT(got, wanted) ::posix::CheckText((got), (wanted), #got, __FILE__, __LINE__)
#define HOLDS(condition)                                             \
  do {                                                               \
    if (!(condition)) ::posix::Fail(__FILE__, __LINE__, #condition); \
  } while (false)

// --- helpers: each ends the case if it fails ---

// Makes a file with this content; replaces an existing file.
void Make(const std::string& path, const std::string& content = "", mode_t mode = 0644);
// Makes a directory with exactly this mode, independent of the umask.
void MakeDirectory(const std::string& path, mode_t mode = 0755);
// Gives a file or directory to another owner.
void Give(const std::string& path, uid_t uid, gid_t gid);
std::string Content(const std::string& path);
// Reads up to `size` bytes at `offset`.
std::string ReadAt(int fd, size_t size, off_t offset);
void WriteAll(int fd, const std::string& data);
void WriteAt(int fd, const std::string& data, off_t offset);
struct stat Stat(const std::string& path);
struct stat Lstat(const std::string& path);
struct stat Fstat(int fd);
mode_t Permissions(const std::string& path);
bool Exists(const std::string& path);
// Returns the sorted names in a directory without "." and "..".
std::vector<std::string> Names(const std::string& path);

// Runs a function in a process with these ids and no privileges. If the function fails, so does the
// case.
void As(uid_t uid, gid_t gid, const std::function<void()>& run);
// The same, with more groups.
void As(uid_t uid, gid_t gid, const std::vector<gid_t>& groups, const std::function<void()>& run);
// Runs a function in a child process. If the function fails, so does the case.
void InChild(const std::function<void()>& run);

// Waits until the file system's clock has advanced, so that the next stamp is newer.
void Tick();
bool Newer(const timespec& a, const timespec& b);
bool SameTime(const timespec& a, const timespec& b);
// Sets the times of a file far into the past, waits for a tick, and returns the state of the file.
struct stat MakeOld(const std::string& path);

}  // namespace posix

#endif  // TESTS_POSIX_SUITE_H_
