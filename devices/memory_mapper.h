// Lets a device whose BAR is memory map it into the guest's address space. vmm/kvm implements this
// with memory slots; tests have a fake.
#ifndef DEVICES_MEMORY_MAPPER_H_
#define DEVICES_MEMORY_MAPPER_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace devices {

// Puts host memory at guest physical addresses. Any thread; each call costs a grace period of the
// host.
class MemoryMapper {
 public:
  virtual ~MemoryMapper() = default;
  // Makes reads of [address, address + host.size()) see `host` without an exit. Writes still exit.
  // The range must be page aligned and must not overlap a mapped one.
  virtual absl::Status MapReadOnly(uint64_t address, std::span<const uint8_t> host) = 0;
  // Removes the mapping at `address`, if there is one.
  virtual void UnmapMemory(uint64_t address) = 0;
};

}  // namespace devices

#endif  // DEVICES_MEMORY_MAPPER_H_
