#include "vmm/machine/devices/net_link.h"

#include <utility>

#include "base/limited_log.h"
#include "base/log.h"
#include "base/status.h"

namespace vmm {

absl::StatusOr<std::unique_ptr<NetLink>> NetLink::Create(virtio::NetDevice& device,
                                                         net::StreamPort& port,
                                                         const std::string& name, Open open) {
  net::Reconnector::Functions functions;
  functions.open = std::move(open);
  functions.opened = [&device, &port, name](base::UniqueFd socket) {
    device.loop().Post([&device, &port, name, socket = std::move(socket)]() mutable {
      LOG_LIMITED(Info, 10, device.id()) << device.id() << ": " << name << " is back; link up";
      // The link goes up first: if the new connection fails at once, the port's report that it is
      // down must come last.
      device.SetLink(virtio::NetDevice::LinkSource::kPort, true);
      device.Announce();
      port.Connect(std::move(socket));
    });
  };
  functions.failed = [&device, name](const absl::Status& status) {
    LOG_LIMITED(Warning, 60, device.id())
        << device.id() << ": " << name << " is not back yet: " << status.message();
  };
  ASSIGN_OR_RETURN(auto reconnector, net::Reconnector::Start(std::move(functions)));
  port.SetOnDown([&device, name, loss = reconnector->loss()](const std::string& reason) {
    LOG_LIMITED(Warning, 10, device.id())
        << device.id() << ": " << name << " is gone (" << reason << "); link down";
    device.SetLink(virtio::NetDevice::LinkSource::kPort, false);
    loss.Report();
  });
  return std::unique_ptr<NetLink>(new NetLink(device, std::move(reconnector)));
}

}  // namespace vmm
