// Fuzzes the serial port with register accesses and host input in any order. Each step has two
// bytes: the action and a value.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "devices/serial.h"

namespace {

class Backend : public devices::CharacterBackend {
 public:
  void SetClient(devices::CharacterClient* /*client*/) override {}
  void Write(std::span<const uint8_t> bytes) override { written += bytes.size(); }
  void ResumeInput() override { may_offer = true; }
  bool drained() const override { return true; }
  uint64_t dropped_bytes() const override { return 0; }
  uint64_t written = 0;
  bool may_offer = true;
};

class Line : public devices::InterruptLine {
 public:
  void Set(bool now) override {
    if (now == asserted) abort();  // only changes may be reported
    asserted = now;
  }
  bool asserted = false;
};

uint8_t In(devices::Serial& serial, uint64_t offset) {
  uint8_t value;
  serial.Read(offset, std::span(&value, 1));
  return value;
}

// After any accesses, a driver that switches everything on must find a working port.
void CheckUsable(devices::Serial& serial, Backend& backend, Line& line) {
  const auto out = [&serial](uint64_t offset, uint8_t value) {
    serial.Write(offset, std::span(&value, 1));
  };
  out(3, 0);
  out(4, 0);
  out(2, 0x07);
  if (!backend.may_offer) abort();
  out(1, 0x01);
  In(serial, 5);
  const uint8_t byte = 'x';
  if (serial.OnInput(std::span(&byte, 1)) != 1 || !line.asserted) abort();
  if ((In(serial, 5) & 1) == 0 || In(serial, 0) != 'x' || line.asserted) abort();
  const uint64_t written = backend.written;
  out(0, 'y');
  if (backend.written != written + 1) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Backend backend;
  Line line;
  devices::Serial serial(backend, line);
  for (; size >= 2; data += 2, size -= 2) {
    const uint64_t offset = data[0] & 7;
    switch (data[0] >> 3 & 3) {
      case 0:
      case 1:
        serial.Write(offset, std::span(data + 1, 1));
        break;
      case 2:
        In(serial, offset);
        break;
      case 3: {
        if (!backend.may_offer) break;
        const size_t offered = std::min<size_t>(data[1], size);
        const size_t taken = serial.OnInput(std::span(data, offered));
        if (taken > offered || taken > devices::Serial::kFifoBytes) abort();
        backend.may_offer = taken == offered;
        break;
      }
    }
  }
  CheckUsable(serial, backend, line);
  serial.Reset();
  if (line.asserted) abort();
  return 0;
}
