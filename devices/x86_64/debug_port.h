// Port 0x80: the POST code port, used as a stopwatch for the boot.
#ifndef DEVICES_X86_64_DEBUG_PORT_H_
#define DEVICES_X86_64_DEBUG_PORT_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/mutex.h"
#include "devices/byte_device.h"

namespace devices {

// Records the first kMaxRecords bytes written, with their times. Later writes cost only one load,
// because guests also use this port as a delay.
class DebugPort : public ByteDevice {
 public:
  static constexpr uint64_t kPort = 0x80;
  static constexpr uint64_t kPortCount = 1;
  static constexpr size_t kMaxRecords = 64;

  struct Record {
    uint8_t code = 0;
    std::chrono::nanoseconds since_start{0};  // CLOCK_MONOTONIC since creation or Reset
  };

  DebugPort();

  absl::string_view name() const override { return "debug_port"; }
  // Returns the records, oldest first. Any thread.
  std::vector<Record> records();
  // Removes all records and sets time zero to now.
  void Reset();

 protected:
  uint8_t ReadByte(uint64_t /*offset*/) override { return 0xff; }
  void WriteByte(uint64_t offset, uint8_t value) override;

 private:
  struct State {
    std::chrono::steady_clock::time_point start;
    std::array<Record, kMaxRecords> records;
    size_t count = 0;
  };

  std::atomic<bool> full_ = false;  // a hint: a thread that sees false checks again under the lock
  base::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace devices

#endif  // DEVICES_X86_64_DEBUG_PORT_H_
