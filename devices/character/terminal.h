// The terminal that the program was started on.
#ifndef DEVICES_CHARACTER_TERMINAL_H_
#define DEVICES_CHARACTER_TERMINAL_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace devices {

// Puts the terminal `fd` into raw mode and has RestoreTerminal called at exit. Output is raw too: a
// full-screen program in the guest relies on a bare newline moving straight down. `fd` stays open
// until then. One terminal at a time. One thread at a time. Errors: AlreadyExists, or the
// terminal's errno.
absl::Status MakeTerminalRaw(int fd);
// Makes `fd` raw again: a shell has changed its mode while this process was stopped. Returns false
// if it is not one that MakeTerminalRaw made raw, or was restored since. The thread of
// MakeTerminalRaw.
bool RenewRawTerminal(int fd);
// Leaves the terminal as it is: another job has it now, and RestoreTerminal does nothing. Any
// thread.
void ForgetTerminal();

// Undoes MakeTerminalRaw; does nothing when there is nothing to undo. Any thread;
// async-signal-safe: handlers of fatal signals call it before the process dies.
void RestoreTerminal();

enum class TerminalUse {
  kNone,        // no terminal, or it was hung up
  kForeground,  // this process may read it and change its mode
  kBackground,  // its foreground is another job: either would stop this process
};
TerminalUse GetTerminalUse(int fd);

struct TerminalSize {
  uint16_t columns;
  uint16_t rows;
};
// Returns the size of the terminal `fd`, nullopt if it is none or does not know.
std::optional<TerminalSize> GetTerminalSize(int fd);

// Finds the keys that are meant for the program and not for the guest: Ctrl-a x calls `on_escape`,
// Ctrl-a Ctrl-a is one Ctrl-a for the guest. Anything else after Ctrl-a goes to the guest with it.
class EscapeFilter {
 public:
  explicit EscapeFilter(absl::AnyInvocable<void()> on_escape) : on_escape_(std::move(on_escape)) {}
  // Filters the first `count` of `bytes` in place and returns how many are left, at most count + 1;
  // `bytes` is larger than `count`.
  size_t Apply(std::span<uint8_t> bytes, size_t count);

 private:
  absl::AnyInvocable<void()> on_escape_;
  bool after_prefix_ = false;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_TERMINAL_H_
