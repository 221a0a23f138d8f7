#include "devices/x86_64/acpi_power.h"

#include <utility>

namespace devices {
namespace {

// [ACPI 6.5 §4.8.3.7]: bits 2 to 4 are SLP_TYP, bit 5 is SLP_EN; the others are reserved.
constexpr uint8_t kSleepEnable = 1 << 5;
constexpr uint8_t kSleepMask = 0x3c;
constexpr uint8_t kSleepS5 = AcpiPower::kSleepTypeS5 << 2 | kSleepEnable;

}  // namespace

AcpiPower::AcpiPower(Callbacks callbacks, InterruptLine& event_line)
    : callbacks_(std::move(callbacks)), event_line_(event_line) {}

void AcpiPower::PressPowerButton() {
  // The pulse is sent under the lock: otherwise a second press could fall into the pulse of the
  // first and would have no edge of its own.
  base::MutexLock lock(mutex_);
  state_.events |= kEventPowerButton;
  event_line_.Set(true);
  event_line_.Set(false);
}

uint8_t AcpiPower::ReadByte(uint64_t offset) {
  // The sleep status never has WAK_STS set, because the machine does not wake but resets. Control
  // and reset are write-only.
  if (kPort + offset != kEventPort) return 0;
  base::MutexLock lock(mutex_);
  return std::exchange(state_.events, uint8_t{0});
}

void AcpiPower::WriteByte(uint64_t offset, uint8_t value) {
  const uint64_t port = kPort + offset;
  if (port == kSleepControlPort && (value & kSleepMask) == kSleepS5) callbacks_.power_off();
  if (port == kResetPort && value == kResetValue) callbacks_.reset();
}

}  // namespace devices
