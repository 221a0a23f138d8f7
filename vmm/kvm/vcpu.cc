#include "vmm/kvm/vcpu.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/status.h"
#include "vmm/kvm/vcpu_arch.h"

namespace vmm {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kCoalescedRingOffset = KVM_COALESCED_MMIO_PAGE_OFFSET * kPageBytes;
// KVM_COALESCED_MMIO_MAX. The header cannot define it without PAGE_SIZE.
constexpr uint32_t kCoalescedRingEntries =
    (kPageBytes - sizeof(kvm_coalesced_mmio_ring)) / sizeof(kvm_coalesced_mmio);

std::string PlaceName(uint32_t reason, uint64_t place) {
  switch (reason) {
    case KVM_EXIT_IO:
      return absl::StrFormat("io:%#x", place);
    case KVM_EXIT_MMIO:
      return absl::StrFormat("mmio:%#x", place << 12);
    default:
      return absl::StrCat("exit:", reason);
  }
}

}  // namespace

void ExitCounts::Add(uint32_t reason, uint64_t place) {
  const uint64_t key = (uint64_t{reason} + 1) << 56 | (place & ((1ULL << 56) - 1));
  const size_t start = (key * 0x9E37'79B9'7F4A'7C15ULL) >> 58;
  for (size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[(start + i) % entries_.size()];
    const uint64_t found = entry.key.load(std::memory_order_relaxed);
    if (found == 0) entry.key.store(key, std::memory_order_relaxed);
    if (found == 0 || found == key) {
      // Only this thread writes, so a plain add is enough and no locked one is needed.
      entry.count.store(entry.count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      return;
    }
  }
  other_.store(other_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

std::vector<std::pair<std::string, uint64_t>> ExitCounts::Read() const {
  std::vector<std::pair<std::string, uint64_t>> result;
  for (const Entry& entry : entries_) {
    const uint64_t key = entry.key.load(std::memory_order_relaxed);
    if (key == 0) continue;
    result.emplace_back(PlaceName(static_cast<uint32_t>(key >> 56) - 1, key & ((1ULL << 56) - 1)),
                        entry.count.load(std::memory_order_relaxed));
  }
  if (const uint64_t other = other_.load(std::memory_order_relaxed))
    result.emplace_back("other", other);
  return result;
}

std::string FatalExitReason(const kvm_run& run) {
  switch (run.exit_reason) {
    case KVM_EXIT_FAIL_ENTRY:
      return absl::StrFormat("KVM_EXIT_FAIL_ENTRY, hardware reason %#x",
                             run.fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_INTERNAL_ERROR:
      return absl::StrCat("KVM_EXIT_INTERNAL_ERROR, suberror ", run.internal.suberror,
                          run.internal.suberror == KVM_INTERNAL_ERROR_EMULATION
                              ? " (KVM cannot emulate an instruction)"
                              : "");
    default:
      return absl::StrCat("unexpected KVM exit reason ", run.exit_reason);
  }
}

std::string FatalRunError(int error) {
  return absl::StrCat("KVM_RUN failed: ", strerrorname_np(error),
                      error == EFAULT ? " (the host cannot give a page of guest RAM)" : "");
}

absl::StatusOr<std::unique_ptr<Vcpu>> Vcpu::Create(const KvmSystem& system, const KvmVm& vm,
                                                   uint32_t index) {
  base::UniqueFd fd(ioctl(vm.fd(), KVM_CREATE_VCPU, index));
  if (!fd.valid()) return base::ErrnoStatus(errno, absl::StrCat("KVM_CREATE_VCPU ", index));
  const size_t bytes = system.run_mapping_bytes();
  void* run = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (run == MAP_FAILED)
    return base::ErrnoStatus(errno, absl::StrCat("mapping kvm_run of vCPU ", index));
  return std::unique_ptr<Vcpu>(
      new Vcpu(vm, std::move(fd), index, static_cast<kvm_run*>(run), bytes));
}

Vcpu::Vcpu(const KvmVm& vm, base::UniqueFd fd, uint32_t index, kvm_run* run, size_t run_bytes)
    : vm_(vm),
      fd_(std::move(fd)),
      index_(index),
      run_(run),
      run_bytes_(run_bytes),
      coalesced_(reinterpret_cast<kvm_coalesced_mmio_ring*>(reinterpret_cast<uint8_t*>(run) +
                                                            kCoalescedRingOffset)) {}

Vcpu::~Vcpu() { munmap(run_, run_bytes_); }

Vcpu::RunResult Vcpu::Run(VcpuExits& exits, const base::GuestMemory& memory) {
  while (true) {
    if (ioctl(fd_.get(), KVM_RUN, 0) != 0) {
      const int error = errno;
      // EINTR: immediate_exit was set or the thread was signalled. KVM has completed the pending
      // access before it returns.
      if (error == EINTR) {
        DeliverCoalesced(exits);  // code that looks at the devices now must see every write
        return RunResult::kKicked;
      }
      if (error == EAGAIN) continue;
      ReportFatal(exits, memory, FatalRunError(error));
      return RunResult::kEnded;
    }
    DeliverCoalesced(exits);
    if (!HandleExit(exits, memory)) return RunResult::kEnded;
  }
}

// The ring belongs to the VM: it also holds writes of other vCPUs, and another vCPU may have
// delivered the writes of this one.
void Vcpu::DeliverCoalesced(VcpuExits& exits) {
  const std::atomic_ref<uint32_t> first(coalesced_->first);
  const std::atomic_ref<uint32_t> last(coalesced_->last);
  // ORDERING: pairs with the store of `first` after an entry has taken effect. If both indices are
  // equal, every write before this exit has taken effect.
  if (first.load(std::memory_order_acquire) == last.load(std::memory_order_acquire)) return;
  base::MutexLock lock(vm_.coalesced_mutex());
  uint32_t next = first.load(std::memory_order_relaxed);
  // Deliver only the entries that are there now: other vCPUs may add writes as fast as they are
  // delivered.
  // ORDERING: KVM stores `last` after the entry.
  const uint32_t end = last.load(std::memory_order_acquire);
  while (next != end) {
    const kvm_coalesced_mmio& write = coalesced_->coalesced_mmio[next];
    devices::Bus& bus = write.pio != 0 ? exits.pio() : exits.mmio();
    bus.Write(write.phys_addr, {write.data, write.len});
    next = (next + 1) % kCoalescedRingEntries;
    first.store(next, std::memory_order_release);
  }
}

bool Vcpu::HandleExit(VcpuExits& exits, const base::GuestMemory& memory) {
  switch (run_->exit_reason) {
    case KVM_EXIT_IO:
      HandlePio(exits);
      return true;
    case KVM_EXIT_MMIO:
      HandleMmio(exits);
      return true;
    case KVM_EXIT_IOAPIC_EOI:
      exit_counts_.Add(KVM_EXIT_IOAPIC_EOI, 0);
      exits.EndOfInterrupt(run_->eoi.vector);
      return true;
    case KVM_EXIT_INTR:
      return true;
    case KVM_EXIT_SHUTDOWN:
      exits.OnTripleFault(index_);
      return false;
    default:
      ReportFatal(exits, memory, FatalExitReason(*run_));
      return false;
  }
}

void Vcpu::HandlePio(VcpuExits& exits) {
  // `io` is in memory that is shared with the kernel, not with the guest. The data is behind
  // kvm_run.
  const auto io = run_->io;
  exit_counts_.Add(KVM_EXIT_IO, io.port);
  auto* data = reinterpret_cast<uint8_t*>(run_) + io.data_offset;
  for (uint32_t i = 0; i < io.count; ++i, data += io.size) {
    if (io.direction == KVM_EXIT_IO_IN) {
      exits.pio().Read(io.port, {data, io.size});
    } else {
      exits.pio().Write(io.port, {data, io.size});
    }
  }
}

void Vcpu::HandleMmio(VcpuExits& exits) {
  const uint64_t addr = run_->mmio.phys_addr;
  exit_counts_.Add(KVM_EXIT_MMIO, addr >> 12);
  const std::span<uint8_t> data(run_->mmio.data, run_->mmio.len);
  if (run_->mmio.is_write != 0) {
    exits.mmio().Write(addr, data);
  } else {
    exits.mmio().Read(addr, data);
  }
}

void Vcpu::ReportFatal(VcpuExits& exits, const base::GuestMemory& memory,
                       absl::string_view reason) {
  exits.OnFatalExit(
      index_, absl::StrCat("vCPU ", index_, ": ", reason, "\n", DescribeVcpu(fd_.get(), memory)));
}

}  // namespace vmm
