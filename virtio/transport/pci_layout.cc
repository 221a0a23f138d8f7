#include "virtio/transport/pci_layout.h"

#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>

#include <algorithm>
#include <bit>
#include <span>
#include <vector>

#include "base/endian.h"
#include "base/log.h"
#include "virtio/transport/common_config.h"
#include "virtio/transport/doorbells.h"

namespace virtio {
namespace {

constexpr uint16_t kVendor = 0x1af4;         // [VIRTIO 1.2 §4.1.2.1]
constexpr uint16_t kFirstDeviceId = 0x1040;  // [VIRTIO 1.2 §4.1.2.1]
constexpr uint64_t kSmallestSharedBar = 4096;

// struct virtio_pci_cap in wire order. [VIRTIO 1.2 §4.1.4]
struct Capability {
  uint8_t vendor = PCI_CAP_ID_VNDR;
  uint8_t next = 0;
  uint8_t length = 0;
  uint8_t type = 0;
  uint8_t bar = 0;
  uint8_t id = 0;
  uint8_t padding[2] = {};
  base::Le32 offset;
  base::Le32 bytes;
};
static_assert(sizeof(Capability) == sizeof(virtio_pci_cap) && base::WireType<Capability>);

// [PCI 3.0 §D]: class, subclass, interface.
uint32_t ClassCode(uint16_t type) {
  switch (type) {
    case VIRTIO_ID_NET:
      return 0x020000;  // Ethernet controller
    case VIRTIO_ID_BLOCK:
      return 0x010000;  // SCSI controller, the same as in other virtual machine monitors
    case VIRTIO_ID_CONSOLE:
    case VIRTIO_ID_VSOCK:
      return 0x078000;  // communication controller, other
    case VIRTIO_ID_FS:
    case VIRTIO_ID_9P:
      return 0x018000;  // mass storage, other
    default:
      return 0x00ff00;  // no class fits
  }
}

std::vector<uint8_t> Bytes(Capability capability, const std::vector<uint32_t>& extra = {}) {
  capability.length = static_cast<uint8_t>(sizeof(capability) + extra.size() * 4);
  const auto* from = reinterpret_cast<const uint8_t*>(&capability);
  std::vector<uint8_t> bytes(from, from + sizeof(capability));
  for (uint32_t word : extra) {
    for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(word >> (8 * i)));
  }
  return bytes;
}

Capability Structure(uint8_t type, uint32_t offset, uint32_t bytes) {
  Capability capability;
  capability.type = type;
  capability.bar = kRegisterBar;
  capability.offset = offset;
  capability.bytes = bytes;
  return capability;
}

void AddSharedMemory(devices::PciFunctionSpec& spec, std::span<const SharedMemoryRegion> all) {
  uint64_t end = kSmallestSharedBar;
  for (const SharedMemoryRegion& region : all) {
    Capability capability;
    capability.type = VIRTIO_PCI_CAP_SHARED_MEMORY_CFG;
    capability.bar = kSharedMemoryBar;
    capability.id = region.id;
    capability.offset = static_cast<uint32_t>(region.offset);
    capability.bytes = static_cast<uint32_t>(region.length);
    spec.AddCapability(Bytes(capability, {static_cast<uint32_t>(region.offset >> 32),
                                          static_cast<uint32_t>(region.length >> 32)}));
    end = std::max(end, region.offset + region.length);
  }
  spec.bars[kSharedMemoryBar] = {
      .size = std::bit_ceil(end), .is_64bit = true, .prefetchable = true, .is_memory = true};
}

}  // namespace

PciLayout MakePciLayout(Device& device, devices::MsixTable& msix) {
  PciLayout layout;
  devices::PciFunctionSpec& spec = layout.spec;
  spec.vendor_id = kVendor;
  spec.device_id = static_cast<uint16_t>(kFirstDeviceId + device.type());
  spec.subsystem_vendor_id = kVendor;
  spec.subsystem_id = spec.device_id;  // 0x40 or more keeps legacy drivers away
  spec.class_code = ClassCode(device.type());
  spec.revision = 1;
  spec.bars[kRegisterBar].size = kRegisterBarBytes;

  spec.AddCapability(
      Bytes(Structure(VIRTIO_PCI_CAP_COMMON_CFG, kCommonOffset, CommonConfig::kBytes)));
  const auto queues = static_cast<uint32_t>(device.queue_sizes().size());
  spec.AddCapability(Bytes(Structure(VIRTIO_PCI_CAP_NOTIFY_CFG, kNotifyOffset,
                                     std::max(queues, 1u) * Doorbells::kMultiplier),
                           {Doorbells::kMultiplier}));
  spec.AddCapability(Bytes(Structure(VIRTIO_PCI_CAP_ISR_CFG, kIsrOffset, 1)));
  if (device.config_size() > 0) {
    spec.AddCapability(
        Bytes(Structure(VIRTIO_PCI_CAP_DEVICE_CFG, kDeviceConfigOffset, device.config_size())));
  }
  spec.AddMsix(msix, kRegisterBar, kMsixTableOffset, kMsixPbaOffset);

  const std::vector<uint8_t> window = Bytes(Structure(VIRTIO_PCI_CAP_PCI_CFG, 0, 0), {0});
  std::vector<uint8_t> writable(window.size(), 0xff);
  for (size_t i = 0; i < offsetof(Capability, offset); ++i) {
    writable[i] = i == offsetof(Capability, bar) ? 0xff : 0;
  }
  layout.window_capability = spec.AddCapability(window, writable);

  if (!device.shared_memory().empty()) AddSharedMemory(spec, device.shared_memory());
  return layout;
}

}  // namespace virtio
