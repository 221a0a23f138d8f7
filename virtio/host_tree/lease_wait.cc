#include "virtio/host_tree/lease_wait.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace virtio {
namespace {

constexpr std::chrono::nanoseconds kFirstDelay = std::chrono::milliseconds(1);
constexpr std::chrono::nanoseconds kLongestDelay = std::chrono::milliseconds(250);
constexpr std::chrono::seconds kUsualBreakTime{45};

}  // namespace

std::chrono::seconds LeaseBreakTime() {
  const base::UniqueFd file(open("/proc/sys/fs/lease-break-time", O_RDONLY | O_CLOEXEC));
  char text[32];
  const ssize_t size = file.valid() ? read(file.get(), text, sizeof(text)) : -1;
  if (size <= 0) return kUsualBreakTime;
  uint32_t seconds = 0;
  const absl::string_view digits(text, static_cast<size_t>(size));
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(digits), &seconds)) return kUsualBreakTime;
  return std::chrono::seconds(seconds);
}

std::optional<std::chrono::nanoseconds> LeaseWait::Next(std::chrono::nanoseconds now) {
  if (delay_ == std::chrono::nanoseconds(0)) {
    deadline_ = now + LeaseBreakTime() + std::chrono::seconds(1);
    delay_ = kFirstDelay;
    return delay_;
  }
  if (now >= deadline_) return std::nullopt;
  delay_ = std::min({delay_ * 2, kLongestDelay, deadline_ - now});
  return delay_;
}

}  // namespace virtio
