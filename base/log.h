// Leveled logging to stderr, one write(2) per line. Under systemd (JOURNAL_STREAM set) each line
// starts with a "<N>" priority that journald understands; on a terminal it starts with the name of
// the level.
//
//   LOG(Info) << "disk " << id << ": opened";
//   LOG_EVERY_N_SEC(Warning, 10) << "...";
//
// LOG_EVERY_N_SEC is for everything that a guest can cause: it prints at most one line in 10 s, and
// the next line says how many were suppressed.
//
// CHECK is for programmer errors only: nothing that a guest, a file or a peer does may fail a
// CHECK.
#ifndef BASE_LOG_H_
#define BASE_LOG_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace base {

enum class LogLevel : int { kDebug = 7, kInfo = 6, kWarning = 4, kError = 3, kFatal = 2 };

// Sets the least severe level that is printed. Any thread; default kInfo.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

// Writes "PREFIX message\n", at most 2 KiB, in one write(2). Control characters are replaced, so a
// string that a guest chose can neither forge lines nor move the cursor. Any thread. Never waits
// for a reader that stalls (kFatal waits 1 s): lines that cannot be written are counted, and their
// number is printed before the next line that can.
void WriteLog(LogLevel level, absl::string_view message);

// Collects one line. Used through the macros below only.
class LogLine {
 public:
  explicit LogLine(LogLevel level) : level_(level) {}
  ~LogLine();
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;
  template <typename T>
  LogLine& operator<<(const T& value) {
    absl::StrAppend(&text_, value);
    return *this;
  }

 private:
  LogLevel level_;
  std::string text_;
};

// Allows one event per period and counts the others. Any thread.
class RateLimit {
 public:
  // Returns true if a line may be printed now, and sets `suppressed` to the number of calls that
  // returned false since the last true one.
  bool Allow(int period_seconds, uint64_t& suppressed);

 private:
  std::atomic<int64_t> next_ns_{0};
  std::atomic<uint64_t> suppressed_{0};
};

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

struct LogVoidify {
  void operator&(const LogLine&) {}
};

}  // namespace base

#define LOG(level)                                \
  !::base::LogEnabled(::base::LogLevel::k##level) \
      ? static_cast<void>(0)                      \
      : ::base::LogVoidify() & ::base::LogLine(::base::LogLevel::k##level)

#define LOG_EVERY_N_SEC(level, seconds)                                                        \
  for (                                                                                        \
      uint64_t log_suppressed_ = 0, log_once_ = 1;                                             \
      log_once_ != 0 && ::base::LogEnabled(::base::LogLevel::k##level) &&                      \
      [](uint64_t&suppressed) {                                                                \
        static ::base::RateLimit limit;                                                        \
        return limit.Allow(seconds, suppressed);                                               \
      }(log_suppressed_);                                                                      \
      log_once_ = 0)                                                                           \
  ::base::LogLine(::base::LogLevel::k##level)                                                  \
      << (log_suppressed_ != 0 ? absl::StrCat("(", log_suppressed_, " like this suppressed) ") \
                               : std::string())

#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::base::CheckFailed(__FILE__, __LINE__, #condition))
#ifdef NDEBUG
#define DCHECK(condition) static_cast<void>(sizeof(!(condition)))
#else
#define DCHECK(condition) CHECK(condition)
#endif

#endif  // BASE_LOG_H_
