// Fuzzes the I/O APIC with register accesses, wire changes and ends of interrupts in any order.
// Each step has six bytes: the action, the place, and a 32-bit value.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "devices/x86_64/ioapic.h"

namespace {

using devices::Ioapic;
using devices::MsiMessage;

class Routes : public devices::LevelRoutes {
 public:
  void SetLevelRoute(unsigned pin, std::optional<MsiMessage> message) override {
    if (pin >= Ioapic::kPinCount || message == routes[pin])
      abort();  // only changes may be reported
    routes[pin] = message;
  }
  std::map<unsigned, std::optional<MsiMessage>> routes;
};

class Controller : public devices::MsiController {
 public:
  explicit Controller(const Routes& known) : routes(known) {}
  absl::StatusOr<std::unique_ptr<devices::MsiInterrupt>> CreateInterrupt() override {
    return absl::UnimplementedError("");
  }
  void Send(const MsiMessage& message) override {
    if (message.address >> 20 != 0xfee) abort();
    if ((message.data & 0x8000) == 0) return;
    for (const auto& [pin, route] : routes.routes) {
      if (route == message) return;
    }
    abort();  // the I/O APIC would never learn of the end of this interrupt
  }
  const Routes& routes;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Routes routes;
  Controller controller(routes);
  Ioapic ioapic(controller, routes);
  constexpr uint64_t kOffsets[] = {0x00, 0x10, 0x10, 0x40};
  for (; size >= 6; data += 6, size -= 6) {
    uint8_t bytes[8] = {};
    std::memcpy(bytes, data + 2, 4);
    const size_t length = size_t{1} << (data[0] >> 6);
    switch (data[0] & 7) {
      case 0:
        ioapic.Write(data[1], std::span(bytes, length));
        break;
      case 1:
        ioapic.Read(data[1], std::span(bytes, length));
        break;
      case 2:
        ioapic.Write(kOffsets[data[1] % 4], std::span(bytes, 4));
        break;
      case 3:
        ioapic.line(data[1] % Ioapic::kPinCount).Set((data[2] & 1) != 0);
        break;
      case 4:
        ioapic.EndOfInterrupt(data[1]);
        break;
      default: {  // writes one half of an entry
        const uint8_t reg[4] = {static_cast<uint8_t>(0x10 + data[1] % 48), 0, 0, 0};
        ioapic.Write(0x00, reg);
        ioapic.Write(0x10, std::span(bytes, 4));
        break;
      }
    }
  }
  ioapic.Reset();
  for (const auto& [pin, route] : routes.routes) {
    if (route.has_value()) abort();
  }
  return 0;
}
