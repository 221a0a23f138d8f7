#include "vmm/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/status.h"
#include "devices/character/terminal.h"

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

// Async-signal-safe: formats by hand and leaves with _exit.
void OnSigbus(int /*signal*/, siginfo_t* info, void* /*context*/) {
  devices::RestoreTerminal();
  const std::optional<uint64_t> guest = g_memory->GuestAddressOf(info->si_addr);
  char line[96];
  size_t length = 0;
  const auto append = [&](const char* text) {
    while (*text != '\0' && length < sizeof(line)) line[length++] = *text++;
  };
  const auto append_hex = [&](uint64_t value) {
    append("0x");
    for (int shift = 60; shift >= 0; shift -= 4) {
      const char digit[] = {"0123456789abcdef"[(value >> shift) & 15], '\0'};
      append(digit);
    }
  };
  append("vmm: fatal: SIGBUS at ");
  append(guest ? "guest address " : "host address ");
  append_hex(guest ? *guest : reinterpret_cast<uint64_t>(info->si_addr));
  append(": the host cannot provide the page\n");
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, line, length);
  _exit(134);
}

void OnFatalSignal(int signal) {
  devices::RestoreTerminal();
  raise(signal);  // SA_RESETHAND: now the default action, with its core dump and status
}

}  // namespace

void BlockSignals() {
  sigset_t set = WatchedSignals();
  sigaddset(&set, SIGTTIN);  // a read in the background fails with EIO and does not stop the guest
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a file at its RLIMIT_FSIZE: EFBIG for the guest, not death
}

void StopAsJob() {
  sigset_t stop, before;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  raise(SIGTSTP);
  pthread_sigmask(SIG_UNBLOCK, &stop, &before);  // stops here
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
  for (const int signal : {SIGABRT, SIGSEGV, SIGILL, SIGFPE, SIGQUIT}) {
    CHECK(sigaction(signal, &fatal, nullptr) == 0);
  }
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
