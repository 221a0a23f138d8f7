#include "vmm/machine/devices/entropy.h"

#include <utility>

#include "base/status.h"
#include "virtio/entropy/entropy_device.h"

namespace vmm {

absl::StatusOr<PlacedDevice> CreateEntropy(const RngConfig& config, const DeviceContext& context) {
  ASSIGN_OR_RETURN(auto device,
                   virtio::EntropyDevice::Create({.id = config.id, .source = config.src},
                                                 context.next_loop(), context.memory));
  return Place(std::move(device), config);
}

}  // namespace vmm
