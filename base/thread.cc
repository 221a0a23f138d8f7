#include "base/thread.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace base {

absl::StatusOr<std::thread> StartThread(std::string name, absl::AnyInvocable<void()> function) {
  CHECK(name.size() <= 15);
  sigset_t blocked;
  sigset_t previous;
  sigfillset(&blocked);
  for (const int fault : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS}) {
    sigdelset(&blocked, fault);
  }
  pthread_sigmask(SIG_SETMASK, &blocked, &previous);  // the new thread inherits the mask
  std::thread thread;
  absl::Status status;
  try {
    thread = std::thread([name, function = std::move(function)]() mutable {
      pthread_setname_np(pthread_self(), name.c_str());
      function();
    });
  } catch (const std::system_error& error) {
    status = absl::ResourceExhaustedError(absl::StrCat("host: cannot start thread ", name, ": ",
                                                       error.what(),
                                                       "; raise TasksMax or RLIMIT_NPROC"));
  }
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  if (!status.ok()) return status;
  return thread;
}

}  // namespace base
