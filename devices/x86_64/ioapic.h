// A user-space IOAPIC for a split interrupt controller: the local APICs are the host kernel's, and
// each interrupt goes to them as a message. [82093AA data sheet; EOI register of version 0x20:
// Intel 64 SDM vol. 3 and the ICH family's data sheets]
//
// Registers are accessed on vCPU threads, lines are driven from anywhere; one lock guards all, and
// messages are sent and routes changed under it, so that they leave in the order of their causes.
// Neither may call back into the IOAPIC.
#ifndef DEVICES_X86_64_IOAPIC_H_
#define DEVICES_X86_64_IOAPIC_H_

#include <array>
#include <cstdint>
#include <optional>

#include "base/mutex.h"
#include "devices/bus.h"
#include "devices/interrupt.h"

namespace devices {

// Learns which messages are level-triggered: the host kernel reports the end of such an interrupt
// only for messages that it has a route for.
class IoapicRoutes {
 public:
  virtual ~IoapicRoutes() = default;
  // `message` is what pin `pin` now sends level-triggered, nullopt if it does no more. Called when
  // a pin is unmasked and that has changed, before it sends, and by Reset: masking alone changes
  // nothing, since routes are slow to change and the last interrupt may not have ended.
  virtual void SetLevelRoute(unsigned pin, std::optional<MsiMessage> message) = 0;
};

class Ioapic : public BusDevice {
 public:
  static constexpr uint64_t kMmioAddress = 0xfec00000;
  static constexpr uint64_t kMmioSizeBytes = 0x1000;
  static constexpr unsigned kPinCount = 24;  // at most

  // Has pins [0, pins), 1 to kPinCount. The others must outlive this object.
  Ioapic(MsiController& controller, IoapicRoutes& routes, unsigned pins = kPinCount);

  absl::string_view name() const override { return "ioapic"; }
  void Read(uint64_t offset, std::span<uint8_t> data) override;
  void Write(uint64_t offset, std::span<const uint8_t> data) override;

  // Returns the wire into `pin`, in [0, pins). True is "active" whatever polarity the guest
  // programs. Edge-triggered: an edge while the pin is masked is lost, as in hardware.
  // Level-triggered: sent again after each end of interrupt as long as the wire is asserted.
  InterruptLine& line(unsigned pin) { return pins_[pin]; }

  // A vCPU ended the level-triggered interrupt `vector` (KVM_EXIT_IOAPIC_EOI). Any thread.
  void EndOfInterrupt(uint8_t vector);

  // Masks all pins and takes back their routes. The wires keep their levels: their owners drive
  // them.
  void Reset();

 private:
  class Pin : public InterruptLine {
   public:
    void Set(bool asserted) override { ioapic->SetLine(number, asserted); }
    Ioapic* ioapic = nullptr;
    unsigned number = 0;
  };

  struct State {
    State();
    uint8_t selected = 0;
    uint8_t id = 0;
    uint32_t asserted = 0;  // one bit a pin
    std::array<uint64_t, kPinCount> entries;
  };

  void SetLine(unsigned pin, bool asserted);
  uint32_t ReadSelected() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteSelected(uint32_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndOfInterruptLocked(uint8_t vector) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SendIfLevelAsserted(unsigned pin) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Send(unsigned pin) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UpdateRoute(unsigned pin) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetRoute(unsigned pin, const std::optional<MsiMessage>& message)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  MsiController& controller_;
  IoapicRoutes& routes_;
  const unsigned pin_count_;
  std::array<Pin, kPinCount> pins_;
  base::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
  // What was last given to `routes_`.
  std::array<std::optional<MsiMessage>, kPinCount> level_routes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace devices

#endif  // DEVICES_X86_64_IOAPIC_H_
