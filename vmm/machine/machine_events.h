// The events that a running machine reports to the program.
#ifndef VMM_MACHINE_MACHINE_EVENTS_H_
#define VMM_MACHINE_MACHINE_EVENTS_H_

#include <cstdint>
#include <string>

namespace vmm {

enum class GuestEnd : uint8_t {
  kPowerOff,     // ACPI S5
  kReset,        // ACPI reset register, keyboard controller
  kTripleFault,  // also a reset; a broken kernel may cause one after another
  kFatal,        // KVM cannot run this guest any more
};

// Called on vCPU threads, possibly on several at once; implementations post to the control loop.
class MachineEvents {
 public:
  virtual ~MachineEvents() = default;
  // Says that the guest has ended and runs no more code. `detail` is the report of a fatal exit,
  // otherwise empty.
  virtual void OnGuestEnd(GuestEnd end, std::string detail) = 0;
  // Says that the guest's kernel has panicked (or loaded a crash kernel). The guest may still be
  // printing. `event` is the value that the guest wrote to pvpanic.
  virtual void OnGuestPanic(uint8_t event) = 0;
};

}  // namespace vmm

#endif  // VMM_MACHINE_MACHINE_EVENTS_H_
