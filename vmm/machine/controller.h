// The life of one VM from first boot to exit status: signals, power button, reset in place, pause,
// end.
//
// Everything here runs on the control loop (the main thread). vCPU threads and the control socket
// post to that loop. At most one transition (pause, resume, reset, end) is under way at a time.
// Meanwhile the controller refuses requests of the API, and remembers signals and guest events
// until the transition is over.
#ifndef VMM_MACHINE_CONTROLLER_H_
#define VMM_MACHINE_CONTROLLER_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/log.h"
#include "base/uring_event_loop.h"
#include "vmm/config/vm_config.h"
#include "vmm/exit_status.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/machine/host_resources.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/machine_events.h"

namespace vmm {

class Controller final : public MachineEvents {
 public:
  struct Options {
    bool exit_on_reboot = false;
    std::chrono::seconds stop_timeout{90};
    // How long the end of the VM or a pause waits for I/O in flight. After this time a pause fails,
    // and the end goes ahead without the I/O.
    std::chrono::seconds io_timeout{30};
    // A panicked guest may print for `panic_patience` at most. It counts as done when it has
    // printed nothing for `panic_silence`.
    std::chrono::milliseconds panic_patience{2000};
    std::chrono::milliseconds panic_silence{100};
  };
  enum class State : uint8_t { kCreated, kRunning, kPaused, kShutdown };
  using Reply = absl::AnyInvocable<void(absl::Status)>;

  // `loop` is the control loop; all references outlive the controller.
  Controller(const VmConfig& config, Options options, const KvmSystem& kvm, HostResources& host,
             base::UringEventLoop& loop);
  ~Controller() override;

  // Builds the machine in `vm`, which is new, and starts the guest. The caller then calls
  // loop.Run(), which returns when exit_status() is known.
  absl::Status Boot(std::unique_ptr<KvmVm> vm);
  ExitStatus exit_status() const { return end_status_.value_or(ExitStatus::kPowerOff); }

  // --- Control loop ---
  State state() const { return state_; }
  const VmConfig& config() const { return config_; }
  Machine* machine() { return machine_.get(); }

  // Handles a request to stop the VM: the first request presses the power button, the second forces
  // the end. `who` is the sender's name for the log.
  void RequestStop(absl::string_view who);
  // Ends the VM without asking the guest: stops the devices, syncs the disks, and ends with status
  // 3.
  void ForceEnd(absl::string_view why);
  void PressPowerButton();
  // Each calls `reply` once, with OK or with an error and its reason: FailedPrecondition,
  // Unavailable or DeadlineExceeded.
  void Pause(Reply reply);
  void Resume(Reply reply);
  void Reboot(Reply reply);

  // MachineEvents: any thread.
  void OnGuestEnd(GuestEnd end, std::string detail) override;
  void OnGuestPanic(uint8_t event) override;

 private:
  // The transition that is under way. Only pause and reset take time, since they wait for the
  // devices.
  enum class Transition : uint8_t { kNone, kPause, kReset };

  // One of the controller's timers.
  class Timer final : public base::Operation {
   public:
    explicit Timer(base::EventLoop& loop) : loop_(loop) {}
    // Runs `function` after `delay`; replaces what was set before.
    void Set(std::chrono::nanoseconds delay, absl::AnyInvocable<void()> function);
    void Clear();

   private:
    void OnComplete(int32_t result) override;

    base::EventLoop& loop_;
    absl::AnyInvocable<void()> function_;
    std::chrono::nanoseconds due_{0};
  };

  // Zeroes guest RAM, builds a new machine, and starts the machine.
  absl::Status BuildAnew();
  void HandleGuestEnd(GuestEnd end, const std::string& detail);
  void HandlePanic(uint8_t event);
  // Ends the VM when the panicked guest has been silent for `panic_silence`, or at `deadline`.
  void AwaitPanicOutput(std::chrono::nanoseconds deadline);
  void ResetInPlace(Reply reply);
  void FinishPause(Reply reply, absl::Status status);
  bool ending() const { return end_status_.has_value(); }
  // Keeps a line about the guest's end and logs it after the guest's last output. Otherwise the
  // line would stand in the middle of that output where the log and a console share a terminal or
  // pipe.
  void LogAtEnd(base::LogLevel level, std::string line);
  void WriteClosingLines();
  void End(ExitStatus status);
  void StopForGood();
  void FinishEnd();
  void WaitForConsole(std::chrono::nanoseconds deadline);

  const VmConfig& config_;
  const Options options_;
  const KvmSystem& kvm_;
  HostResources& host_;
  base::UringEventLoop& loop_;

  std::unique_ptr<Machine> machine_;
  State state_ = State::kCreated;
  Transition transition_ = Transition::kNone;
  bool stop_requested_ = false;
  bool panicked_ = false;
  uint64_t panic_output_bytes_ = 0;                 // written at the last look
  std::chrono::nanoseconds panic_output_since_{0};  // when that number last changed
  bool reset_at_resume_ = false;          // the guest asked for a reset while it was being paused
  std::optional<ExitStatus> end_status_;  // set when the end begins; the first reason counts
  std::vector<std::pair<base::LogLevel, std::string>> closing_lines_;
  // The times of the last triple faults, as a ring. Three triple faults within 10 s are a boot
  // loop.
  std::array<std::chrono::nanoseconds, 3> triple_faults_{};
  uint32_t triple_fault_count_ = 0;

  Timer button_timer_;
  Timer stop_timer_;
  Timer panic_timer_;
  Timer wait_timer_;  // for devices during a reset, for consoles at the end
};

}  // namespace vmm

#endif  // VMM_MACHINE_CONTROLLER_H_
