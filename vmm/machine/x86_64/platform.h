// What an x86_64 guest finds besides CPUs, RAM and PCI devices: IOAPIC, serial port, clock, reset
// and power.
#ifndef VMM_MACHINE_X86_64_PLATFORM_H_
#define VMM_MACHINE_X86_64_PLATFORM_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "devices/bus.h"
#include "devices/character/character_backend.h"
#include "devices/interrupt.h"
#include "devices/serial.h"
#include "devices/x86_64/acpi_power.h"
#include "devices/x86_64/cmos_rtc.h"
#include "devices/x86_64/debug_port.h"
#include "devices/x86_64/i8042.h"
#include "devices/x86_64/ioapic.h"
#include "vmm/machine/x86_64/address_map.h"

namespace vmm {

class Platform {
 public:
  struct Callbacks {
    // Called on the vCPU that asks, possibly on several at once.
    absl::AnyInvocable<void() const> power_off;
    absl::AnyInvocable<void() const> reset;
  };

  // Puts the devices on the buses, which outlive it. `serial`: nullptr for no serial port; its loop
  // is `serial_loop`. Control thread.
  static absl::StatusOr<std::unique_ptr<Platform>> Create(devices::Bus& pio, devices::Bus& mmio,
                                                          devices::MsiController& msi,
                                                          devices::IoapicRoutes& routes,
                                                          devices::CharacterBackend* serial,
                                                          base::EventLoop& serial_loop,
                                                          Callbacks callbacks);
  ~Platform();

  devices::Ioapic& ioapic() { return ioapic_; }
  devices::AcpiPower& power() { return *power_; }
  devices::DebugPort& debug_port() { return debug_port_; }

 private:
  Platform(devices::MsiController& msi, devices::IoapicRoutes& routes, base::EventLoop& serial_loop)
      : serial_loop_(serial_loop), ioapic_(msi, routes, address_map::kIoapicPins) {}

  base::EventLoop& serial_loop_;
  devices::Ioapic ioapic_;
  devices::CmosRtc rtc_;
  devices::DebugPort debug_port_;
  std::unique_ptr<devices::I8042> i8042_;
  std::unique_ptr<devices::AcpiPower> power_;
  std::unique_ptr<devices::Serial> serial_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_X86_64_PLATFORM_H_
