#include "devices/x86_64/ioapic.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/log.h"

namespace devices {
namespace {

// Memory-mapped registers.
constexpr uint64_t kSelectOffset = 0x00;
constexpr uint64_t kWindowOffset = 0x10;
constexpr uint64_t kEoiOffset = 0x40;

// Registers behind the window.
constexpr uint8_t kIdRegister = 0x00;
constexpr uint8_t kVersionRegister = 0x01;
constexpr uint8_t kArbitrationRegister = 0x02;
constexpr uint8_t kFirstEntryRegister = 0x10;

constexpr uint32_t kVersion = 0x20;  // has the EOI register
constexpr uint8_t kIdMask = 0x0f;

// Redirection table entry [82093AA §3.2.4].
constexpr uint64_t kVectorMask = 0xff;
constexpr unsigned kDeliveryModeShift = 8;
constexpr uint64_t kDeliveryModeMask = 7;
constexpr uint64_t kDeliveryModeExtInt = 7;
constexpr unsigned kDestinationModeShift = 11;
constexpr uint64_t kDeliveryStatus = 1 << 12;
constexpr uint64_t kRemoteIrr = 1 << 14;
constexpr uint64_t kLevelTriggered = 1 << 15;
constexpr uint64_t kMasked = 1 << 16;
constexpr uint64_t kReadOnly = kDeliveryStatus | kRemoteIrr;
constexpr uint64_t kReservedLow = 0xfffe0000;
// Bits 8 to 14 of the destination, for guests that know of extended destination ids (LINUX:
// virt_destid_8_14 in arch/x86/include/asm/io_apic.h).
constexpr unsigned kExtendedDestinationShift = 49;
constexpr unsigned kDestinationShift = 56;

// Message fields [Intel 64 SDM vol. 3 §11.11].
constexpr uint64_t kMsiAddress = 0xfee00000;
constexpr unsigned kMsiDestinationShift = 12;
constexpr unsigned kMsiExtendedDestinationShift = 5;
constexpr unsigned kMsiDestinationModeShift = 2;
constexpr uint32_t kMsiAssert = 1 << 14;
constexpr unsigned kMsiTriggerShift = 15;

MsiMessage ToMessage(uint64_t entry) {
  const uint64_t logical = entry >> kDestinationModeShift & 1;
  const uint64_t extended = entry >> kExtendedDestinationShift & 0x7f;
  const bool level = (entry & kLevelTriggered) != 0;
  return {.address = kMsiAddress | entry >> kDestinationShift << kMsiDestinationShift |
                     extended << kMsiExtendedDestinationShift | logical << kMsiDestinationModeShift,
          // Vector and delivery mode have the same places in both formats.
          .data = static_cast<uint32_t>(entry &
                                        (kVectorMask | kDeliveryModeMask << kDeliveryModeShift)) |
                  kMsiAssert | uint32_t{level} << kMsiTriggerShift};
}

bool Active(uint64_t entry) {
  // ExtINT would ask the 8259 for a vector, but there is no 8259.
  return (entry & kMasked) == 0 &&
         (entry >> kDeliveryModeShift & kDeliveryModeMask) != kDeliveryModeExtInt;
}

}  // namespace

Ioapic::State::State() { entries.fill(kMasked); }

Ioapic::Ioapic(MsiController& controller, LevelRoutes& routes, unsigned pins)
    : controller_(controller), routes_(routes), pin_count_(pins) {
  CHECK(pins >= 1 && pins <= kPinCount);
  for (unsigned pin = 0; pin < pin_count_; ++pin) {
    pins_[pin].ioapic = this;
    pins_[pin].number = pin;
  }
}

void Ioapic::Read(uint64_t offset, std::span<uint8_t> data) {
  uint32_t value = 0;
  {
    base::MutexLock lock(mutex_);
    if (offset == kSelectOffset) value = state_.selected;
    if (offset == kWindowOffset) value = ReadSelected();
  }
  std::fill(data.begin(), data.end(), uint8_t{0});
  std::memcpy(data.data(), &value, std::min(data.size(), sizeof(value)));
}

void Ioapic::Write(uint64_t offset, std::span<const uint8_t> data) {
  uint32_t value = 0;
  std::memcpy(&value, data.data(), std::min(data.size(), sizeof(value)));
  base::MutexLock lock(mutex_);
  if (offset == kSelectOffset) {
    state_.selected = static_cast<uint8_t>(value);
    return;
  }
  if (data.size() != sizeof(value)) return;  // the other registers take aligned 32-bit accesses
  if (offset == kWindowOffset) WriteSelected(value);
  if (offset == kEoiOffset) EndOfInterruptLocked(static_cast<uint8_t>(value));
}

uint32_t Ioapic::ReadSelected() const {
  switch (state_.selected) {
    case kIdRegister:
    case kArbitrationRegister:
      return uint32_t{state_.id} << 24;
    case kVersionRegister:
      return (pin_count_ - 1) << 16 | kVersion;
    default:
      break;
  }
  if (state_.selected < kFirstEntryRegister) return 0;
  const unsigned index = state_.selected - kFirstEntryRegister;
  if (index / 2 >= pin_count_) return 0;
  return static_cast<uint32_t>(state_.entries[index / 2] >> (index % 2 * 32));
}

void Ioapic::WriteSelected(uint32_t value) {
  if (state_.selected == kIdRegister) state_.id = value >> 24 & kIdMask;
  if (state_.selected < kFirstEntryRegister) return;
  const unsigned index = state_.selected - kFirstEntryRegister;
  const unsigned pin = index / 2;
  if (pin >= pin_count_) return;
  uint64_t& entry = state_.entries[pin];
  if (index % 2 == 1) {
    entry = (entry & 0xffffffff) | uint64_t{value} << 32;
  } else {
    entry = (entry & (0xffffffff00000000 | kReadOnly)) | (value & ~(kReadOnly | kReservedLow));
    // LINUX: __eoi_ioapic_pin() switches a pin to edge and back if there is no EOI register.
    if ((entry & kLevelTriggered) == 0) entry &= ~kRemoteIrr;
  }
  UpdateRoute(pin);
  SendIfLevelAsserted(pin);
}

void Ioapic::SetLine(unsigned pin, bool asserted) {
  const uint32_t bit = 1u << pin;
  base::MutexLock lock(mutex_);
  const bool rising = asserted && (state_.asserted & bit) == 0;
  state_.asserted = asserted ? state_.asserted | bit : state_.asserted & ~bit;
  const uint64_t entry = state_.entries[pin];
  if ((entry & kLevelTriggered) != 0) {
    SendIfLevelAsserted(pin);
  } else if (rising && Active(entry)) {
    Send(pin);
  }
}

void Ioapic::EndOfInterrupt(uint8_t vector) {
  base::MutexLock lock(mutex_);
  EndOfInterruptLocked(vector);
}

void Ioapic::EndOfInterruptLocked(uint8_t vector) {
  for (unsigned pin = 0; pin < pin_count_; ++pin) {
    uint64_t& entry = state_.entries[pin];
    if ((entry & kVectorMask) != vector || (entry & kRemoteIrr) == 0) continue;
    entry &= ~kRemoteIrr;
    SendIfLevelAsserted(pin);
  }
}

void Ioapic::SendIfLevelAsserted(unsigned pin) {
  uint64_t& entry = state_.entries[pin];
  if (!Active(entry) || (entry & (kLevelTriggered | kRemoteIrr)) != kLevelTriggered) return;
  if ((state_.asserted & 1u << pin) == 0) return;
  entry |= kRemoteIrr;
  Send(pin);
}

void Ioapic::Send(unsigned pin) { controller_.Send(ToMessage(state_.entries[pin])); }

// A masked pin keeps its route: its last interrupt may not have ended yet, and without the route
// the kernel would not report the end.
void Ioapic::UpdateRoute(unsigned pin) {
  const uint64_t entry = state_.entries[pin];
  if (!Active(entry)) return;
  std::optional<MsiMessage> message;
  if ((entry & kLevelTriggered) != 0) message = ToMessage(entry);
  SetRoute(pin, message);
}

void Ioapic::SetRoute(unsigned pin, const std::optional<MsiMessage>& message) {
  if (message == level_routes_[pin]) return;
  level_routes_[pin] = message;
  routes_.SetLevelRoute(pin, message);
}

void Ioapic::Reset() {
  base::MutexLock lock(mutex_);
  const uint32_t asserted = state_.asserted;
  state_ = State();
  state_.asserted = asserted;
  for (unsigned pin = 0; pin < pin_count_; ++pin) SetRoute(pin, std::nullopt);
}

}  // namespace devices
