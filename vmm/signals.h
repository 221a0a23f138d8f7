// Signals of the process, taken on the control loop.
#ifndef VMM_SIGNALS_H_
#define VMM_SIGNALS_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "base/unique_fd.h"

namespace vmm {

// Reads SIGTERM, SIGINT, SIGHUP, SIGTSTP, SIGCONT and SIGWINCH from a signalfd. They must be
// blocked in every thread: call BlockSignals first in main.
class SignalWatcher final : private base::Operation {
 public:
  // `on_signal` gets the signal's number, on the loop.
  static absl::StatusOr<std::unique_ptr<SignalWatcher>> Create(
      base::EventLoop& loop, absl::AnyInvocable<void(int)> on_signal);
  ~SignalWatcher() override = default;

 private:
  SignalWatcher(base::EventLoop& loop, base::UniqueFd fd, absl::AnyInvocable<void(int)> on_signal)
      : loop_(loop), fd_(std::move(fd)), on_signal_(std::move(on_signal)) {}
  void OnComplete(int32_t result) override;

  base::EventLoop& loop_;
  base::UniqueFd fd_;
  base::LoopFile file_;
  absl::AnyInvocable<void(int)> on_signal_;
};

// Blocks what SignalWatcher reads and what a read of a terminal reports as an error too (SIGTTIN);
// ignores what write(2) reports as an error too. Before any thread is made.
void BlockSignals();

// Stops the process as an unhandled SIGTSTP does and returns when it goes on; at once where no
// shell could make it go on (an orphaned process group). The control thread.
void StopAsJob();

// Makes a fault on a page of guest RAM that the host cannot provide (SIGBUS: no huge page left,
// memory error) end the process with 134 and the guest address (with 1 on any other page), and
// fatal signals of our own restore the terminal first. `memory` must live as long as the process.
void InstallFaultHandlers(const base::GuestMemory& memory);

// Makes whatever aborts the process (a failed CHECK, an assertion of a library, an exception that
// nobody catches, a smashed stack) end it at once with kBug and a line that says so, where SIGABRT
// would look like a guest's panic to a shell, and a lack of memory for the process itself with
// kBadConfigOrHost. With VMM_CORE_DUMP in the environment SIGABRT and its core dump stay, as they
// do for a SIGABRT from outside. Before anything that can abort.
void InstallAbortHandlers();

}  // namespace vmm

#endif  // VMM_SIGNALS_H_
