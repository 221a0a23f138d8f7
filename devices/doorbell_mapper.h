// Guest writes that signal an eventfd. vmm/kvm implements this with ioeventfd; tests have a fake.
#ifndef DEVICES_DOORBELL_MAPPER_H_
#define DEVICES_DOORBELL_MAPPER_H_

#include <cstdint>

#include "absl/status/status.h"

namespace devices {

// Connects guest writes at an MMIO address to an eventfd, so that a notification needs no exit to
// user space.
class DoorbellMapper {
 public:
  virtual ~DoorbellMapper() = default;
  // Makes a write of any size at `address` signal `event_fd`. An error does no harm: the write then
  // arrives at the bus, and the device signals the eventfd itself. Any thread.
  virtual absl::Status Map(uint64_t address, int event_fd) = 0;
  virtual void Unmap(uint64_t address, int event_fd) = 0;
};

}  // namespace devices

#endif  // DEVICES_DOORBELL_MAPPER_H_
