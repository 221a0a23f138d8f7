// One vCPU: its KVM descriptor, its exits and their counts.
#ifndef VMM_KVM_VCPU_H_
#define VMM_KVM_VCPU_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/guest_memory.h"
#include "base/unique_fd.h"
#include "devices/bus.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_uapi.h"
#include "vmm/kvm/kvm_vm.h"

namespace vmm {

// Handles a vCPU's exits. All functions run on vCPU threads, several at once.
class VcpuExits {
 public:
  virtual ~VcpuExits() = default;
  virtual devices::Bus& pio() = 0;
  virtual devices::Bus& mmio() = 0;
  // A local APIC has acknowledged a level-triggered interrupt with `vector`.
  virtual void EndOfInterrupt(uint8_t vector) = 0;
  // The guest had a triple fault, which is a guest reset.
  virtual void OnTripleFault(uint32_t vcpu_index) = 0;
  // KVM cannot continue this guest. `report` has the reason, the registers and the bytes at RIP.
  virtual void OnFatalExit(uint32_t vcpu_index, const std::string& report) = 0;
};

// Counts exits to user space by reason and place (port, or MMIO page). Only the vCPU thread writes.
class ExitCounts {
 public:
  struct Entry {
    std::atomic<uint64_t> key{0};  // reason + 1 in the top byte, place below; 0: free
    std::atomic<uint64_t> count{0};
  };
  void Add(uint32_t reason, uint64_t place);
  // Returns the counts with names such as "io:0x3f8". Any thread.
  std::vector<std::pair<std::string, uint64_t>> Read() const;

 private:
  // GUEST: a guest may touch any port. Exits that find no free entry are counted as "other".
  std::array<Entry, 64> entries_;
  std::atomic<uint64_t> other_{0};
};

// Return why KVM cannot continue: from the exit in `run`, or from the errno of KVM_RUN.
std::string FatalExitReason(const kvm_run& run);
std::string FatalRunError(int error);

class Vcpu {
 public:
  static absl::StatusOr<std::unique_ptr<Vcpu>> Create(const KvmSystem& system, const KvmVm& vm,
                                                      uint32_t index);
  ~Vcpu();

  int fd() const { return fd_.get(); }
  uint32_t index() const { return index_; }

  // Runs guest code until the vCPU is kicked or the guest has ended (reported through `exits`). The
  // vCPU's thread.
  enum class RunResult { kKicked, kEnded };
  RunResult Run(VcpuExits& exits, const base::GuestMemory& memory);

  // Makes the current or the next Run return kKicked. Any thread. The caller must also signal the
  // vCPU's thread.
  void RequestExit() { ImmediateExit().store(1, std::memory_order_seq_cst); }
  // Takes the request back. The vCPU's thread.
  void ClearExitRequest() { ImmediateExit().store(0, std::memory_order_seq_cst); }

  const ExitCounts& exit_counts() const { return exit_counts_; }

 private:
  Vcpu(const KvmVm& vm, base::UniqueFd fd, uint32_t index, kvm_run* run, size_t run_bytes);
  std::atomic_ref<uint8_t> ImmediateExit() {
    return std::atomic_ref<uint8_t>(run_->immediate_exit);
  }
  void DeliverCoalesced(VcpuExits& exits);
  bool HandleExit(VcpuExits& exits, const base::GuestMemory& memory);
  void HandlePio(VcpuExits& exits);
  void HandleMmio(VcpuExits& exits);
  void ReportFatal(VcpuExits& exits, const base::GuestMemory& memory, absl::string_view reason);

  const KvmVm& vm_;
  base::UniqueFd fd_;
  const uint32_t index_;
  kvm_run* const run_;
  const size_t run_bytes_;
  kvm_coalesced_mmio_ring* const coalesced_;  // a page of the mapping of `run_`
  ExitCounts exit_counts_;
};

}  // namespace vmm

#endif  // VMM_KVM_VCPU_H_
