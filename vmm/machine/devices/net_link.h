// The host side of a network device whose port is a stream socket: keeps the socket connected.
#ifndef VMM_MACHINE_DEVICES_NET_LINK_H_
#define VMM_MACHINE_DEVICES_NET_LINK_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "net/reconnector.h"
#include "net/stream_port.h"
#include "virtio/net/net_device.h"
#include "vmm/machine/devices/net_host_side.h"

namespace vmm {

// When the connection is lost, the guest sees its link go down. When there is a new connection, the
// link goes up and the guest announces its address.
class NetLink final : public NetHostSide {
 public:
  using Open = absl::AnyInvocable<absl::StatusOr<base::UniqueFd>()>;

  // `port` belongs to `device`, which outlives this object; it has a connection or had one. `name`
  // is what the far end is called in the log. `open` must not block for long. Call it before the
  // loop of the device runs. Errors: ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<NetLink>> Create(virtio::NetDevice& device,
                                                         net::StreamPort& port,
                                                         const std::string& name, Open open);

 private:
  NetLink(virtio::NetDevice& device, std::unique_ptr<net::Reconnector> reconnector)
      : NetHostSide(device), reconnector_(std::move(reconnector)) {}

  const std::unique_ptr<net::Reconnector> reconnector_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_NET_LINK_H_
