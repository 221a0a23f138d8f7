#include "vmm/machine/devices/net.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/unix_listener.h"
#include "net/mac_address.h"
#include "net/stream_port.h"
#include "net/tap.h"
#include "virtio/net/net_device.h"
#include "vmm/machine/devices/net_host_side.h"
#include "vmm/machine/devices/net_link.h"
#include "vmm/machine/devices/rate_limits.h"

namespace vmm {
namespace {

constexpr std::chrono::seconds kConnectPatience{1};

virtio::NetDevice::Options OptionsOf(const NetConfig& config) {
  virtio::NetDevice::Options options;
  options.id = config.id;
  options.mac = *net::ParseMac(config.mac);
  options.queue_size = static_cast<uint16_t>(config.queue_size);
  options.rate_limits = MakeRateLimits(config.rate_limiter_config);
  return options;
}

absl::StatusOr<PlacedDevice> CreateTapNet(const NetConfig& config, const DeviceContext& context) {
  net::TapOptions tap_options;
  tap_options.key = absl::StrCat("net[", context.index, "].tap");
  tap_options.name = config.tap;
  tap_options.queues = config.num_queues / 2;
  if (config.host_mac.has_value()) tap_options.mac = net::ParseMac(*config.host_mac);
  tap_options.mtu = config.mtu;
  tap_options.ip = config.ip;
  tap_options.mask = config.mask;
  ASSIGN_OR_RETURN(net::Tap tap, net::OpenTap(tap_options));
  virtio::NetDevice::Options options = OptionsOf(config);
  options.mtu = static_cast<uint16_t>(tap.mtu);
  options.has_uso = tap.has_uso;
  std::vector<virtio::NetDevice::Pair> pairs;
  for (auto& port : tap.ports) pairs.push_back({std::move(port), context.next_loop()});
  ASSIGN_OR_RETURN(auto device,
                   virtio::NetDevice::Create(options, std::move(pairs), context.memory));
  auto host_side = std::make_unique<NetHostSide>(*device);
  return Place(std::move(device), config, std::move(host_side));
}

absl::StatusOr<PlacedDevice> CreateSocketNet(const NetConfig& config,
                                             const DeviceContext& context) {
  const std::string key = absl::StrCat("net[", context.index, "].socket");
  auto socket = base::ConnectUnix(*config.socket, kConnectPatience);
  if (!socket.ok()) {
    const bool denied = absl::IsPermissionDenied(socket.status());
    return base::Annotate(
        base::Advise(socket.status(), denied ? "let this user write to the socket"
                                             : "start passt --socket with this path"),
        key);
  }
  ASSIGN_OR_RETURN(auto owned_port, net::StreamPort::Create());
  net::StreamPort& port = *owned_port;
  port.Connect(*std::move(socket));
  if (!port.connected()) return absl::ResourceExhaustedError(absl::StrCat(key, ": cannot poll it"));
  virtio::NetDevice::Options options = OptionsOf(config);
  options.mtu = static_cast<uint16_t>(config.mtu.value_or(kMaxPasstMtu));
  options.has_offloads = false;
  std::vector<virtio::NetDevice::Pair> pairs;
  pairs.push_back({std::move(owned_port), context.next_loop()});
  ASSIGN_OR_RETURN(auto device,
                   virtio::NetDevice::Create(options, std::move(pairs), context.memory));
  ASSIGN_OR_RETURN(auto link,
                   NetLink::Create(*device, port, absl::StrCat("passt at ", *config.socket),
                                   [path = *config.socket] {
                                     return base::ConnectUnix(path, kConnectPatience);
                                   }));
  return Place(std::move(device), config, std::move(link));
}

}  // namespace

absl::StatusOr<PlacedDevice> CreateNet(const NetConfig& config, const DeviceContext& context) {
  return config.socket.has_value() ? CreateSocketNet(config, context)
                                   : CreateTapNet(config, context);
}

}  // namespace vmm
