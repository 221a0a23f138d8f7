#include "vmm/kvm/early_kvm.h"

#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"

namespace vmm {
namespace {

constexpr std::chrono::microseconds kSpin{400};

}  // namespace

EarlyKvm::EarlyKvm(const std::string& path) {
  auto thread = base::StartThread("kvm", [this, path] {
    result_ = Open(path);
    done_.store(true, std::memory_order_release);
  });
  if (thread.ok()) {
    thread_ = *std::move(thread);
  } else {
    result_ = Open(path);
    done_ = true;
  }
}

EarlyKvm::~EarlyKvm() {
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<EarlyKvm::Result> EarlyKvm::Take() {
  SpinUntilDone();
  // ORDERING: pairs with the store of done_ after the result.
  if (!done_.load(std::memory_order_acquire)) thread_.join();
  CHECK(result_.has_value());
  return *std::exchange(result_, std::nullopt);
}

// Ending a thread and waking up the thread that joins it takes longer than the rest of the work
// usually takes. So spin for a short time first.
void EarlyKvm::SpinUntilDone() const {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  while (!done_.load(std::memory_order_acquire) && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
}

absl::StatusOr<EarlyKvm::Result> EarlyKvm::Open(const std::string& path) {
  ASSIGN_OR_RETURN(KvmSystem system, KvmSystem::Open(path));
  ASSIGN_OR_RETURN(std::unique_ptr<KvmVm> vm, KvmVm::Create(system));
  return Result{std::move(system), std::move(vm)};
}

}  // namespace vmm
