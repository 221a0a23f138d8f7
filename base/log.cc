#include "base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check_failed.h"
#include "base/mutex.h"
#include "base/unique_fd.h"

namespace base {
namespace {

std::atomic<int> g_level{static_cast<int>(LogLevel::kInfo)};
std::atomic<bool> g_check_has_failed{false};
// Keeps other threads from taking the room in stderr between the check for it and the write.
Mutex g_write_mutex;
uint64_t g_lost_lines ABSL_GUARDED_BY(g_write_mutex) = 0;

constexpr int kFatalPatienceMs = 1000;
// Half of PIPE_BUF: two lines then fit into one write that does not block.
constexpr size_t kMaxLineBytes = PIPE_BUF / 2;

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

// Returns whether stderr accepts a line now. A pipe that is writable has room for PIPE_BUF bytes.
bool StderrTakesALine(LogLevel level) {
  pollfd stderr_poll = {.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  return poll(&stderr_poll, 1, level == LogLevel::kFatal ? kFatalPatienceMs : 0) > 0;
}

// Returns whether all of `text` was written. POLLOUT is not enough for a terminal, which may accept
// a byte but not a line, nor for a pipe that other programs write to. Both are therefore opened
// anew with O_NONBLOCK: setting O_NONBLOCK on stderr itself would affect every program that shares
// it. What cannot be opened anew (a socket, another user's terminal) is written to directly.
bool WriteWithoutWaiting(absl::string_view text) {
  UniqueFd own;
  struct stat info;
  if (fstat(STDERR_FILENO, &info) == 0 && (S_ISCHR(info.st_mode) || S_ISFIFO(info.st_mode))) {
    own.reset(open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  }
  const ssize_t written = write(own.valid() ? own.get() : STDERR_FILENO, text.data(), text.size());
  return written == static_cast<ssize_t>(text.size());
}

std::string MakeLine(LogLevel level, absl::string_view message) {
  std::string line = UnderJournald() ? absl::StrCat("<", static_cast<int>(level), ">")
                                     : absl::StrCat("vmm: ", Name(level));
  const size_t prefix = line.size();
  absl::StrAppend(&line, message.substr(0, kMaxLineBytes - prefix - 1));
  for (size_t i = prefix; i < line.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(line[i]);
    if (c < 0x20 || c == 0x7f) line[i] = '?';
  }
  line += '\n';
  return line;
}

}  // namespace

void SetLogLevel(LogLevel level) {
  g_level.store(static_cast<int>(level), std::memory_order_relaxed);
}

bool LogEnabled(LogLevel level) {
  return static_cast<int>(level) <= g_level.load(std::memory_order_relaxed);
}

void WriteLog(LogLevel level, absl::string_view message) {
  MutexLock lock(g_write_mutex);
  if (!StderrTakesALine(level)) {  // there is nowhere else to write the line
    ++g_lost_lines;
    return;
  }
  std::string text;
  if (g_lost_lines != 0) {
    text = MakeLine(LogLevel::kWarning,
                    absl::StrCat("log lines lost, nobody read them: ", g_lost_lines));
  }
  text += MakeLine(level, message);
  g_lost_lines = WriteWithoutWaiting(text) ? 0 : g_lost_lines + 1;
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
  WriteLog(LogLevel::kFatal, absl::StrCat("this is a bug of vmm, please report it: ", file, ":",
                                          line, ": ", condition));
  g_check_has_failed.store(true);
  abort();
}

bool CheckHasFailed() { return g_check_has_failed.load(); }

}  // namespace base
