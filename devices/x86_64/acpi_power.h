// The fixed hardware of a hardware-reduced ACPI machine: sleep control and status, reset, and the
// event register that the generic event device's _EVT method reads. [ACPI 6.5 §4.8.3.7, §4.8.3.6,
// §5.6.9]
#ifndef DEVICES_X86_64_ACPI_POWER_H_
#define DEVICES_X86_64_ACPI_POWER_H_

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"
#include "devices/byte_device.h"
#include "devices/interrupt.h"

namespace devices {

class AcpiPower : public ByteDevice {
 public:
  // The tables in boot/acpi name these ports and values.
  static constexpr uint64_t kPort = 0x600;
  static constexpr uint64_t kPortCount = 5;
  static constexpr uint64_t kSleepControlPort = 0x600;
  static constexpr uint64_t kSleepStatusPort = 0x601;
  static constexpr uint64_t kResetPort = 0x602;
  static constexpr uint64_t kEventPort = 0x604;
  static constexpr uint8_t kSleepTypeS5 = 5;
  static constexpr uint8_t kResetValue = 1;
  static constexpr uint8_t kEventPowerButton = 1 << 0;  // other bits are reserved

  // Called on the vCPU that requests it, possibly on several vCPUs at once. A callback must not
  // call back into the device.
  struct Callbacks {
    absl::AnyInvocable<void() const> power_off;
    absl::AnyInvocable<void() const> reset;
  };

  // `event_line` is the edge-triggered line of the generic event device; it must outlive this
  // object.
  AcpiPower(Callbacks callbacks, InterruptLine& event_line);

  absl::string_view name() const override { return "acpi"; }

  // Tells the guest that the power button was pressed. The caller should repeat it until the guest
  // reacts, because a guest that is still booting ignores the interrupt. Any thread.
  void PressPowerButton();

 protected:
  uint8_t ReadByte(uint64_t offset) override;
  void WriteByte(uint64_t offset, uint8_t value) override;

 private:
  struct State {
    uint8_t events = 0;
  };

  const Callbacks callbacks_;
  InterruptLine& event_line_;
  base::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace devices

#endif  // DEVICES_X86_64_ACPI_POWER_H_
