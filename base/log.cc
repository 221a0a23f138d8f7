#include "base/log.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

namespace base {
namespace {

std::atomic<int> g_level{static_cast<int>(LogLevel::kInfo)};

absl::string_view Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug: ";
    case LogLevel::kInfo:
      return "";
    case LogLevel::kWarning:
      return "warning: ";
    case LogLevel::kError:
      return "error: ";
    case LogLevel::kFatal:
      return "fatal: ";
  }
  return "";
}

bool UnderJournald() {
  static const bool value = getenv("JOURNAL_STREAM") != nullptr;
  return value;
}

}  // namespace

void SetLogLevel(LogLevel level) {
  g_level.store(static_cast<int>(level), std::memory_order_relaxed);
}

bool LogEnabled(LogLevel level) {
  return static_cast<int>(level) <= g_level.load(std::memory_order_relaxed);
}

void WriteLog(LogLevel level, absl::string_view message) {
  std::string line = UnderJournald() ? absl::StrCat("<", static_cast<int>(level), ">")
                                     : absl::StrCat("vmm: ", Name(level));
  const size_t prefix = line.size();
  absl::StrAppend(&line, message);
  for (size_t i = prefix; i < line.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(line[i]);
    if (c < 0x20 || c == 0x7f) line[i] = '?';
  }
  line += '\n';
  // A log line that cannot be written has nowhere else to go.
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, line.data(), line.size());
}

LogLine::~LogLine() { WriteLog(level_, text_); }

bool RateLimit::Allow(int period_seconds, uint64_t& suppressed) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t now_ns = now.tv_sec * 1'000'000'000 + now.tv_nsec;
  int64_t next_ns = next_ns_.load(std::memory_order_relaxed);
  if (now_ns < next_ns ||
      !next_ns_.compare_exchange_strong(next_ns, now_ns + period_seconds * 1'000'000'000LL,
                                        std::memory_order_relaxed)) {
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  suppressed = suppressed_.exchange(0, std::memory_order_relaxed);
  return true;
}

void CheckFailed(const char* file, int line, const char* condition) {
  WriteLog(LogLevel::kFatal, absl::StrCat("internal error: ", file, ":", line, ": ", condition));
  abort();
}

}  // namespace base
