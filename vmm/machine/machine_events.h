// What a running machine tells the program that runs it.
#ifndef VMM_MACHINE_MACHINE_EVENTS_H_
#define VMM_MACHINE_MACHINE_EVENTS_H_

#include <cstdint>
#include <string>

namespace vmm {

enum class GuestEnd : uint8_t {
  kPowerOff,     // ACPI S5
  kReset,        // ACPI reset register, keyboard controller
  kTripleFault,  // a reset too, but the kind that a broken kernel makes for ever
  kFatal,        // KVM cannot run this guest any more
};

// Called on vCPU threads, possibly on several at once; implementations post to the control loop.
class MachineEvents {
 public:
  virtual ~MachineEvents() = default;
  // The guest has ended and executes nothing any more. `detail`: the report of a fatal exit, else
  // empty.
  virtual void OnGuestEnd(GuestEnd end, std::string detail) = 0;
  // The guest's kernel says that it has panicked (or loaded a crash kernel); it may still be
  // printing.
  virtual void OnGuestPanic(uint8_t event) = 0;
};

}  // namespace vmm

#endif  // VMM_MACHINE_MACHINE_EVENTS_H_
