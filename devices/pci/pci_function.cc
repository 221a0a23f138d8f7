#include "devices/pci/pci_function.h"

#include <linux/pci_regs.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/log.h"

namespace devices {
namespace {

constexpr uint32_t kFirstCapability = 0x40;
constexpr uint32_t kBarRegisters = PCI_BASE_ADDRESS_0;
constexpr uint32_t kBarRegistersEnd = PCI_BASE_ADDRESS_5 + 4;

constexpr uint32_t kAddressMask = static_cast<uint32_t>(PCI_BASE_ADDRESS_MEM_MASK);

constexpr bool Overlaps(uint32_t offset, size_t size, uint32_t start, uint32_t end) {
  return offset < end && offset + size > start;
}

void AppendLe32(std::vector<uint8_t>& bytes, uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

}  // namespace

uint8_t PciFunctionSpec::AddCapability(std::vector<uint8_t> bytes, std::vector<uint8_t> writable) {
  uint32_t offset = kFirstCapability;
  if (!capabilities.empty()) {
    const Capability& last = capabilities.back();
    offset = (last.offset + static_cast<uint32_t>(last.bytes.size()) + 3) & ~3u;
  }
  CHECK(bytes.size() >= 2 && offset + bytes.size() <= ConfigSpace::kConventionalBytes);
  CHECK(writable.empty() || writable.size() == bytes.size());
  capabilities.push_back({static_cast<uint8_t>(offset), std::move(bytes), std::move(writable)});
  return static_cast<uint8_t>(offset);
}

void PciFunctionSpec::AddMsix(MsixTable& table, unsigned bar, uint32_t table_offset,
                              uint32_t pba_offset) {
  CHECK(msix == nullptr && bar < kPciBars && table_offset % 8 == 0 && pba_offset % 8 == 0);
  const uint16_t control = static_cast<uint16_t>(table.vectors() - 1);  // enable and mask are off
  std::vector<uint8_t> bytes = {PCI_CAP_ID_MSIX, 0, static_cast<uint8_t>(control),
                                static_cast<uint8_t>(control >> 8)};
  AppendLe32(bytes, table_offset | bar);
  AppendLe32(bytes, pba_offset | bar);
  std::vector<uint8_t> writable(bytes.size(), 0);
  writable[PCI_MSIX_FLAGS + 1] = (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
  msix_offset = AddCapability(std::move(bytes), std::move(writable));
  msix = &table;
}

void PciFunction::Bar::Read(uint64_t offset, std::span<uint8_t> data) {
  if (!enabled_.load(std::memory_order_relaxed)) {
    std::fill(data.begin(), data.end(), uint8_t{0xff});
    return;
  }
  handler_->ReadBar(index_, offset, data);
}

void PciFunction::Bar::Write(uint64_t offset, std::span<const uint8_t> data) {
  if (enabled_.load(std::memory_order_relaxed)) handler_->WriteBar(index_, offset, data);
}

PciFunction::PciFunction(const PciFunctionSpec& spec, PciHandler& handler)
    : handler_(handler),
      msix_(spec.msix),
      msix_control_(spec.msix != nullptr ? spec.msix_offset + uint32_t{PCI_MSIX_FLAGS} : 0) {
  config_.Store16(PCI_VENDOR_ID, spec.vendor_id);
  config_.Store16(PCI_DEVICE_ID, spec.device_id);
  config_.Store32(PCI_CLASS_REVISION, spec.class_code << 8 | spec.revision);
  config_.Store16(PCI_SUBSYSTEM_VENDOR_ID, spec.subsystem_vendor_id);
  config_.Store16(PCI_SUBSYSTEM_ID, spec.subsystem_id);
  config_.AllowWrites(PCI_COMMAND,
                      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
  // Both are scratch registers to us; firmware and operating systems keep notes in them.
  config_.AllowWrites(PCI_CACHE_LINE_SIZE, 0xff);
  config_.AllowWrites(PCI_INTERRUPT_LINE, 0xff);

  for (unsigned i = 0; i < kPciBars; ++i) {
    const PciFunctionSpec::Bar& from = spec.bars[i];
    Bar& bar = bars_[i];
    bar.handler_ = &handler;
    bar.index_ = i;
    bar.size_ = from.size;
    bar.is_64bit_ = from.is_64bit;
    bar.is_memory_ = from.is_memory;
    if (from.size == 0) continue;
    CHECK(std::has_single_bit(from.size) && from.size >= 16);
    CHECK(from.is_64bit ? i + 1 < kPciBars && spec.bars[i + 1].size == 0
                        : from.size <= uint64_t{1} << 31);
    // Writable address bits above the size are the whole sizing protocol: all ones written read
    // back as the size. [PCI 3.0 §6.2.5.1]
    const uint64_t mask = ~(from.size - 1);
    const uint32_t reg = kBarRegisters + i * 4;
    config_.Store32(reg, (from.is_64bit ? uint32_t{PCI_BASE_ADDRESS_MEM_TYPE_64} : 0u) |
                             (from.prefetchable ? uint32_t{PCI_BASE_ADDRESS_MEM_PREFETCH} : 0u));
    config_.AllowWrites(reg, static_cast<uint32_t>(mask));
    if (from.is_64bit) config_.AllowWrites(reg + 4, static_cast<uint32_t>(mask >> 32));
  }

  uint32_t link = PCI_CAPABILITY_LIST;
  for (const PciFunctionSpec::Capability& capability : spec.capabilities) {
    config_.Store8(link, capability.offset);
    for (size_t i = 0; i < capability.bytes.size(); ++i) {
      const uint32_t offset = capability.offset + static_cast<uint32_t>(i);
      config_.Store8(offset, capability.bytes[i]);
      if (!capability.writable.empty()) {
        config_.AllowWrites(offset, uint32_t{capability.writable[i]} << (offset % 4 * 8));
      }
    }
    link = capability.offset + uint32_t{PCI_CAP_LIST_NEXT};
    config_.Store8(link, 0);
    config_.Store16(PCI_STATUS, PCI_STATUS_CAP_LIST);
  }
}

void PciFunction::SetBarAddress(Bar& bar, uint64_t address) {
  bar.allocated_ = address;
  const uint32_t reg = kBarRegisters + bar.index_ * 4;
  const uint32_t type = config_.Load32(reg) & ~kAddressMask;
  config_.Store32(reg, static_cast<uint32_t>(address) | type);
  if (bar.is_64bit_) config_.Store32(reg + 4, static_cast<uint32_t>(address >> 32));
}

std::optional<uint64_t> PciFunction::DecodedAddress(const Bar& bar) const {
  if (bar.size_ == 0 || (config_.Load16(PCI_COMMAND) & PCI_COMMAND_MEMORY) == 0) {
    return std::nullopt;
  }
  const uint32_t reg = kBarRegisters + bar.index_ * 4;
  uint64_t address = config_.Load32(reg) & kAddressMask;
  if (bar.is_64bit_) address |= uint64_t{config_.Load32(reg + 4)} << 32;
  return address;
}

bool PciFunction::Write(uint32_t offset, std::span<const uint8_t> data) {
  config_.GuestWrite(offset, data);
  if (msix_ != nullptr && Overlaps(offset, data.size(), msix_control_, msix_control_ + 2)) {
    const uint16_t control = config_.Load16(msix_control_);
    msix_->SetControl((control & PCI_MSIX_FLAGS_ENABLE) != 0,
                      (control & PCI_MSIX_FLAGS_MASKALL) != 0);
  }
  return Overlaps(offset, data.size(), PCI_COMMAND, PCI_COMMAND + 2) ||
         Overlaps(offset, data.size(), kBarRegisters, kBarRegistersEnd);
}

void PciFunction::SetInterruptStatus(bool asserted) {
  const uint16_t status = config_.Load16(PCI_STATUS);
  config_.Store16(PCI_STATUS, static_cast<uint16_t>(asserted ? status | PCI_STATUS_INTERRUPT
                                                             : status & ~PCI_STATUS_INTERRUPT));
}

void PciFunction::Reset() {
  config_.RestoreDefaults();
  if (msix_ != nullptr) msix_->Reset();
}

}  // namespace devices
