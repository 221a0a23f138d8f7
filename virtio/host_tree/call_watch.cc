#include "virtio/host_tree/call_watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"

namespace virtio {
namespace {

const int kSignal = SIGRTMIN + 1;  // SIGRTMIN stops vCPUs

void OnSignal(int /*signal*/) {}

// Lets the signal through to the current thread. Returns the thread's number.
pid_t TakeSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kSignal);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  return gettid();
}

}  // namespace

CallWatch::~CallWatch() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  eventfd_write(wake_.get(), 1);
  thread_.join();
}

absl::Status CallWatch::Start() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;  // no SA_RESTART: the call must return EINTR
  CHECK(sigaction(kSignal, &action, nullptr) == 0);
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return base::ErrnoStatus(errno, "host: eventfd");
  ASSIGN_OR_RETURN(thread_, base::StartThread("call-watch", [this] { Watch(); }));
  return absl::OkStatus();
}

HostError CallWatch::Run(absl::FunctionRef<int()> call) {
  thread_local const pid_t thread = TakeSignal();
  caller_ = thread;
  // ORDERING: the increment comes before `sleeping_` is read. The watching thread sets `sleeping_`
  // before it reads the counter. In any other order, each could miss the other, and the watching
  // thread would sleep during a call.
  ++begun_and_ended_;
  if (sleeping_ && sleeping_.exchange(false)) eventfd_write(wake_.get(), 1);
  const HostError error = HostError::Of(call());
  ++begun_and_ended_;
  return error == EINTR ? EAGAIN : error;
}

void CallWatch::Watch() {
  while (!stopping_) {
    const uint64_t seen = begun_and_ended_;
    Sleep(static_cast<int>(kPatience.count()));
    if (begun_and_ended_ != seen) continue;
    if (seen % 2 != 0) {
      // One signal may not be enough, because the thread may not have begun to wait. A signal after
      // the call does no harm.
      tgkill(getpid(), caller_, kSignal);
      continue;
    }
    sleeping_ = true;
    // ORDERING: as in Run.
    if (begun_and_ended_ == seen && !stopping_) Sleep(-1);
    sleeping_ = false;
  }
}

void CallWatch::Sleep(int timeout_ms) const {
  pollfd file = {wake_.get(), POLLIN, 0};
  poll(&file, 1, timeout_ms);
  eventfd_t ignored;
  eventfd_read(wake_.get(), &ignored);
}

}  // namespace virtio
