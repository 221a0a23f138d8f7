// What a guest finds besides CPUs, RAM and PCI devices: interrupt controller, serial port, clock,
// reset and power. Implemented in the folder of the architecture.
#ifndef VMM_MACHINE_PLATFORM_H_
#define VMM_MACHINE_PLATFORM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "devices/bus.h"
#include "devices/character/character_backend.h"
#include "vmm/kvm/kvm_vm.h"

namespace vmm {

class Platform {
 public:
  struct Callbacks {
    // Called on the thread of the vCPU that asks, possibly on several at once.
    absl::AnyInvocable<void() const> power_off;
    absl::AnyInvocable<void() const> reset;
  };

  // Creates the interrupt controller of `vm`, which has its memory and no vCPU yet, and puts the
  // devices on the buses. All references outlive the platform. `serial` is null if there is no
  // serial port; its loop is `serial_loop`. Control thread.
  static absl::StatusOr<std::unique_ptr<Platform>> Create(devices::Bus& pio, devices::Bus& mmio,
                                                          KvmVm& vm,
                                                          devices::CharacterBackend* serial,
                                                          base::EventLoop& serial_loop,
                                                          Callbacks callbacks);
  virtual ~Platform() = default;

  // Says that a vCPU has ended the level-triggered interrupt `vector`. Any thread.
  virtual void EndOfInterrupt(uint8_t vector) = 0;
  // Any thread.
  virtual void PressPowerButton() = 0;
  // Returns for each code that the guest wrote to its debug port the time of the first write, in
  // microseconds since power-on. The names look like "code_0x10_us". Any thread.
  virtual std::vector<std::pair<std::string, uint64_t>> BootTimes() = 0;
};

}  // namespace vmm

#endif  // VMM_MACHINE_PLATFORM_H_
