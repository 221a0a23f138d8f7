#include "devices/pci/pci_root.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/lazy_memory.h"
#include "base/limited_log.h"
#include "base/log.h"
#include "base/status.h"

namespace devices {
namespace {

// BARs of different functions never share a page: one of them may be backed by memory one day.
constexpr uint64_t kSmallestBarSpacing = 4096;

}  // namespace

absl::StatusOr<std::unique_ptr<PciRoot>> PciRoot::Create(Bus& mmio, Options options) {
  void* const pages = base::MapLazily(kEcamBytes);
  if (pages == nullptr) {
    return base::ErrnoStatus(errno, "pci: cannot allocate memory for configuration space");
  }
  return std::unique_ptr<PciRoot>(
      new PciRoot(mmio, std::move(options), static_cast<uint8_t*>(pages)));
}

PciRoot::PciRoot(Bus& mmio, Options options, uint8_t* pages)
    : mmio_(mmio),
      pages_(pages),
      window_32bit_(options.window_32bit),
      window_64bit_(options.window_64bit),
      allocator_32bit_(window_32bit_),
      allocator_64bit_(window_64bit_),
      disable_fast_reads_(std::move(options.disable_fast_reads)) {}

PciRoot::~PciRoot() { munmap(pages_, kEcamBytes); }

absl::Status PciRoot::Add(unsigned slot, const PciFunctionSpec& spec, PciHandler& handler) {
  CHECK(!Bus::InAccess());
  base::MutexLock slots_lock(slots_mutex_);
  base::MutexLock lock(mutex_);
  if (slot >= kSlots) {
    return absl::InvalidArgumentError(absl::StrCat(handler.name(), ": PCI slot ", slot,
                                                   " does not exist, use 0 to ", kSlots - 1));
  }
  if (functions_[slot] != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat(
        handler.name(), ": PCI slot ", slot, " is taken by ", functions_[slot]->handler().name()));
  }
  auto function = std::make_unique<PciFunction>(spec, handler);
  if (absl::Status status = AllocateBars(*function); !status.ok()) {
    FreeBars(*function);
    return status;
  }
  function->config().Show(Page(slot));
  functions_[slot] = std::move(function);
  return absl::OkStatus();
}

absl::Status PciRoot::AllocateBars(PciFunction& function) {
  for (PciFunction::Bar& bar : function.bars()) {
    if (bar.size() == 0) continue;
    BarAllocator& allocator = Allocator(bar.is_64bit_);
    const std::optional<uint64_t> address =
        allocator.Allocate(std::max(bar.size(), kSmallestBarSpacing));
    if (!address) {
      return absl::ResourceExhaustedError(absl::StrCat(
          bar.name(), ": no room for BAR ", bar.index_, " of ", bar.size(), " bytes in the ",
          &allocator == &allocator_64bit_ ? "64" : "32", "-bit PCI window"));
    }
    function.SetBarAddress(bar, *address);
  }
  return absl::OkStatus();
}

void PciRoot::FreeBars(PciFunction& function) {
  for (PciFunction::Bar& bar : function.bars()) {
    if (bar.allocated_) Allocator(bar.is_64bit_).Free(*bar.allocated_);
  }
}

void PciRoot::Remove(unsigned slot, const PciHandler& handler) {
  CHECK(!Bus::InAccess());
  base::MutexLock slots_lock(slots_mutex_);
  std::unique_ptr<PciFunction> function;
  {
    base::MutexLock lock(mutex_);
    if (slot >= kSlots || functions_[slot] == nullptr) return;
    if (&functions_[slot]->handler() != &handler) return;
    function = std::move(functions_[slot]);
    function->config().Hide();
    for (PciFunction::Bar& bar : function->bars()) Unmap(bar);
    FreeBars(*function);
    Redecode();  // another BAR may have waited for the place
  }
  // LIFETIME: a vCPU may be in one of the BARs, or in the handler by way of an access to the
  // configuration space: both began as accesses to the bus.
  mmio_.WaitForAccesses();
}

std::span<uint8_t> PciRoot::FastReads() {
  base::MutexLock lock(mutex_);
  unsigned used = kSlots;
  while (used > 0 && functions_[used - 1] == nullptr) --used;
  // Functions 1 to 7 of every slot stay untouched zero pages: the header of the slot says that the
  // slot has one function, so no guest looks there.
  for (unsigned slot = 0; slot < used; ++slot) {
    if (functions_[slot] == nullptr) ConfigSpace::Clear(Page(slot));
  }
  fast_bytes_ = used * kSlotBytes;
  return {pages_, fast_bytes_};
}

void PciRoot::DisableFastReads() {
  {
    base::MutexLock lock(mutex_);
    if (std::exchange(fast_reads_disabled_, true)) return;
  }
  if (disable_fast_reads_) disable_fast_reads_();
}

PciFunction* PciRoot::Find(uint64_t offset) {
  const bool first_function = offset % kSlotBytes < ConfigSpace::kSizeBytes;
  return first_function ? functions_[offset / kSlotBytes].get() : nullptr;
}

void PciRoot::Read(uint64_t offset, std::span<uint8_t> data) {
  while (!data.empty()) {
    const size_t bytes =
        std::min<size_t>(data.size(), ConfigSpace::kSizeBytes - offset % ConfigSpace::kSizeBytes);
    ReadFunction(offset, data.first(bytes));
    data = data.subspan(bytes);
    offset += bytes;
  }
}

void PciRoot::ReadFunction(uint64_t offset, std::span<uint8_t> data) {
  const uint32_t reg = offset % ConfigSpace::kSizeBytes;
  PciHandler* handler = nullptr;
  {
    base::MutexLock lock(mutex_);
    if (PciFunction* function = Find(offset)) handler = &function->handler();
  }
  // Without the lock: the handler reads its BAR here, and that may need the root again.
  if (handler != nullptr) handler->BeforeConfigRead(reg, data.size());

  base::MutexLock lock(mutex_);
  if (PciFunction* function = Find(offset)) {
    function->config().GuestRead(reg, data);
  } else if (offset < fast_bytes_) {
    // No code writes to the page of a function that is not there, so the page gives the same answer
    // as a read of the guest straight from memory.
    memcpy(data.data(), pages_ + offset, data.size());
  } else {
    std::fill(data.begin(), data.end(), uint8_t{0xff});
  }
}

void PciRoot::Write(uint64_t offset, std::span<const uint8_t> data) {
  while (!data.empty()) {
    const size_t bytes =
        std::min<size_t>(data.size(), ConfigSpace::kSizeBytes - offset % ConfigSpace::kSizeBytes);
    WriteFunction(offset, data.first(bytes));
    data = data.subspan(bytes);
    offset += bytes;
  }
}

void PciRoot::WriteFunction(uint64_t offset, std::span<const uint8_t> data) {
  const uint32_t reg = offset % ConfigSpace::kSizeBytes;
  PciHandler* handler = nullptr;
  {
    base::MutexLock lock(mutex_);
    PciFunction* function = Find(offset);
    if (function == nullptr) return;
    if (function->Write(reg, data)) Redecode();
    handler = &function->handler();
  }
  handler->AfterConfigWrite(reg, data.size());
}

std::optional<uint64_t> PciRoot::WantedAddress(const PciFunction& function,
                                               const PciFunction::Bar& bar) const {
  const std::optional<uint64_t> address = function.DecodedAddress(bar);
  if (!address) return std::nullopt;
  // GUEST: a BAR may be moved anywhere. RAM, the ECAM window and the interrupt controllers are not
  // in the windows: over them it decodes nothing.
  const bool in_window =
      window_32bit_.Contains(*address, bar.size()) || window_64bit_.Contains(*address, bar.size());
  return in_window ? address : std::nullopt;
}

void PciRoot::Redecode() {
  // A BAR that is switched off keeps its place on the bus until something else wants it: a guest
  // switches decoding off and on around sizing, and every change of a doorbell's address costs the
  // host a grace period. Not so memory, which would go on answering.
  for (const auto& function : functions_) {
    if (function == nullptr) continue;
    for (PciFunction::Bar& bar : function->bars()) {
      const std::optional<uint64_t> wanted = WantedAddress(*function, bar);
      const bool leave = wanted || bar.is_memory_;
      if (leave && bar.mapped_ && bar.mapped_ != wanted) Unmap(bar);
      bar.enabled_.store(wanted && bar.mapped_ == wanted, std::memory_order_relaxed);
    }
  }
  for (const auto& function : functions_) {
    if (function == nullptr) continue;
    for (PciFunction::Bar& bar : function->bars()) {
      const std::optional<uint64_t> wanted = WantedAddress(*function, bar);
      if (wanted && !bar.mapped_) Map(bar, *wanted);
    }
  }
}

void PciRoot::Map(PciFunction::Bar& bar, uint64_t address) {
  EvictUnused(address, bar.size());
  if (const absl::Status status = mmio_.Insert(address, bar.size(), bar); !status.ok()) {
    LOG_LIMITED(Warning, 10, bar.name())
        << bar.name() << ": BAR " << bar.index_ << " not mapped: " << status.message();
    return;
  }
  bar.mapped_ = address;
  bar.handler_->OnBarMoved(bar.index_, address);
  bar.enabled_.store(true, std::memory_order_relaxed);
}

void PciRoot::Unmap(PciFunction::Bar& bar) {
  bar.enabled_.store(false, std::memory_order_relaxed);
  if (!bar.mapped_) return;
  mmio_.Remove(*bar.mapped_, bar);
  bar.mapped_.reset();
  bar.handler_->OnBarMoved(bar.index_, std::nullopt);
}

void PciRoot::EvictUnused(uint64_t address, uint64_t size) {
  for (const auto& function : functions_) {
    if (function == nullptr) continue;
    for (PciFunction::Bar& bar : function->bars()) {
      const bool overlaps =
          bar.mapped_ && *bar.mapped_ < address + size && address < *bar.mapped_ + bar.size();
      if (overlaps && !bar.enabled_.load(std::memory_order_relaxed)) Unmap(bar);
    }
  }
}

uint32_t PciRoot::LoadConfig(unsigned slot, uint32_t offset) {
  base::MutexLock lock(mutex_);
  return functions_[slot] != nullptr ? functions_[slot]->config().Load32(offset) : ~0u;
}

void PciRoot::StoreConfig(unsigned slot, uint32_t offset, uint32_t value) {
  base::MutexLock lock(mutex_);
  if (functions_[slot] != nullptr) functions_[slot]->config().Store32(offset, value);
}

void PciRoot::SetInterruptStatus(unsigned slot, bool asserted) {
  base::MutexLock lock(mutex_);
  if (functions_[slot] != nullptr) functions_[slot]->SetInterruptStatus(asserted);
}

void PciRoot::Reset() {
  base::MutexLock lock(mutex_);
  for (const auto& function : functions_) {
    if (function != nullptr) function->Reset();
  }
  Redecode();
  fast_reads_disabled_ = false;
}

}  // namespace devices
