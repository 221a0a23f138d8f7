#include "devices/x86_64/i8042.h"

#include <utility>

namespace devices {
namespace {

constexpr uint64_t kControlPortB = 1;  // port 0x61: speaker gate and timer 2
constexpr uint64_t kCommandStatus = 4;
constexpr uint8_t kCommandPulseReset = 0xfe;
// Timer 2's output is always high, so that a guest that calibrates with it does not wait for ever.
constexpr uint8_t kControlPortBTimer2Out = 0x20;
// All ones except "input buffer full". A prober drains 16 bytes and concludes that there is no
// keyboard. LINUX: kb_wait() before a reset (arch/x86/kernel/reboot.c) ends at once.
constexpr uint8_t kStatusNobody = 0xfd;

}  // namespace

I8042::I8042(absl::AnyInvocable<void() const> reset) : reset_(std::move(reset)) {}

uint8_t I8042::ReadByte(uint64_t offset) {
  switch (offset) {
    case kControlPortB:
      return kControlPortBTimer2Out;
    case kCommandStatus:
      return kStatusNobody;
    default:
      return 0xff;
  }
}

void I8042::WriteByte(uint64_t offset, uint8_t value) {
  if (offset == kCommandStatus && value == kCommandPulseReset) reset_();
}

}  // namespace devices
