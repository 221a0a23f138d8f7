// Opens /dev/kvm and makes the first VM while the main thread does other work.
#ifndef VMM_KVM_EARLY_KVM_H_
#define VMM_KVM_EARLY_KVM_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vm.h"

namespace vmm {

// KVM_GET_SUPPORTED_CPUID and KVM_CREATE_VM do not depend on the config, and take about as long as
// reading the config and making the event loops.
class EarlyKvm {
 public:
  struct Result {
    KvmSystem system;
    std::unique_ptr<KvmVm> vm;
  };

  // Begins on a separate thread. If no thread can be made, does all of the work in the constructor.
  explicit EarlyKvm(const std::string& path = "/dev/kvm");
  ~EarlyKvm();
  EarlyKvm(const EarlyKvm&) = delete;
  EarlyKvm& operator=(const EarlyKvm&) = delete;

  // Waits for the result, for a short time without sleeping, and returns it. Call it once only.
  // Errors: those of KvmSystem::Open and KvmVm::Create.
  absl::StatusOr<Result> Take();

 private:
  static absl::StatusOr<Result> Open(const std::string& path);
  void SpinUntilDone() const;

  std::optional<absl::StatusOr<Result>> result_;  // the thread owns it until `done_`
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace vmm

#endif  // VMM_KVM_EARLY_KVM_H_
