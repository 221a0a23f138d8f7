// Opens /dev/kvm and checks that it can do what the machine needs.
#ifndef VMM_KVM_KVM_SYSTEM_H_
#define VMM_KVM_KVM_SYSTEM_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "vmm/kvm/kvm_uapi.h"

namespace vmm {

// Returns OK if KVM has everything that the machine uses unconditionally. Otherwise returns one
// line that names what is missing. `check_extension` answers like ioctl KVM_CHECK_EXTENSION: a
// positive number if the capability exists.
absl::Status CheckRequiredCapabilities(absl::FunctionRef<int(int capability)> check_extension);

class KvmSystem {
 public:
  // Opens `path` and checks API version and capabilities. Each possible problem has its own
  // message: no device, no permission (and how to get it), module absent, old API, capability
  // absent.
  static absl::StatusOr<KvmSystem> Open(absl::string_view path = "/dev/kvm");

  int fd() const { return fd_.get(); }
  // Returns the size of a vCPU's shared kvm_run mapping.
  size_t run_mapping_bytes() const { return run_mapping_bytes_; }
  // Returns the CPUID entries that KVM can give a guest (KVM_GET_SUPPORTED_CPUID).
  const std::vector<kvm_cpuid_entry2>& supported_cpuid() const { return supported_cpuid_; }
  // Returns the width of guest physical addresses in bits (MAXPHYADDR).
  uint32_t phys_bits() const;
  // Returns the upper limit of the number of vCPUs and of vCPU ids.
  uint32_t max_vcpus() const { return max_vcpus_; }
  // Returns true if reads of a memory slot can be served without exits while writes exit.
  bool has_readonly_memory() const { return has_readonly_memory_; }
  bool has_tsc_deadline_timer() const { return has_tsc_deadline_timer_; }

 private:
  explicit KvmSystem(base::UniqueFd fd) : fd_(std::move(fd)) {}
  absl::Status CheckCapabilities();

  base::UniqueFd fd_;
  size_t run_mapping_bytes_ = 0;
  uint32_t max_vcpus_ = 0;
  bool has_readonly_memory_ = false;
  bool has_tsc_deadline_timer_ = false;
  std::vector<kvm_cpuid_entry2> supported_cpuid_;
};

}  // namespace vmm

#endif  // VMM_KVM_KVM_SYSTEM_H_
