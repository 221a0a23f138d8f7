#include "vmm/kvm/vcpu_group.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"
#include "vmm/kvm/kvm_uapi.h"

namespace vmm {
namespace {

const int kKickSignal = SIGRTMIN;

// The signal only has to interrupt KVM_RUN. VcpuGroup::command_ says what to do next.
void OnKickSignal(int /*signal*/) {}

void InstallKickHandler() {
  struct sigaction action = {};
  action.sa_handler = OnKickSignal;  // no SA_RESTART: KVM_RUN must return EINTR
  CHECK(sigaction(kKickSignal, &action, nullptr) == 0);
}

}  // namespace

VcpuGroup::VcpuGroup(std::vector<std::unique_ptr<Vcpu>> vcpus, VcpuExits& exits,
                     const base::GuestMemory& memory)
    : vcpus_(std::move(vcpus)), exits_(exits), memory_(memory) {}

VcpuGroup::~VcpuGroup() { StopAndJoin(); }

absl::Status VcpuGroup::Start(bool paused) {
  InstallKickHandler();
  for (const auto& vcpu : vcpus_) {
    ASSIGN_OR_RETURN(std::thread thread,
                     base::StartThread(absl::StrCat("vcpu", vcpu->index()),
                                       [this, &vcpu = *vcpu] { ThreadMain(vcpu); }));
    threads_.push_back(std::move(thread));
  }
  // The vCPUs run only now that `threads_` is complete: at its first exit a vCPU may call Halt,
  // which kicks all threads.
  if (!paused) {
    base::MutexLock lock(mutex_);
    command_ = Command::kRun;
    changed_.NotifyAll();
  }
  return absl::OkStatus();
}

void VcpuGroup::ThreadMain(Vcpu& vcpu) {
  // A kick that came earlier is still pending and is taken here. Its request is in immediate_exit.
  sigset_t kick;
  sigemptyset(&kick);
  sigaddset(&kick, kKickSignal);
  pthread_sigmask(SIG_UNBLOCK, &kick, nullptr);
  while (WaitUntilRunnable(vcpu)) {
    if (vcpu.Run(exits_, memory_) == Vcpu::RunResult::kEnded) {
      // The guest has ended: no vCPU may continue, and this vCPU waits to be stopped.
      Halt();
    }
  }
}

bool VcpuGroup::WaitUntilRunnable(Vcpu& vcpu) {
  absl::AnyInvocable<void()> done;
  base::MutexLock lock(mutex_);
  // The request is taken back under the lock under which commands are given, so that the kick for a
  // newer command can only come later.
  vcpu.ClearExitRequest();
  if (command_ == Command::kRun) return true;
  ++idle_;
  while (command_ == Command::kPause) {
    if (idle_ == vcpus_.size() && pause_done_ != nullptr) {
      done = std::move(pause_done_);
      pause_done_ = nullptr;
      mutex_.Unlock();
      done();
      mutex_.Lock();
      continue;
    }
    changed_.Wait(mutex_);
  }
  if (command_ == Command::kStop) return false;  // stays idle for ever
  --idle_;
  vcpu.ClearExitRequest();
  return true;
}

void VcpuGroup::Kick() {
  for (size_t i = 0; i < threads_.size(); ++i) {
    vcpus_[i]->RequestExit();
    pthread_kill(threads_[i].native_handle(), kKickSignal);
  }
}

void VcpuGroup::Pause(absl::AnyInvocable<void()> done) {
  base::MutexLock lock(mutex_);
  command_ = Command::kPause;
  pause_done_ = std::move(done);
  changed_.NotifyAll();  // a thread that waits and was the last to become idle now runs `done`
  Kick();
}

void VcpuGroup::Resume() {
  base::MutexLock lock(mutex_);
  if (command_ != Command::kPause) return;
  for (const auto& vcpu : vcpus_) {
    // Tells the guest that it did not run, so that it reports no soft lockup. EINVAL if it has no
    // kvmclock.
    ioctl(vcpu->fd(), KVM_KVMCLOCK_CTRL, 0);
  }
  command_ = Command::kRun;
  changed_.NotifyAll();
}

void VcpuGroup::Halt() {
  base::MutexLock lock(mutex_);
  if (command_ == Command::kRun) command_ = Command::kPause;
  Kick();
}

void VcpuGroup::StopAndJoin() {
  {
    base::MutexLock lock(mutex_);
    command_ = Command::kStop;
    pause_done_ = nullptr;
    changed_.NotifyAll();
    Kick();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace vmm
