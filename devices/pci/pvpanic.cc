#include "devices/pci/pvpanic.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace devices {
namespace {

constexpr uint64_t kBarBytes = 4096;

}  // namespace

absl::StatusOr<std::unique_ptr<Pvpanic>> Pvpanic::Create(PciRoot& root, unsigned slot,
                                                         EventFunction on_event) {
  PciFunctionSpec spec;
  spec.vendor_id = 0x1b36;  // Red Hat
  spec.device_id = 0x0011;  // pvpanic-pci
  spec.subsystem_vendor_id = 0x1af4;
  spec.subsystem_id = 0x1100;
  spec.class_code = 0x088000;  // system peripheral, other
  spec.revision = 1;
  spec.bars[0].size = kBarBytes;
  std::unique_ptr<Pvpanic> device(new Pvpanic(root, slot, std::move(on_event)));
  RETURN_IF_ERROR(root.Add(slot, spec, *device));
  return device;
}

Pvpanic::Pvpanic(PciRoot& root, unsigned slot, EventFunction on_event)
    : root_(root), slot_(slot), on_event_(std::move(on_event)) {}

Pvpanic::~Pvpanic() { root_.Remove(slot_, *this); }

void Pvpanic::ReadBar(unsigned /*bar*/, uint64_t offset, std::span<uint8_t> data) {
  std::fill(data.begin(), data.end(), uint8_t{0});
  if (offset == 0) data[0] = kCapabilities;
}

void Pvpanic::WriteBar(unsigned /*bar*/, uint64_t offset, std::span<const uint8_t> data) {
  const uint8_t events = offset == 0 ? data[0] & kCapabilities : 0;
  if (events != 0) on_event_(events);
}

}  // namespace devices
