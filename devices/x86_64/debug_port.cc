#include "devices/x86_64/debug_port.h"

namespace devices {

DebugPort::DebugPort() { Reset(); }

void DebugPort::Reset() {
  base::MutexLock lock(mutex_);
  state_ = State{.start = std::chrono::steady_clock::now(), .records = {}, .count = 0};
  full_.store(false, std::memory_order_relaxed);
}

std::vector<DebugPort::Record> DebugPort::records() {
  base::MutexLock lock(mutex_);
  return {state_.records.begin(), state_.records.begin() + static_cast<ptrdiff_t>(state_.count)};
}

void DebugPort::WriteByte(uint64_t /*offset*/, uint8_t value) {
  if (full_.load(std::memory_order_relaxed)) return;
  base::MutexLock lock(mutex_);
  if (state_.count == kMaxRecords) return;
  state_.records[state_.count++] = {value, std::chrono::steady_clock::now() - state_.start};
  full_.store(state_.count == kMaxRecords, std::memory_order_relaxed);
}

}  // namespace devices
