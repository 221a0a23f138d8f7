// What a virtio-pci function looks like: identity, BARs, capabilities. [VIRTIO 1.2 §4.1.2, §4.1.4]
#ifndef VIRTIO_TRANSPORT_PCI_LAYOUT_H_
#define VIRTIO_TRANSPORT_PCI_LAYOUT_H_

#include <cstdint>

#include "devices/pci/msix.h"
#include "devices/pci/pci_function.h"
#include "virtio/device.h"

namespace virtio {

// BAR 0 has a page for each structure: the MSI-X table has to be on a page of its own, and the
// other structures have room to grow. Offsets are in bytes.
inline constexpr unsigned kRegisterBar = 0;
inline constexpr uint32_t kCommonOffset = 0x0000;
inline constexpr uint32_t kIsrOffset = 0x1000;
inline constexpr uint32_t kDeviceConfigOffset = 0x2000;
inline constexpr uint32_t kNotifyOffset = 0x3000;
inline constexpr uint32_t kMsixTableOffset = 0x4000;
inline constexpr uint32_t kMsixPbaOffset = 0xc000;
inline constexpr uint32_t kRegisterBarBytes = 0x10000;

// The number of queues whose notify addresses, 4 bytes apart, fit on a page.
inline constexpr uint16_t kMaxQueues = 1024;

// BAR 2 exists only with shared memory: 64-bit, prefetchable.
inline constexpr unsigned kSharedMemoryBar = 2;

// `window_capability` is the offset of VIRTIO_PCI_CAP_PCI_CFG in the configuration space.
struct PciLayout {
  devices::PciFunctionSpec spec;
  uint32_t window_capability = 0;
};
PciLayout MakePciLayout(Device& device, devices::MsixTable& msix);

}  // namespace virtio

#endif  // VIRTIO_TRANSPORT_PCI_LAYOUT_H_
