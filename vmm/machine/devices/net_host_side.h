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
  // `device` outlives this object.
  explicit NetHostSide(virtio::NetDevice& device) : device_(device) {}

  absl::Status SetRateLimits(const net::RateLimiter::Limits& limits) override {
    device_.SetRateLimits(limits);
    return absl::OkStatus();
  }

 private:
  virtio::NetDevice& device_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_NET_HOST_SIDE_H_
