// The host bridge in slot 0: guests expect to find one, and nothing more of it than its header.
#ifndef DEVICES_PCI_HOST_BRIDGE_H_
#define DEVICES_PCI_HOST_BRIDGE_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "devices/pci/pci_root.h"

namespace devices {

class HostBridge final : public PciHandler {
 public:
  // Puts the bridge into slot 0 of `root`, which must outlive it.
  absl::Status AddTo(PciRoot& root) {
    PciFunctionSpec spec;
    spec.vendor_id = 0x8086;  // the identity that cloud-hypervisor's guests see
    spec.device_id = 0x0d57;
    spec.class_code = 0x060000;  // host bridge [PCI 3.0 §D]
    return root.Add(0, spec, *this);
  }

  absl::string_view name() const override { return "_host_bridge"; }
  void ReadBar(unsigned, uint64_t, std::span<uint8_t>) override {}
  void WriteBar(unsigned, uint64_t, std::span<const uint8_t>) override {}
};

}  // namespace devices

#endif  // DEVICES_PCI_HOST_BRIDGE_H_
