#include "vmm/machine/controller.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "devices/character/terminal.h"

namespace vmm {
namespace {

using base::LogLevel;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kButtonRepeat{5};      // time between presses of the power button
constexpr seconds kBootLoopWindow{10};   // three triple faults within this time end the VM
constexpr milliseconds kDrainPoll{10};   // time between looks at the consoles' output
constexpr seconds kDrainPatience{2};     // how long the end waits for a slow console sink
constexpr seconds kLastSyncPatience{5};  // for the healthy disks when another disk hangs

// pvpanic event bits. [QEMU docs/specs/pvpanic]
constexpr uint8_t kPvpanicPanicked = 1 << 0;
constexpr uint8_t kPvpanicCrashLoaded = 1 << 1;

}  // namespace

void Controller::Timer::Set(std::chrono::nanoseconds delay, absl::AnyInvocable<void()> function) {
  function_ = std::move(function);
  due_ = loop_.Now() + delay;
  if (pending()) {
    loop_.Cancel(*this);  // OnComplete starts the timer again with the new delay
  } else {
    loop_.Timeout(*this, delay);
  }
}

void Controller::Timer::Clear() {
  function_ = nullptr;
  if (pending()) loop_.Cancel(*this);
}

void Controller::Timer::OnComplete(int32_t /*result*/) {
  if (function_ == nullptr) return;
  const auto now = loop_.Now();
  if (now < due_) return loop_.Timeout(*this, due_ - now);
  auto function = std::move(function_);
  function_ = nullptr;
  function();
}

Controller::Controller(const VmConfig& config, Options options, const KvmSystem& kvm,
                       HostResources& host, base::UringEventLoop& loop)
    : config_(config),
      options_(options),
      kvm_(kvm),
      host_(host),
      loop_(loop),
      button_timer_(loop),
      stop_timer_(loop),
      panic_timer_(loop),
      wait_timer_(loop) {}

Controller::~Controller() = default;

absl::Status Controller::Boot(std::unique_ptr<KvmVm> vm) {
  // The machine is built before the I/O threads run: until then this thread may add to their loops.
  ASSIGN_OR_RETURN(machine_, Machine::Create(config_, kvm_, std::move(vm), host_, *this));
  RETURN_IF_ERROR(host_.Start());
  RETURN_IF_ERROR(machine_->Start());
  state_ = State::kRunning;
  return absl::OkStatus();
}

absl::Status Controller::BuildAnew() {
  RETURN_IF_ERROR(host_.memory().Zero());
  ASSIGN_OR_RETURN(std::unique_ptr<KvmVm> vm, KvmVm::Create(kvm_));
  ASSIGN_OR_RETURN(machine_, Machine::Create(config_, kvm_, std::move(vm), host_, *this));
  RETURN_IF_ERROR(machine_->Start());
  state_ = State::kRunning;
  return absl::OkStatus();
}

void Controller::OnGuestEnd(GuestEnd end, std::string detail) {
  loop_.Post([this, end, detail = std::move(detail)] { HandleGuestEnd(end, detail); });
}

void Controller::OnGuestPanic(uint8_t event) {
  loop_.Post([this, event] { HandlePanic(event); });
}

void Controller::HandleGuestEnd(GuestEnd end, const std::string& detail) {
  if (ending()) return;
  if (panicked_) {  // the kernel's last step after a panic, e.g. with panic=-1
    return End(ExitStatus::kGuestFailed);
  }
  switch (end) {
    case GuestEnd::kPowerOff:
      LogAtEnd(LogLevel::kInfo, "guest powered off");
      return End(ExitStatus::kPowerOff);
    case GuestEnd::kFatal:
      LogAtEnd(LogLevel::kError, "the guest cannot go on:");
      // Each line of the report becomes a log line, so that each has its priority in the journal.
      for (size_t start = 0; start < detail.size();) {
        const size_t newline = detail.find('\n', start);
        const size_t stop = newline == std::string::npos ? detail.size() : newline;
        LogAtEnd(LogLevel::kError, detail.substr(start, stop - start));
        start = stop + 1;
      }
      return End(ExitStatus::kGuestFailed);
    case GuestEnd::kTripleFault:
      LOG_EVERY_N_SEC(Warning, 10) << "guest reset by a triple fault";
      if (triple_fault_count_ >= 2 &&
          loop_.Now() - triple_faults_[(triple_fault_count_ - 2) % 3] < kBootLoopWindow) {
        LogAtEnd(LogLevel::kError,
                 absl::StrCat("three triple faults within ", kBootLoopWindow.count(),
                              " s: the guest cannot boot; look at its console and kernel"));
        return End(ExitStatus::kGuestFailed);
      }
      triple_faults_[triple_fault_count_++ % 3] = loop_.Now();
      break;
    case GuestEnd::kReset:
      // The limit drops no line of a guest that takes more than a second to boot.
      LOG_EVERY_N_SEC(Info, 1) << "guest reboots";
      break;
  }
  if (options_.exit_on_reboot) return End(ExitStatus::kReboot);
  if (transition_ == Transition::kPause) {
    // A guest that is being paused must not run again before it is resumed.
    reset_at_resume_ = true;
    return;
  }
  if (transition_ == Transition::kReset) return;  // the old machine reports its end
  ResetInPlace([](const absl::Status&) {});
}

void Controller::HandlePanic(uint8_t event) {
  if (ending() || panicked_) return;
  if ((event & kPvpanicPanicked) == 0) {
    if ((event & kPvpanicCrashLoaded) != 0)
      LOG_EVERY_N_SEC(Warning, 10) << "guest panicked and runs its crash kernel";
    return;
  }
  LogAtEnd(LogLevel::kError, "guest kernel panic");
  panicked_ = true;
  // The guest may print more about the panic, so the VM does not end yet.
  panic_output_since_ = loop_.Now();
  AwaitPanicOutput(loop_.Now() + options_.panic_patience);
}

void Controller::AwaitPanicOutput(std::chrono::nanoseconds deadline) {
  const auto now = loop_.Now();
  const uint64_t bytes = host_.consoles().written_bytes();
  if (bytes != panic_output_bytes_ || !host_.consoles().drained()) {
    panic_output_bytes_ = bytes;
    panic_output_since_ = now;
  }
  if (now >= deadline || now - panic_output_since_ >= options_.panic_silence) {
    return End(ExitStatus::kGuestFailed);
  }
  panic_timer_.Set(kDrainPoll, [this, deadline] { AwaitPanicOutput(deadline); });
}

void Controller::PressPowerButton() {
  if (machine_ != nullptr) machine_->PressPowerButton();
}

void Controller::RequestStop(absl::string_view who) {
  if (ending()) return;
  if (stop_requested_) return ForceEnd(absl::StrCat("second stop request (", who, ")"));
  stop_requested_ = true;
  // UNLIMITED: runs once, since the second request forces the end.
  LOG(Info) << who << ": asking the guest to power off";
  if (state_ == State::kPaused && transition_ == Transition::kNone) {
    // UNLIMITED: as above.
    LOG(Info) << "the guest was paused; it runs again so that it can power off";
    Resume([](const absl::Status&) {});
  }
  stop_timer_.Set(options_.stop_timeout, [this] {
    ForceEnd(
        absl::StrCat("no power-off within --stop-timeout ", options_.stop_timeout.count(), " s"));
  });
  // A guest that is still booting ignores the button, so the button is pressed again until the
  // guest is off.
  struct Press {
    Controller* self;
    void operator()() const {
      self->PressPowerButton();
      self->button_timer_.Set(kButtonRepeat, *this);
    }
  };
  Press{this}();
}

void Controller::ForceEnd(absl::string_view why) {
  if (ending()) return;
  // UNLIMITED: runs once, since the VM ends.
  LOG(Warning) << "forced end: " << why;
  End(ExitStatus::kForced);
}

void Controller::Pause(Reply reply) {
  if (ending() || transition_ != Transition::kNone)
    return reply(absl::UnavailableError("another transition is under way"));
  if (state_ != State::kRunning)
    return reply(absl::FailedPreconditionError("the VM is not running"));
  transition_ = Transition::kPause;
  machine_->Pause(loop_, options_.io_timeout,
                  [this, reply = std::move(reply)](absl::Status status) mutable {
                    FinishPause(std::move(reply), std::move(status));
                  });
}

void Controller::FinishPause(Reply reply, absl::Status status) {
  transition_ = Transition::kNone;
  if (status.ok()) {
    state_ = State::kPaused;
    // UNLIMITED: only a client or a signal causes this line.
    LOG(Info) << "paused";
  } else {
    // UNLIMITED: as above.
    LOG(Error) << "pause failed: " << status.message();
  }
  reply(std::move(status));
  if (ending()) return StopForGood();
  if (state_ == State::kRunning && reset_at_resume_) {
    ResetInPlace([](const absl::Status&) {});
  } else if (state_ == State::kPaused && stop_requested_) {
    Resume([](const absl::Status&) {});
  }
}

void Controller::Resume(Reply reply) {
  if (ending() || transition_ != Transition::kNone)
    return reply(absl::UnavailableError("another transition is under way"));
  if (state_ != State::kPaused) return reply(absl::FailedPreconditionError("the VM is not paused"));
  if (reset_at_resume_) return ResetInPlace(std::move(reply));
  machine_->Resume();
  state_ = State::kRunning;
  // UNLIMITED: only a client or a signal causes this line.
  LOG(Info) << "resumed";
  reply(absl::OkStatus());
}

void Controller::Reboot(Reply reply) {
  if (ending() || transition_ != Transition::kNone)
    return reply(absl::UnavailableError("another transition is under way"));
  // UNLIMITED: only a client or a signal causes this line.
  LOG(Info) << "reboot requested";
  ResetInPlace(std::move(reply));
}

void Controller::ResetInPlace(Reply reply) {
  transition_ = Transition::kReset;
  reset_at_resume_ = false;
  wait_timer_.Set(options_.io_timeout, [this] {
    LOG_EVERY_N_SEC(Warning, 10) << "reset: still waiting for I/O in flight of "
                                 << machine_->BusyDevices()
                                 << "; guest memory cannot be cleared before";
  });
  machine_->Stop(loop_, [this, reply = std::move(reply)]() mutable {
    transition_ = Transition::kNone;
    wait_timer_.Clear();
    machine_.reset();
    if (ending()) {
      reply(absl::UnavailableError("the VM is ending"));
      return StopForGood();
    }
    absl::Status status = BuildAnew();
    if (!status.ok()) {
      // UNLIMITED: runs once, since the VM ends. No guest can cause this error: a boot file or a
      // resource of the host is missing.
      LOG(Error) << "reset failed: " << status.message();
      reply(status);
      return End(ExitStatus::kBadConfigOrHost);
    }
    reply(absl::OkStatus());
    if (stop_requested_) PressPowerButton();
  });
}

void Controller::LogAtEnd(base::LogLevel level, std::string line) {
  closing_lines_.emplace_back(level, std::move(line));
}

void Controller::WriteClosingLines() {
  for (const auto& [level, line] : closing_lines_) {
    // UNLIMITED: logs each line once, at the end of the VM.
    if (base::LogEnabled(level)) base::WriteLog(level, line);
  }
  closing_lines_.clear();
}

void Controller::End(ExitStatus status) {
  if (ending()) return;
  end_status_ = status;
  button_timer_.Clear();
  panic_timer_.Clear();
  // The process must end although I/O never completes, and although a pause or reset waits for that
  // I/O.
  stop_timer_.Set(options_.io_timeout, [this] {
    // UNLIMITED: runs once, since the VM ends.
    LOG(Error) << machine_->BusyDevices() << ": still has I/O in flight after "
               << options_.io_timeout.count() << " s; leaving without it";
    WriteClosingLines();
    const bool synced = host_.devices().WriteThrough(kLastSyncPatience);
    devices::RestoreTerminal();
    _exit(static_cast<int>(synced ? *end_status_ : WithLostWrites(*end_status_)));
  });
  if (transition_ == Transition::kNone) StopForGood();  // otherwise when the transition is over
}

void Controller::StopForGood() {
  if (machine_ == nullptr) return FinishEnd();
  machine_->Stop(loop_, [this] { FinishEnd(); });
}

void Controller::FinishEnd() {
  stop_timer_.Clear();
  machine_.reset();
  state_ = State::kShutdown;
  host_.consoles().FinishOutput();
  WaitForConsole(loop_.Now() + kDrainPatience);
}

void Controller::WaitForConsole(std::chrono::nanoseconds deadline) {
  if (host_.consoles().drained() || loop_.Now() >= deadline) {
    WriteClosingLines();
    loop_.Stop();
    return;
  }
  wait_timer_.Set(kDrainPoll, [this, deadline] { WaitForConsole(deadline); });
}

}  // namespace vmm
