// The MC146818 real-time clock and its battery-backed RAM behind ports 0x70 (index) and 0x71
// (data).
//
// The clock shows the host's time in UTC, read at each access. A guest cannot set it: writes to the
// clock are dropped. There are no alarms and no interrupts.
#ifndef DEVICES_X86_64_CMOS_RTC_H_
#define DEVICES_X86_64_CMOS_RTC_H_

#include <array>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"
#include "devices/byte_device.h"

namespace devices {

class CmosRtc : public ByteDevice {
 public:
  static constexpr uint64_t kPort = 0x70;
  static constexpr uint64_t kPortCount = 2;
  // Returns seconds since 1970-01-01 00:00 UTC. Any thread.
  using Clock = absl::AnyInvocable<int64_t() const>;

  // Shows the host's CLOCK_REALTIME.
  CmosRtc();
  explicit CmosRtc(Clock clock);

  absl::string_view name() const override { return "rtc"; }
  // Keeps the RAM, because its battery would keep it.
  void Reset();

 protected:
  uint8_t ReadByte(uint64_t offset) override;
  void WriteByte(uint64_t offset, uint8_t value) override;

 private:
  struct State {
    uint8_t index = 0;
    std::array<uint8_t, 128> ram = {};
  };

  const Clock clock_;
  base::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace devices

#endif  // DEVICES_X86_64_CMOS_RTC_H_
