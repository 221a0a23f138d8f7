#include "vmm/machine/devices/net.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "net/mac_address.h"
#include "net/tap.h"
#include "virtio/net/net_device.h"

namespace vmm {

absl::StatusOr<PlacedDevice> CreateNet(const NetConfig& config, const DeviceContext& context) {
  net::TapOptions tap_options;
  tap_options.key = absl::StrCat("net[", context.index, "].tap");
  tap_options.name = config.tap;
  tap_options.queues = config.num_queues / 2;
  if (config.host_mac.has_value()) tap_options.mac = net::ParseMac(*config.host_mac);
  tap_options.mtu = config.mtu;
  tap_options.ip = config.ip;
  tap_options.mask = config.mask;
  ASSIGN_OR_RETURN(net::Tap tap, net::OpenTap(tap_options));
  virtio::NetDevice::Options options;
  options.id = config.id;
  options.mac = *net::ParseMac(config.mac);
  options.mtu = static_cast<uint16_t>(tap.mtu);
  options.has_uso = tap.has_uso;
  options.queue_size = static_cast<uint16_t>(config.queue_size);
  std::vector<virtio::NetDevice::Pair> pairs;
  for (auto& port : tap.ports) pairs.push_back({std::move(port), context.next_loop()});
  ASSIGN_OR_RETURN(auto device,
                   virtio::NetDevice::Create(options, std::move(pairs), context.memory));
  return Place(std::move(device), config);
}

}  // namespace vmm
