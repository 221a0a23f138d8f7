// Signals of the process, which the control loop handles.
#ifndef VMM_SIGNALS_H_
#define VMM_SIGNALS_H_

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "base/unique_fd.h"

namespace vmm {

// Reads SIGTERM, SIGINT, SIGHUP, SIGTSTP, SIGCONT and SIGWINCH from a signalfd. Every thread must
// block them, so call BlockSignals first in main.
class SignalWatcher final : private base::Operation {
 public:
  // `on_signal` is called on the loop with the signal's number.
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

// Blocks the signals that SignalWatcher reads, and SIGTTIN, which a read of a terminal reports as
// an error too. Ignores the signals that write(2) reports as errors too. Call it before any thread
// is made.
void BlockSignals();

// Stops the process as an unhandled SIGTSTP does, and returns when the process continues. Returns
// at once if no shell could continue the process (an orphaned process group). The control thread.
void StopAsJob();

// Installs handlers for faults. SIGBUS on a page of guest RAM that the host cannot provide (no huge
// page left, memory error) ends the process with 134 and the guest address; on any other page it
// ends the process with 1. Other fatal signals of our own restore the terminal first. `memory` must
// live as long as the process.
void InstallFaultHandlers(const base::GuestMemory& memory);

// Installs a handler for everything that aborts the process: a failed CHECK, an assertion of a
// library, an uncaught exception, a smashed stack. The process then ends at once with kBug and a
// line that says so, because SIGABRT would look like a guest's panic to a shell. A lack of memory
// for the process itself ends it with kBadConfigOrHost. If VMM_CORE_DUMP is in the environment,
// SIGABRT and its core dump stay; they always stay for a SIGABRT from outside. Call it before
// anything that can abort.
void InstallAbortHandlers();

}  // namespace vmm

#endif  // VMM_SIGNALS_H_
