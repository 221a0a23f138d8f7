#include "devices/x86_64/cmos_rtc.h"

#include <time.h>

#include <chrono>
#include <optional>
#include <utility>

namespace devices {
namespace {

// Register numbers and bits [MC146818A data sheet, "Register" tables]. The century byte is at the
// index that every PC uses and that the FADT's CENTURY field names.
enum Register : uint8_t {
  kSeconds = 0x00,
  kSecondsAlarm = 0x01,
  kMinutes = 0x02,
  kMinutesAlarm = 0x03,
  kHours = 0x04,
  kHoursAlarm = 0x05,
  kDayOfWeek = 0x06,
  kDayOfMonth = 0x07,
  kMonth = 0x08,
  kYear = 0x09,
  kStatusA = 0x0a,
  kStatusB = 0x0b,
  kStatusC = 0x0c,
  kStatusD = 0x0d,
  kCentury = 0x32,
};
constexpr uint8_t kIndexMask = 0x7f;  // bit 7 of the index port masks NMIs, of which there are none
constexpr uint8_t kStatusAValue = 0x26;  // 32.768 kHz divider, 1024 Hz, no update in progress
constexpr uint8_t kStatusB24Hours = 0x02;
constexpr uint8_t kStatusDValid = 0x80;  // the battery is fine

uint8_t Bcd(unsigned value) { return static_cast<uint8_t>((value / 10) << 4 | value % 10); }

// Returns the clock register `index` at `unix_seconds`, or nullopt if it is not a clock register.
// gmtime_r is not used: its first call reads the time zone file, which the sandbox forbids.
std::optional<uint8_t> ClockRegister(uint8_t index, int64_t unix_seconds) {
  using std::chrono::days;
  const std::chrono::sys_seconds now{std::chrono::seconds{unix_seconds}};
  const std::chrono::sys_days day = std::chrono::floor<days>(now);
  const std::chrono::year_month_day date{day};
  const auto seconds_of_day = static_cast<unsigned>((now - day).count());
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  switch (index) {
    case kSeconds:
      return Bcd(seconds_of_day % 60);
    case kMinutes:
      return Bcd(seconds_of_day / 60 % 60);
    case kHours:
      return Bcd(seconds_of_day / 3600);
    case kDayOfWeek:  // Sunday is 1
      return Bcd(std::chrono::weekday{day}.c_encoding() + 1);
    case kDayOfMonth:
      return Bcd(static_cast<unsigned>(date.day()));
    case kMonth:
      return Bcd(static_cast<unsigned>(date.month()));
    case kYear:
      return Bcd(year % 100);
    case kCentury:
      return Bcd(year / 100 % 100);
    default:
      return std::nullopt;
  }
}

// Returns true if writes to the register are dropped: the host owns the clock and its control.
bool ReadOnly(uint8_t index) {
  return index <= kStatusD
             ? index != kSecondsAlarm && index != kMinutesAlarm && index != kHoursAlarm
             : index == kCentury;
}

int64_t HostClock() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec;
}

}  // namespace

CmosRtc::CmosRtc() : CmosRtc(HostClock) {}

CmosRtc::CmosRtc(Clock clock) : clock_(std::move(clock)) {}

void CmosRtc::Reset() {
  base::MutexLock lock(mutex_);
  state_.index = 0;
}

uint8_t CmosRtc::ReadByte(uint64_t offset) {
  if (offset == 0) return 0xff;  // the index port is write-only
  base::MutexLock lock(mutex_);
  switch (state_.index) {
    case kStatusA:
      return kStatusAValue;
    case kStatusB:
      return kStatusB24Hours;
    case kStatusC:
      return 0;
    case kStatusD:
      return kStatusDValid;
    default:
      return ClockRegister(state_.index, clock_()).value_or(state_.ram[state_.index]);
  }
}

void CmosRtc::WriteByte(uint64_t offset, uint8_t value) {
  base::MutexLock lock(mutex_);
  if (offset == 0) {
    state_.index = value & kIndexMask;
  } else if (!ReadOnly(state_.index)) {
    state_.ram[state_.index] = value;
  }
}

}  // namespace devices
