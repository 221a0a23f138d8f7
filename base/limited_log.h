// Log lines that a guest or a failing host can cause repeatedly, with a rate limit per device.
//
//   LOG_LIMITED(Warning, 10, device.id()) << device.id() << ": ...";
//
// At most one line is printed in 10 s for each place in the source and each device; the next line
// says how many were suppressed. The limits last as long as the process, so a guest gains nothing
// by resetting its devices or itself, and a device that fails all the time does not hide the first
// fault of another. LOG_EVERY_N_SEC is for lines that belong to no device. tests/log_rules.py
// enforces this.
#ifndef BASE_LIMITED_LOG_H_
#define BASE_LIMITED_LOG_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "base/log.h"
#include "base/mutex.h"

namespace base {

// The rate limits of one place in the source, by device id. Ids come from the config, never from a
// guest, so an entry can stay for the life of the process. Any thread.
class RateLimits {
 public:
  // Does what RateLimit::Allow does, for `id`.
  bool Allow(absl::string_view id, int period_seconds, uint64_t& suppressed) {
    MutexLock lock(mutex_);
    return limits_[std::string(id)].Allow(period_seconds, suppressed);
  }

 private:
  Mutex mutex_;
  std::map<std::string, RateLimit> limits_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace base

#define LOG_LIMITED(level, seconds, id)                                                        \
  for (                                                                                        \
      uint64_t log_suppressed_ = 0, log_once_ = 1;                                             \
      log_once_ != 0 && ::base::LogEnabled(::base::LogLevel::k##level) &&                      \
      [&](uint64_t&suppressed) {                                                               \
        static ::base::RateLimits limits;                                                      \
        return limits.Allow(id, seconds, suppressed);                                          \
      }(log_suppressed_);                                                                      \
      log_once_ = 0)                                                                           \
  ::base::LogLine(::base::LogLevel::k##level)                                                  \
      << (log_suppressed_ != 0 ? absl::StrCat("(", log_suppressed_, " like this suppressed) ") \
                               : std::string())

#endif  // BASE_LIMITED_LOG_H_
