// Makes rate limits from their config.
#ifndef VMM_MACHINE_DEVICES_RATE_LIMITS_H_
#define VMM_MACHINE_DEVICES_RATE_LIMITS_H_

#include "net/rate_limiter.h"
#include "vmm/config/vm_config.h"

namespace vmm {

// `config` is validated.
net::RateLimiter::Limits MakeRateLimits(const RateLimiterConfig& config);

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_RATE_LIMITS_H_
