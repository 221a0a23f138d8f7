// How the program ends.
#ifndef VMM_EXIT_STATUS_H_
#define VMM_EXIT_STATUS_H_

namespace vmm {

// Exit statuses of the program. [docs/design.md, Errors]
enum class ExitStatus : int {
  kPowerOff = 0,
  kBadConfigOrHost = 1,
  kUsage = 2,
  kForced = 3,
  kBug = 70,  // EX_SOFTWARE: not 134, which is SIGABRT in a shell
  kReboot = 133,
  kGuestFailed = 134,
};

// Returns what `status` becomes when a disk was not written through, at the end or ever before. The
// host failed, whatever made the VM end; only a guest that failed by itself (134) is told before.
constexpr ExitStatus WithLostWrites(ExitStatus status) {
  return status == ExitStatus::kGuestFailed ? status : ExitStatus::kBadConfigOrHost;
}

}  // namespace vmm

#endif  // VMM_EXIT_STATUS_H_
