#include "vmm/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <new>
#include <optional>
#include <utility>

#include "base/check_failed.h"
#include "base/log.h"
#include "base/status.h"
#include "devices/character/terminal.h"
#include "vmm/exit_status.h"

namespace vmm {
namespace {

const base::GuestMemory* g_memory = nullptr;

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH}) {
    sigaddset(&set, signal);
  }
  return set;
}

// A line that is printed just before the process ends. Async-signal-safe.
class LastLine {
 public:
  LastLine& Append(const char* text) {
    while (*text != '\0' && length_ < sizeof(line_)) line_[length_++] = *text++;
    return *this;
  }
  LastLine& AppendHex(uint64_t value) {
    Append("0x");
    for (int shift = 60; shift >= 0; shift -= 4) {
      const char digit[] = {"0123456789abcdef"[(value >> shift) & 15], '\0'};
      Append(digit);
    }
    return *this;
  }
  // Waits for at most one second for a reader.
  void Write() const {
    pollfd stderr_poll = {.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    if (poll(&stderr_poll, 1, 1000) <= 0) return;
    [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, line_, length_);
  }

 private:
  char line_[160];
  size_t length_ = 0;
};

// Ends the process without destructors, because the objects that they destroy may be broken.
[[noreturn]] void Leave(ExitStatus status) { _exit(static_cast<int>(status)); }

void OnSigbus(int /*signal*/, siginfo_t* info, void* /*context*/) {
  devices::RestoreTerminal();
  const std::optional<uint64_t> guest = g_memory->GuestAddressOf(info->si_addr);
  LastLine()
      .Append("vmm: fatal: SIGBUS at ")
      .Append(guest ? "guest address " : "host address ")
      .AppendHex(guest ? *guest : reinterpret_cast<uint64_t>(info->si_addr))
      .Append(": the host cannot provide the page\n")
      .Write();
  Leave(guest ? ExitStatus::kGuestFailed : ExitStatus::kBadConfigOrHost);
}

void OnAbort(int signal, siginfo_t* info, void* /*context*/) {
  devices::RestoreTerminal();
  if (info->si_code != SI_TKILL || info->si_pid != getpid()) {
    raise(signal);  // the signal came from outside; SA_RESETHAND has restored the default action
    return;
  }
  if (!base::CheckHasFailed()) {
    LastLine()
        .Append(
            "vmm: fatal: this is a bug of vmm, please report it: it aborted itself; a line above "
            "may say why\n")
        .Write();
  }
  Leave(ExitStatus::kBug);
}

[[noreturn]] void OnOutOfMemory() {
  devices::RestoreTerminal();
  LastLine()
      .Append(
          "vmm: fatal: host: no memory for vmm itself; raise the limit (ulimit -v, MemoryMax=)\n")
      .Write();
  Leave(ExitStatus::kBadConfigOrHost);
}

void OnFatalSignal(int signal) {
  devices::RestoreTerminal();
  raise(signal);  // SA_RESETHAND has restored the default action, with its core dump and status
}

}  // namespace

void BlockSignals() {
  sigset_t set = WatchedSignals();
  // so that a read in the background fails with EIO and does not stop the guest
  sigaddset(&set, SIGTTIN);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // at RLIMIT_FSIZE the guest gets EFBIG and the process does not die
}

void StopAsJob() {
  sigset_t stop, before;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  raise(SIGTSTP);
  pthread_sigmask(SIG_UNBLOCK, &stop, &before);  // the process stops here
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void InstallFaultHandlers(const base::GuestMemory& memory) {
  g_memory = &memory;
  struct sigaction bus = {};
  bus.sa_sigaction = OnSigbus;
  bus.sa_flags = SA_SIGINFO;
  CHECK(sigaction(SIGBUS, &bus, nullptr) == 0);
  struct sigaction fatal = {};
  fatal.sa_handler = OnFatalSignal;
  fatal.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGSEGV, SIGILL, SIGFPE, SIGQUIT}) {
    CHECK(sigaction(signal, &fatal, nullptr) == 0);
  }
}

void InstallAbortHandlers() {
  std::set_new_handler(OnOutOfMemory);
  struct sigaction action = {};
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_SIGINFO;
  if (getenv("VMM_CORE_DUMP") == nullptr) {
    action.sa_sigaction = OnAbort;
  } else {
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    action.sa_handler = OnFatalSignal;
  }
  CHECK(sigaction(SIGABRT, &action, nullptr) == 0);
}

absl::StatusOr<std::unique_ptr<SignalWatcher>> SignalWatcher::Create(
    base::EventLoop& loop, absl::AnyInvocable<void(int)> on_signal) {
  const sigset_t set = WatchedSignals();
  base::UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return base::ErrnoStatus(errno, "signalfd");
  auto watcher =
      std::unique_ptr<SignalWatcher>(new SignalWatcher(loop, std::move(fd), std::move(on_signal)));
  ASSIGN_OR_RETURN(watcher->file_, loop.AddFile(watcher->fd_.get()));
  loop.PollMultishot(*watcher, watcher->file_, POLLIN);
  return watcher;
}

void SignalWatcher::OnComplete(int32_t result) {
  if (result == -ECANCELED) return;
  signalfd_siginfo info;
  while (read(fd_.get(), &info, sizeof(info)) == sizeof(info)) {
    on_signal_(static_cast<int>(info.ssi_signo));
  }
  if (!pending()) loop_.PollMultishot(*this, file_, POLLIN);
}

}  // namespace vmm
