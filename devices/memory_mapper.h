// What a device whose BAR is memory knows of the guest's address space. vmm/kvm implements it on
// memory slots; tests fake it.
#ifndef DEVICES_MEMORY_MAPPER_H_
#define DEVICES_MEMORY_MAPPER_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace devices {

// Puts host memory at guest physical addresses. Any thread; costs the host a grace period.
class MemoryMapper {
 public:
  virtual ~MemoryMapper() = default;
  // Reads of [address, + host.size()) see `host` without an exit; writes exit as they would
  // without it. Page aligned; must not overlap what is mapped.
  virtual absl::Status MapReadOnly(uint64_t address, std::span<const uint8_t> host) = 0;
  // Takes away what was mapped at `address`; nothing if nothing was.
  virtual void UnmapMemory(uint64_t address) = 0;
};

}  // namespace devices

#endif  // DEVICES_MEMORY_MAPPER_H_
