// The host side that all network devices have.
#ifndef VMM_MACHINE_DEVICES_NET_HOST_SIDE_H_
#define VMM_MACHINE_DEVICES_NET_HOST_SIDE_H_

#include "absl/status/status.h"
#include "net/rate_limiter.h"
#include "virtio/net/net_device.h"
#include "vmm/machine/device_set.h"

namespace vmm {

class NetHostSide : public HostSide {
 public:
  // `device` outlives this object. `has_limits` says whether rate limits can be set.
  explicit NetHostSide(virtio::NetDevice& device, bool has_limits = true)
      : device_(device), has_limits_(has_limits) {}

  absl::Status SetRateLimits(const net::RateLimiter::Limits& limits) override {
    if (!has_limits_) {
      return absl::InvalidArgumentError("is served by vhost-net, which has no rate limits");
    }
    device_.SetRateLimits(limits);
    return absl::OkStatus();
  }
  // A guest that is connected announces its address: it may have moved to another network.
  absl::Status SetLink(bool up) override {
    device_.SetLink(virtio::NetDevice::LinkSource::kUser, up);
    if (up) device_.Announce();
    return absl::OkStatus();
  }

 private:
  virtio::NetDevice& device_;
  const bool has_limits_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_NET_HOST_SIDE_H_
