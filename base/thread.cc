#include "base/thread.h"

#include <pthread.h>
#include <signal.h>

#include <cstddef>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace base {
namespace {

// Less than a huge page: in a larger stack that happens to be aligned to one, the first touch would
// make 2 MiB resident, for each thread.
constexpr size_t kStackBytes = size_t{1} << 20;

// Has threads get stacks of kStackBytes from now on. std::thread takes the process's default.
void SetStackSize() {
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, kStackBytes) == 0);
  CHECK(pthread_setattr_default_np(&attributes) == 0);
  pthread_attr_destroy(&attributes);
}

}  // namespace

absl::StatusOr<std::thread> StartThread(const std::string& name,
                                        absl::AnyInvocable<void()> function) {
  CHECK(name.size() <= 15);
  static const bool once = (SetStackSize(), true);
  static_cast<void>(once);
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
