#include "devices/character/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/log.h"
#include "base/status.h"

namespace devices {
namespace {

constexpr uint8_t kPrefixKey = 0x01;  // Ctrl-a
constexpr uint8_t kEndKey = 'x';

// Signal handlers use both: `g_saved` is written before `g_raw_fd` and read after it.
termios g_saved;
std::atomic<int> g_raw_fd{-1};
static_assert(std::atomic<int>::is_always_lock_free);

// Sets the terminal's mode even if another job is in its foreground. SIGTTOU, which would stop this
// process then, is blocked meanwhile.
int SetMode(int fd, const termios& mode) {
  sigset_t ttou, before;
  sigemptyset(&ttou);
  sigaddset(&ttou, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &ttou, &before);
  const int result = tcsetattr(fd, TCSANOW, &mode);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

}  // namespace

absl::Status MakeTerminalRaw(int fd) {
  if (g_raw_fd.load() >= 0) {
    return absl::AlreadyExistsError("only one device can have the terminal (mode Tty)");
  }
  if (tcgetattr(fd, &g_saved) != 0) return base::ErrnoStatus(errno, "cannot read terminal mode");
  termios raw = g_saved;
  cfmakeraw(&raw);
  [[maybe_unused]] static const int registered = atexit(RestoreTerminal);
  g_raw_fd.store(fd);
  if (SetMode(fd, raw) != 0) {
    const int error = errno;
    RestoreTerminal();
    return base::ErrnoStatus(error, "cannot make the terminal raw");
  }
  return absl::OkStatus();
}

bool RenewRawTerminal(int fd) {
  if (g_raw_fd.load() != fd) return false;
  termios raw = g_saved, now;
  cfmakeraw(&raw);
  // Sets the mode only if it differs, because each change wakes up every reader that waits for
  // input.
  const bool differs = tcgetattr(fd, &now) != 0 || now.c_iflag != raw.c_iflag ||
                       now.c_oflag != raw.c_oflag || now.c_lflag != raw.c_lflag;
  return !differs || SetMode(fd, raw) == 0;
}

void ForgetTerminal() { g_raw_fd.store(-1); }

void RestoreTerminal() {
  const int saved_errno = errno;
  const int fd = g_raw_fd.exchange(-1);
  if (fd >= 0) SetMode(fd, g_saved);
  errno = saved_errno;
}

TerminalUse GetTerminalUse(int fd) {
  if (isatty(fd) == 0) return TerminalUse::kNone;
  const pid_t foreground = tcgetpgrp(fd);
  // -1: the terminal is not our controlling terminal, so it has no job control for this process.
  return foreground == -1 || foreground == getpgrp() ? TerminalUse::kForeground
                                                     : TerminalUse::kBackground;
}

std::optional<TerminalSize> GetTerminalSize(int fd) {
  winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    return std::nullopt;
  }
  return TerminalSize{.columns = size.ws_col, .rows = size.ws_row};
}

size_t EscapeFilter::Apply(std::span<uint8_t> bytes, size_t count) {
  DCHECK(count < bytes.size());
  size_t kept = 0;
  if (after_prefix_) {
    // The prefix ended the previous call: put it back in front, and decide again.
    std::copy_backward(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count),
                       bytes.begin() + static_cast<ptrdiff_t>(count + 1));
    bytes[0] = kPrefixKey;
    ++count;
    after_prefix_ = false;
  }
  for (size_t i = 0; i < count; ++i) {
    const uint8_t key = bytes[i];
    if (key == kPrefixKey) {
      if (i + 1 == count) {
        after_prefix_ = true;
        break;
      }
      const uint8_t next = bytes[i + 1];
      if (next == kEndKey) {
        on_escape_();
        ++i;
        continue;
      }
      if (next == kPrefixKey) ++i;
    }
    bytes[kept++] = key;
  }
  return kept;
}

}  // namespace devices
