// The terminal on which the program was started.
#ifndef DEVICES_CHARACTER_TERMINAL_H_
#define DEVICES_CHARACTER_TERMINAL_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace devices {

// Puts the terminal `fd` into raw mode and has RestoreTerminal called at exit. Output is raw too,
// because a full-screen program in the guest relies on a bare newline moving straight down. `fd`
// must stay open until RestoreTerminal. One terminal at a time. One thread at a time. Errors:
// AlreadyExists, or the terminal's errno.
absl::Status MakeTerminalRaw(int fd);
// Makes `fd` raw again after a shell has changed its mode while this process was stopped. Returns
// false if MakeTerminalRaw did not make `fd` raw, or if it was restored since. The thread of
// MakeTerminalRaw.
bool RenewRawTerminal(int fd);
// Leaves the terminal as it is, because another job has it now. RestoreTerminal then does nothing.
// Any thread.
void ForgetTerminal();

// Undoes MakeTerminalRaw, or does nothing if there is nothing to undo. Any thread;
// async-signal-safe, so that handlers of fatal signals can call it before the process dies.
void RestoreTerminal();

enum class TerminalUse {
  kNone,        // no terminal, or it was hung up
  kForeground,  // this process may read it and change its mode
  // another job is in its foreground: reading it or changing its mode would stop this process
  kBackground,
};
TerminalUse GetTerminalUse(int fd);

struct TerminalSize {
  uint16_t columns;
  uint16_t rows;
};
// Returns the size of the terminal `fd`, or nullopt if `fd` is no terminal or the size is unknown.
std::optional<TerminalSize> GetTerminalSize(int fd);

// Finds the keys that are meant for the program and not for the guest. Ctrl-a x calls `on_escape`;
// Ctrl-a Ctrl-a gives the guest one Ctrl-a; Ctrl-a and any other key both go to the guest.
class EscapeFilter {
 public:
  explicit EscapeFilter(absl::AnyInvocable<void()> on_escape) : on_escape_(std::move(on_escape)) {}
  // Filters the first `count` of `bytes` in place and returns how many are left, at most count + 1.
  // `bytes` must be larger than `count`.
  size_t Apply(std::span<uint8_t> bytes, size_t count);

 private:
  absl::AnyInvocable<void()> on_escape_;
  bool after_prefix_ = false;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_TERMINAL_H_
