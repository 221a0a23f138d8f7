#include "vmm/machine/machine.h"

#include <map>
#include <memory>
#include <span>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "vmm/kvm/vcpu_arch.h"
#include "vmm/machine/guest_loader.h"

namespace vmm {

absl::StatusOr<std::unique_ptr<Machine>> Machine::Create(const VmConfig& config,
                                                         const KvmSystem& kvm,
                                                         std::unique_ptr<KvmVm> vm,
                                                         HostResources& host,
                                                         MachineEvents& events) {
  auto machine = std::unique_ptr<Machine>(new Machine(host, events));
  machine->vm_ = std::move(vm);
  // All memory slots come before the interrupt controller and the vCPUs: see KvmVm.
  RETURN_IF_ERROR(machine->AddMemory(kvm));
  RETURN_IF_ERROR(machine->CreatePci(config));
  Machine* self = machine.get();
  ASSIGN_OR_RETURN(
      machine->platform_,
      Platform::Create(machine->pio_, machine->mmio_, *machine->vm_, host.consoles().serial(),
                       host.console_loop(),
                       {.power_off = [self] { self->GuestEnded(GuestEnd::kPowerOff, ""); },
                        .reset = [self] { self->GuestEnded(GuestEnd::kReset, ""); }}));
  RETURN_IF_ERROR(machine->CreateVcpus(kvm, config));
  RETURN_IF_ERROR(LoadGuest(config, host.payload(), host.credentials(), host.layout(),
                            host.memory(), *machine->vcpus_->vcpus()[0]));
  return machine;
}

Machine::~Machine() = default;

absl::Status Machine::AddMemory(const KvmSystem& kvm) {
  for (const auto& region : host_.memory().regions()) {
    RETURN_IF_ERROR(
        vm_->AddMemory(region.guest_start, region.size_bytes, region.host, /*readonly=*/false)
            .status());
  }
  devices::PciRoot::Options options;
  const GuestLayout& layout = host_.layout();
  options.window_32bit = {layout.pci_mmio32.start, layout.pci_mmio32.size};
  options.window_64bit = {layout.pci_mmio64.start, layout.pci_mmio64.size};
  has_fast_reads_ = kvm.has_readonly_memory();
  if (has_fast_reads_) {
    options.disable_fast_reads = [this] {
      if (const absl::Status status = vm_->RemoveMemory(ecam_slot_); !status.ok()) {
        LOG_EVERY_N_SEC(Warning, 10) << "pci: " << status.message();
      }
    };
  }
  ASSIGN_OR_RETURN(pci_, devices::PciRoot::Create(mmio_, std::move(options)));
  return mmio_.Insert(layout.pci_ecam.start, devices::PciRoot::kEcamBytes, *pci_);
}

absl::Status Machine::CreatePci(const VmConfig& config) {
  RETURN_IF_ERROR(host_bridge_.AddTo(*pci_));
  if (config.pvpanic) {
    ASSIGN_OR_RETURN(pvpanic_,
                     devices::Pvpanic::Create(*pci_, config.pvpanic_pci_slot,
                                              [this](uint8_t event) { GuestPanicked(event); }));
  }
  for (const PlacedDevice& placed : host_.devices().all()) {
    virtio::PciTransport::Options options;
    options.features_mask = placed.features_mask;
    options.memory_mapper = vm_.get();
    ASSIGN_OR_RETURN(std::unique_ptr<virtio::PciTransport> transport,
                     virtio::PciTransport::Create(*placed.device, *placed.doorbells, host_.memory(),
                                                  *pci_, placed.pci_slot, *vm_, *vm_, options));
    transports_.push_back(std::move(transport));
  }
  if (!has_fast_reads_) return absl::OkStatus();
  const std::span<uint8_t> ecam = pci_->FastReads();
  ASSIGN_OR_RETURN(ecam_slot_, vm_->AddMemory(host_.layout().pci_ecam.start, ecam.size(),
                                              ecam.data(), /*readonly=*/true));
  return absl::OkStatus();
}

absl::Status Machine::CreateVcpus(const KvmSystem& kvm, const VmConfig& config) {
  const uint32_t count = config.cpus.boot_vcpus;
  if (count > kvm.max_vcpus()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cpus.boot_vcpus: ", count, ": this host's KVM allows at most ", kvm.max_vcpus()));
  }
  ASSIGN_OR_RETURN(auto vcpus, vmm::CreateVcpus(kvm, *vm_,
                                                {.count = count,
                                                 .nested = config.cpus.nested,
                                                 .max_phys_bits = config.cpus.max_phys_bits}));
  vcpus_ = std::make_unique<VcpuGroup>(std::move(vcpus), *this, host_.memory());
  return absl::OkStatus();
}

absl::Status Machine::Start() { return vcpus_->Start(/*paused=*/false); }

void Machine::GuestEnded(GuestEnd end, std::string detail) {
  // Only the first end counts: another vCPU may ask for a reset while this vCPU powers off.
  if (guest_ended_.exchange(true)) return;
  vcpus_->Halt();
  events_.OnGuestEnd(end, std::move(detail));
}

void Machine::GuestPanicked(uint8_t event) {
  // GUEST: the guest may report events again and again; each kind of event counts once.
  if ((event & ~panic_events_.fetch_or(event)) != 0) events_.OnGuestPanic(event);
}

void Machine::OnTripleFault(uint32_t vcpu_index) {
  LOG_EVERY_N_SEC(Debug, 10) << "triple fault on vCPU " << vcpu_index;
  GuestEnded(GuestEnd::kTripleFault, "");
}

void Machine::OnFatalExit(uint32_t /*vcpu_index*/, const std::string& report) {
  GuestEnded(GuestEnd::kFatal, report);
}

// Waits until no device has I/O in flight, or until the deadline. Runs on the control loop. Stays
// alive until the timer has completed and the last device has answered, which may be long after the
// deadline.
struct Machine::Quiesce final : base::Operation {
  Quiesce(Machine& m, base::EventLoop& c, absl::AnyInvocable<void(absl::Status)> d)
      : machine(m), control(c), done(std::move(d)) {}

  void OnComplete(int32_t /*result*/) override {
    if (done != nullptr) {
      machine.Resume();
      std::exchange(done, nullptr)(absl::DeadlineExceededError(
          absl::StrCat(machine.busy_.Names(), ": still has I/O in flight; the VM runs on")));
    }
    timer_self.reset();
  }

  void OnQuiet() {
    if (done == nullptr) return;
    control.Cancel(*this);
    std::exchange(done, nullptr)(absl::OkStatus());
  }

  Machine& machine;
  base::EventLoop& control;
  absl::AnyInvocable<void(absl::Status)> done;
  std::shared_ptr<Quiesce> timer_self;
};

void Machine::Pause(base::EventLoop& control, std::chrono::nanoseconds deadline,
                    absl::AnyInvocable<void(absl::Status)> done) {
  auto quiesce = std::make_shared<Quiesce>(*this, control, std::move(done));
  vcpus_->Pause([this, quiesce, deadline] {
    quiesce->control.Post([this, quiesce, deadline] { PauseDevices(quiesce, deadline); });
  });
}

void Machine::PauseDevices(const std::shared_ptr<Quiesce>& quiesce,
                           std::chrono::nanoseconds deadline) {
  paused_ticks_ = HostTicks();
  if (auto clock = vm_->GetClock(); clock.ok()) {
    paused_clock_ = *clock;
  } else {
    // UNLIMITED: only a client or a signal causes this line.
    LOG(Warning) << "pause: guest time will advance: " << clock.status().message();
  }
  quiesce->timer_self = quiesce;
  quiesce->control.Timeout(*quiesce, deadline);
  busy_ = DevicesAtWork(quiesce->control, host_.devices().ids(), [quiesce] { quiesce->OnQuiet(); });
  host_.devices().Pause(busy_);
}

void Machine::Resume() {
  const absl::Status status = TurnTimeBack();
  // UNLIMITED: only a client or a signal causes this line.
  if (!status.ok()) LOG(Warning) << "resume: guest time jumps: " << status.message();
  host_.devices().Resume();
  vcpus_->Resume();
}

// Sets kvmclock and the TSC back to the time when the vCPUs stopped. Both are needed: a guest that
// finds the TSC invariant uses the TSC and not kvmclock.
absl::Status Machine::TurnTimeBack() {
  const uint64_t ticks = HostTicks() - paused_ticks_;
  for (const auto& vcpu : vcpus_->vcpus()) {
    RETURN_IF_ERROR(TurnTicksBack(vcpu->fd(), ticks));
  }
  return paused_clock_.clock != 0 ? vm_->SetClock(paused_clock_) : absl::OkStatus();
}

void Machine::Stop(base::EventLoop& control, absl::AnyInvocable<void()> done) {
  vcpus_->StopAndJoin();
  // A device that stays paused would never finish its requests.
  host_.devices().Resume();
  busy_ = DevicesAtWork(control, host_.devices().ids(), std::move(done));
  for (const auto& transport : transports_) transport->Reset(busy_.Finisher(transport->name()));
}

std::vector<std::pair<std::string, uint64_t>> Machine::ExitCounts() const {
  std::map<std::string, uint64_t> sums;
  for (const auto& vcpu : vcpus_->vcpus()) {
    for (const auto& [place, count] : vcpu->exit_counts().Read()) sums[place] += count;
  }
  return {sums.begin(), sums.end()};
}

}  // namespace vmm
