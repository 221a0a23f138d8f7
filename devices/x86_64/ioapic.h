// A user-space IOAPIC for a split interrupt controller: the local APICs are in the host's kernel,
// and each interrupt goes to them as a message. [82093AA data sheet; EOI register of version 0x20:
// Intel 64 SDM vol. 3 and the ICH family's data sheets]
//
// The guest accesses registers on vCPU threads, and lines are driven from any thread. One lock
// guards everything. Messages are sent and routes are changed under the lock, so that they keep the
// order of their causes. Neither may call back into the IOAPIC.
#ifndef DEVICES_X86_64_IOAPIC_H_
#define DEVICES_X86_64_IOAPIC_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/mutex.h"
#include "devices/bus.h"
#include "devices/interrupt.h"

namespace devices {

class Ioapic : public BusDevice {
 public:
  static constexpr uint64_t kMmioAddress = 0xfec00000;
  static constexpr uint64_t kMmioSizeBytes = 0x1000;
  static constexpr unsigned kPinCount = 24;  // the largest number

  // Has `pins` pins, 1 to kPinCount. `controller` and `routes` must outlive this object.
  Ioapic(MsiController& controller, LevelRoutes& routes, unsigned pins = kPinCount);

  absl::string_view name() const override { return "ioapic"; }
  void Read(uint64_t offset, std::span<uint8_t> data) override;
  void Write(uint64_t offset, std::span<const uint8_t> data) override;

  // Returns the wire into `pin`, in [0, pins). True means "active", whatever polarity the guest
  // programs. Edge-triggered: an edge is lost while the pin is masked, as in hardware.
  // Level-triggered: the interrupt is sent again after each end of interrupt while the wire is
  // asserted.
  InterruptLine& line(unsigned pin) { return pins_[pin]; }

  // Handles a vCPU's end of the level-triggered interrupt `vector` (KVM_EXIT_IOAPIC_EOI). Any
  // thread.
  void EndOfInterrupt(uint8_t vector);

  // Masks all pins and takes back their routes. The wires keep their levels, because their owners
  // drive them.
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
    uint32_t asserted = 0;  // one bit per pin
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
  LevelRoutes& routes_;
  const unsigned pin_count_;
  std::array<Pin, kPinCount> pins_;
  base::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
  // The messages that were last passed to `routes_`.
  std::array<std::optional<MsiMessage>, kPinCount> level_routes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace devices

#endif  // DEVICES_X86_64_IOAPIC_H_
