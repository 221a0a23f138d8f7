#include "vmm/machine/devices/rate_limits.h"

#include <optional>

namespace vmm {
namespace {

std::optional<net::TokenBucket::Limit> MakeLimit(const TokenBucketConfig& config) {
  if (!config.size.has_value()) return std::nullopt;
  return net::TokenBucket::Limit{.size = *config.size,
                                 .refill_time_ms = *config.refill_time,
                                 .one_time_burst = config.one_time_burst.value_or(0)};
}

}  // namespace

net::RateLimiter::Limits MakeRateLimits(const RateLimiterConfig& config) {
  return {.bandwidth = MakeLimit(config.bandwidth), .ops = MakeLimit(config.ops)};
}

}  // namespace vmm
