// The exit statuses of the program.
#ifndef VMM_EXIT_STATUS_H_
#define VMM_EXIT_STATUS_H_

namespace vmm {

// How the program ended, as its exit status.
enum class ExitStatus : int {
  kPowerOff = 0,
  kBadConfigOrHost = 1,
  kUsage = 2,
  kForced = 3,
  kBug = 70,  // EX_SOFTWARE: not 134, which is SIGABRT in a shell
  kReboot = 133,
  kGuestFailed = 134,
};

struct ExitStatusMeaning {
  ExitStatus status;
  const char* meaning;
};

// The meaning of each status, in ascending order. `--help` prints these texts;
// tests/exit_statuses.py checks that README.md and docs/vmm.8 have the same texts.
inline constexpr ExitStatusMeaning kExitStatusMeanings[] = {
    {ExitStatus::kPowerOff, "the guest powered off, or vmm printed the requested text"},
    {ExitStatus::kBadConfigOrHost, "the config or the host is unsuitable, or a disk lost writes"},
    {ExitStatus::kUsage, "wrong usage"},
    {ExitStatus::kForced,
     "the end was forced: a second signal, --stop-timeout, Ctrl-a x, vmm.shutdown"},
    {ExitStatus::kBug, "a bug of vmm itself"},
    {ExitStatus::kReboot, "the guest rebooted and --on-reboot=exit was given"},
    {ExitStatus::kGuestFailed,
     "the guest panicked, triple faulted three times within 10 s, or KVM cannot run it any more"},
};

// Returns the status to use instead of `status` if at any time writes to a disk were lost. A loss
// of writes is a failure of the host and comes first, whatever ended the VM, except for a failure
// of the guest itself (134).
constexpr ExitStatus WithLostWrites(ExitStatus status) {
  return status == ExitStatus::kGuestFailed ? status : ExitStatus::kBadConfigOrHost;
}

}  // namespace vmm

#endif  // VMM_EXIT_STATUS_H_
