// One KVM virtual machine: memory slots, interrupt routes, doorbells, clock.
#ifndef VMM_KVM_KVM_VM_H_
#define VMM_KVM_KVM_VM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "devices/doorbell_mapper.h"
#include "devices/interrupt.h"
#include "devices/memory_mapper.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_uapi.h"

namespace vmm {

// The order of calls matters for speed: make all calls of AddMemory before
// CreateInterruptController, and both before any vCPU exists. A later change of a slot waits for an
// SRCU grace period (milliseconds).
//
// As MsiController, gives each source its own GSI, route and irqfd. Level-triggered IOAPIC pins
// have routes only so that KVM reports the end of their interrupts.
class KvmVm final : public devices::MsiController,
                    public devices::DoorbellMapper,
                    public devices::MemoryMapper,
                    public devices::LevelRoutes {
 public:
  static absl::StatusOr<std::unique_ptr<KvmVm>> Create(const KvmSystem& system);

  int fd() const { return fd_.get(); }

  // Maps host memory into the guest and returns the slot number. Addresses and sizes must be page
  // aligned.
  absl::StatusOr<uint32_t> AddMemory(uint64_t guest_start, uint64_t size_bytes, void* host,
                                     bool readonly);
  absl::Status RemoveMemory(uint32_t slot);

  // Makes KVM keep guest writes to [start, start + bytes) in a ring, which every vCPU empties, in
  // order, before it handles an exit. For registers whose writes have no effect of their own, such
  // as the index of an index and data pair. The range is of ports if `is_port`, otherwise of guest
  // addresses. Call it before there are vCPUs: afterwards each call waits for a grace period.
  absl::Status CoalesceWrites(uint64_t start, uint32_t bytes, bool is_port);
  // Returns the mutex that is held while the ring is emptied. All vCPUs share the ring.
  base::Mutex& coalesced_mutex() const { return coalesced_mutex_; }

  // Makes a split irqchip: local APICs in KVM, and `ioapic_pins` routes reserved for the IOAPIC in
  // user space. KVM uses the guest addresses `tss` and `identity_map` on Intel (4 pages from
  // identity_map on).
  absl::Status CreateInterruptController(uint32_t ioapic_pins, uint64_t identity_map, uint64_t tss);

  // devices::MsiController
  absl::StatusOr<std::unique_ptr<devices::MsiInterrupt>> CreateInterrupt() override;
  void Send(const devices::MsiMessage& message) override;

  // devices::DoorbellMapper
  absl::Status Map(uint64_t address, int event_fd) override;
  void Unmap(uint64_t address, int event_fd) override;

  // devices::MemoryMapper
  absl::Status MapReadOnly(uint64_t address, std::span<const uint8_t> host) override;
  void UnmapMemory(uint64_t address) override;

  // devices::LevelRoutes
  void SetLevelRoute(uint32_t pin, std::optional<devices::MsiMessage> message) override;

  // The guest's clock in nanoseconds (kvmclock). It is read at a pause and set at a resume, so that
  // it does not advance during the pause.
  absl::StatusOr<kvm_clock_data> GetClock() const;
  absl::Status SetClock(const kvm_clock_data& clock);

 private:
  class Msi;

  explicit KvmVm(base::UniqueFd fd) : fd_(std::move(fd)) {}
  absl::Status SetRoute(uint32_t gsi, std::optional<devices::MsiMessage> message);

  base::UniqueFd fd_;
  uint32_t ioapic_pins_ = 0;
  mutable base::Mutex coalesced_mutex_;
  base::Mutex mutex_;
  uint32_t next_slot_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<uint32_t> free_slots_ ABSL_GUARDED_BY(mutex_);           // all are below next_slot_
  std::map<uint64_t, uint32_t> mapped_slots_ ABSL_GUARDED_BY(mutex_);  // the slots of MapReadOnly
  std::vector<std::optional<devices::MsiMessage>> routes_ ABSL_GUARDED_BY(mutex_);  // by GSI
  std::vector<bool> gsi_used_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmm

#endif  // VMM_KVM_KVM_VM_H_
