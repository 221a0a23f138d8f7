// All vCPUs of a machine and their threads: start, pause, resume, stop.
#ifndef VMM_KVM_VCPU_GROUP_H_
#define VMM_KVM_VCPU_GROUP_H_

#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/guest_memory.h"
#include "base/mutex.h"
#include "vmm/kvm/vcpu.h"

namespace vmm {

// The control thread gives commands; vCPU threads may also call Halt. A vCPU thread obeys the
// newest command as soon as it leaves KVM_RUN. It is kicked by immediate_exit and a signal
// together, so no kick can be lost between the check and the entry.
class VcpuGroup {
 public:
  VcpuGroup(std::vector<std::unique_ptr<Vcpu>> vcpus, VcpuExits& exits,
            const base::GuestMemory& memory);
  ~VcpuGroup();  // stops and joins

  // Starts the threads, paused or running. Errors: a thread cannot be created.
  absl::Status Start(bool paused);

  // Stops guest code. `done` runs on a vCPU thread once no vCPU executes guest code.
  void Pause(absl::AnyInvocable<void()> done);
  void Resume();
  // Stops guest code without waiting. For exit handlers, which run on a vCPU thread.
  void Halt();
  // Ends all threads and waits for them. Do not call it on a vCPU thread.
  void StopAndJoin();

  std::span<const std::unique_ptr<Vcpu>> vcpus() const { return vcpus_; }

 private:
  enum class Command { kRun, kPause, kStop };

  void ThreadMain(Vcpu& vcpu);
  bool WaitUntilRunnable(Vcpu& vcpu);  // false: stop the thread
  void Kick();

  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  VcpuExits& exits_;
  const base::GuestMemory& memory_;
  std::vector<std::thread> threads_;

  base::Mutex mutex_;
  base::CondVar changed_;
  Command command_ ABSL_GUARDED_BY(mutex_) = Command::kPause;
  size_t idle_ ABSL_GUARDED_BY(mutex_) = 0;  // threads that wait for a command or have ended
  absl::AnyInvocable<void()> pause_done_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmm

#endif  // VMM_KVM_VCPU_GROUP_H_
