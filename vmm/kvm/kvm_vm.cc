#include "vmm/kvm/kvm_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/status.h"

namespace vmm {
namespace {

constexpr uint32_t kMaxGsi = 4096;  // KVM_MAX_IRQ_ROUTES

kvm_ioeventfd MakeDoorbell(uint64_t address, int event_fd, uint32_t flags) {
  kvm_ioeventfd doorbell = {};
  doorbell.addr = address;
  doorbell.len = 0;  // any size and any data: the value that is written does not matter
  doorbell.fd = event_fd;
  doorbell.flags = flags;
  return doorbell;
}

}  // namespace

// One MSI source. A write to its eventfd makes KVM deliver the routed message without user space.
class KvmVm::Msi final : public devices::MsiInterrupt {
 public:
  Msi(KvmVm& vm, uint32_t gsi, base::UniqueFd event_fd)
      : vm_(vm), gsi_(gsi), event_fd_(std::move(event_fd)) {}

  ~Msi() override {
    Disconnect();
    base::MutexLock lock(vm_.mutex_);
    vm_.routes_[gsi_].reset();
    vm_.gsi_used_[gsi_] = false;
  }

  absl::Status SetMessage(const devices::MsiMessage& message) override {
    if (message_ != message) {
      RETURN_IF_ERROR(vm_.SetRoute(gsi_, message));
      message_ = message;
    }
    if (connected_) return absl::OkStatus();
    // KVM checks at once whether the eventfd was signalled while it was not connected.
    kvm_irqfd irqfd = Connection(/*flags=*/0);
    if (ioctl(vm_.fd(), KVM_IRQFD, &irqfd) != 0) return base::ErrnoStatus(errno, "KVM_IRQFD");
    connected_ = true;
    return absl::OkStatus();
  }

  void Trigger() override {
    const uint64_t one = 1;
    // Fails only if the counter is full. An interrupt is pending then, so nothing is lost.
    [[maybe_unused]] const ssize_t ignored = write(event_fd_.get(), &one, sizeof(one));
  }

  int event_fd() const override { return event_fd_.get(); }

  void Disconnect() override {
    if (!std::exchange(connected_, false)) return;
    kvm_irqfd irqfd = Connection(KVM_IRQFD_FLAG_DEASSIGN);
    ioctl(vm_.fd(), KVM_IRQFD, &irqfd);
  }

 private:
  kvm_irqfd Connection(uint32_t flags) const {
    kvm_irqfd irqfd = {};
    irqfd.fd = static_cast<uint32_t>(event_fd_.get());
    irqfd.gsi = gsi_;
    irqfd.flags = flags;
    return irqfd;
  }

  KvmVm& vm_;
  const uint32_t gsi_;
  base::UniqueFd event_fd_;
  bool connected_ = false;
  std::optional<devices::MsiMessage> message_;
};

absl::StatusOr<std::unique_ptr<KvmVm>> KvmVm::Create(const KvmSystem& system) {
  int fd;
  do {
    fd = ioctl(system.fd(), KVM_CREATE_VM, 0);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return base::ErrnoStatus(errno, "KVM_CREATE_VM");
  return std::unique_ptr<KvmVm>(new KvmVm(base::UniqueFd(fd)));
}

absl::StatusOr<uint32_t> KvmVm::AddMemory(uint64_t guest_start, uint64_t size_bytes, void* host,
                                          bool readonly) {
  base::MutexLock lock(mutex_);
  kvm_userspace_memory_region region = {};
  region.slot = free_slots_.empty() ? next_slot_ : free_slots_.back();
  region.flags = readonly ? KVM_MEM_READONLY : 0;
  region.guest_phys_addr = guest_start;
  region.memory_size = size_bytes;
  region.userspace_addr = reinterpret_cast<uint64_t>(host);
  if (ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
    return base::ErrnoStatus(
        errno, absl::StrFormat("KVM_SET_USER_MEMORY_REGION [%#x, +%#x)", guest_start, size_bytes));
  }
  if (free_slots_.empty()) {
    ++next_slot_;
  } else {
    free_slots_.pop_back();
  }
  return region.slot;
}

absl::Status KvmVm::RemoveMemory(uint32_t slot) {
  kvm_userspace_memory_region region = {};
  region.slot = slot;
  if (ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("KVM_SET_USER_MEMORY_REGION: remove slot ", slot));
  }
  base::MutexLock lock(mutex_);
  free_slots_.push_back(slot);
  return absl::OkStatus();
}

absl::Status KvmVm::CoalesceWrites(uint64_t start, uint32_t bytes, bool is_port) {
  kvm_coalesced_mmio_zone zone = {};
  zone.addr = start;
  zone.size = bytes;
  zone.pio = is_port ? 1 : 0;
  if (ioctl(fd_.get(), KVM_REGISTER_COALESCED_MMIO, &zone) != 0) {
    return base::ErrnoStatus(errno, absl::StrFormat("KVM_REGISTER_COALESCED_MMIO %#x", start));
  }
  return absl::OkStatus();
}

absl::Status KvmVm::CreateInterruptController(uint32_t ioapic_pins, uint64_t identity_map,
                                              uint64_t tss) {
  // Intel hosts without unrestricted guest mode need both calls; other hosts accept and ignore
  // them.
  if (ioctl(fd_.get(), KVM_SET_IDENTITY_MAP_ADDR, &identity_map) != 0) {
    return base::ErrnoStatus(errno, "KVM_SET_IDENTITY_MAP_ADDR");
  }
  if (ioctl(fd_.get(), KVM_SET_TSS_ADDR, tss) != 0) {
    return base::ErrnoStatus(errno, "KVM_SET_TSS_ADDR");
  }
  kvm_enable_cap split = {};
  split.cap = KVM_CAP_SPLIT_IRQCHIP;
  split.args[0] = ioapic_pins;
  if (ioctl(fd_.get(), KVM_ENABLE_CAP, &split) != 0) {
    return base::ErrnoStatus(errno, "KVM_CAP_SPLIT_IRQCHIP");
  }
  // MSI messages and local APIC state get 32-bit APIC ids, for more than 254 vCPUs.
  kvm_enable_cap x2apic = {};
  x2apic.cap = KVM_CAP_X2APIC_API;
  x2apic.args[0] = KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
  if (ioctl(fd_.get(), KVM_ENABLE_CAP, &x2apic) != 0) {
    return base::ErrnoStatus(errno, "KVM_CAP_X2APIC_API");
  }
  base::MutexLock lock(mutex_);
  ioapic_pins_ = ioapic_pins;
  routes_.assign(ioapic_pins, std::nullopt);
  gsi_used_.assign(ioapic_pins, true);
  return absl::OkStatus();
}

absl::Status KvmVm::SetRoute(uint32_t gsi, std::optional<devices::MsiMessage> message) {
  base::MutexLock lock(mutex_);
  if (routes_[gsi] == message) return absl::OkStatus();
  const auto previous = routes_[gsi];
  routes_[gsi] = message;
  const size_t bytes = sizeof(kvm_irq_routing) + routes_.size() * sizeof(kvm_irq_routing_entry);
  const std::unique_ptr<void, decltype(&free)> buffer(calloc(1, bytes), &free);
  auto* table = static_cast<kvm_irq_routing*>(buffer.get());
  for (uint32_t i = 0; i < routes_.size(); ++i) {
    if (!routes_[i].has_value()) continue;
    kvm_irq_routing_entry& entry = table->entries[table->nr++];
    entry.gsi = i;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<uint32_t>(routes_[i]->address);
    entry.u.msi.address_hi = static_cast<uint32_t>(routes_[i]->address >> 32);
    entry.u.msi.data = routes_[i]->data;
  }
  if (ioctl(fd_.get(), KVM_SET_GSI_ROUTING, table) != 0) {
    const int error = errno;
    routes_[gsi] = previous;
    return base::ErrnoStatus(error, "KVM_SET_GSI_ROUTING");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<devices::MsiInterrupt>> KvmVm::CreateInterrupt() {
  base::UniqueFd event_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_fd.valid()) return base::ErrnoStatus(errno, "eventfd for an interrupt");
  base::MutexLock lock(mutex_);
  uint32_t gsi = ioapic_pins_;
  while (gsi < gsi_used_.size() && gsi_used_[gsi]) ++gsi;
  if (gsi >= kMaxGsi) return absl::ResourceExhaustedError("no interrupt route is left");
  if (gsi == gsi_used_.size()) {
    gsi_used_.push_back(false);
    routes_.push_back(std::nullopt);
  }
  gsi_used_[gsi] = true;
  return std::make_unique<Msi>(*this, gsi, std::move(event_fd));
}

void KvmVm::Send(const devices::MsiMessage& message) {
  kvm_msi msi = {};
  msi.address_lo = static_cast<uint32_t>(message.address);
  msi.address_hi = static_cast<uint32_t>(message.address >> 32);
  msi.data = message.data;
  // GUEST: a message to an APIC that does not exist is dropped, as on hardware.
  ioctl(fd_.get(), KVM_SIGNAL_MSI, &msi);
}

absl::Status KvmVm::Map(uint64_t address, int event_fd) {
  const kvm_ioeventfd doorbell = MakeDoorbell(address, event_fd, 0);
  if (ioctl(fd_.get(), KVM_IOEVENTFD, &doorbell) != 0) {
    return base::ErrnoStatus(errno, absl::StrFormat("KVM_IOEVENTFD at %#x", address));
  }
  return absl::OkStatus();
}

void KvmVm::Unmap(uint64_t address, int event_fd) {
  const kvm_ioeventfd doorbell = MakeDoorbell(address, event_fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
  ioctl(fd_.get(), KVM_IOEVENTFD, &doorbell);
}

absl::Status KvmVm::MapReadOnly(uint64_t address, std::span<const uint8_t> host) {
  // KVM takes a pointer to mutable memory but never writes to a read-only slot.
  ASSIGN_OR_RETURN(const uint32_t slot,
                   AddMemory(address, host.size(), const_cast<uint8_t*>(host.data()),
                             /*readonly=*/true));
  base::MutexLock lock(mutex_);
  mapped_slots_[address] = slot;
  return absl::OkStatus();
}

void KvmVm::UnmapMemory(uint64_t address) {
  uint32_t slot;
  {
    base::MutexLock lock(mutex_);
    const auto found = mapped_slots_.find(address);
    if (found == mapped_slots_.end()) return;
    slot = found->second;
    mapped_slots_.erase(found);
  }
  if (const absl::Status status = RemoveMemory(slot); !status.ok()) {
    LOG_EVERY_N_SEC(Warning, 10) << status.message();
  }
}

void KvmVm::SetLevelRoute(uint32_t pin, std::optional<devices::MsiMessage> message) {
  if (const absl::Status status = SetRoute(pin, message); !status.ok()) {
    LOG_EVERY_N_SEC(Warning, 10) << "ioapic: pin " << pin << ": " << status.message();
  }
}

absl::StatusOr<kvm_clock_data> KvmVm::GetClock() const {
  kvm_clock_data clock = {};
  if (ioctl(fd_.get(), KVM_GET_CLOCK, &clock) != 0)
    return base::ErrnoStatus(errno, "KVM_GET_CLOCK");
  return clock;
}

absl::Status KvmVm::SetClock(const kvm_clock_data& clock) {
  // With flags, KVM would add the time that has passed since the clock was read. The guest's clock
  // must not advance during a pause.
  kvm_clock_data plain = {};
  plain.clock = clock.clock;
  if (ioctl(fd_.get(), KVM_SET_CLOCK, &plain) != 0)
    return base::ErrnoStatus(errno, "KVM_SET_CLOCK");
  return absl::OkStatus();
}

}  // namespace vmm
