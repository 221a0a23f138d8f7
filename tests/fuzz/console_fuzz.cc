// Fuzzes the console device with a driver and a host that do anything at any time.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/log.h"
#include "devices/character/character_backend.h"
#include "tests/fuzz/device_program.h"
#include "virtio/console/console_device.h"

namespace virtio {
namespace {

class CountingBackend final : public devices::CharacterBackend {
 public:
  void SetClient(devices::CharacterClient* client) override { client_ = client; }
  void Write(std::span<const uint8_t> bytes) override { written += bytes.size(); }
  void ResumeInput() override {
    if (resume_at_once) Offer();
  }
  bool drained() const override { return true; }
  uint64_t dropped_bytes() const override { return 0; }

  void Type(size_t bytes) {
    waiting = std::min<size_t>(waiting + bytes, 1 << 16);
    Offer();
  }
  void Offer() {
    const std::vector<uint8_t> bytes(waiting, 'i');
    const size_t taken = client_->OnInput(bytes);
    CHECK(taken <= waiting);
    waiting -= taken;
    accepted += taken;
  }
  devices::CharacterClient& client() { return *client_; }

  uint64_t written = 0;
  uint64_t accepted = 0;
  size_t waiting = 0;
  bool resume_at_once = false;

 private:
  devices::CharacterClient* client_ = nullptr;
};

void Run(FuzzInput input) {
  DeviceProgram program(input);
  DeviceHarness& harness = program.harness();
  CountingBackend backend;
  backend.resume_at_once = input.Byte() % 2 == 0;
  ConsoleDevice console({}, harness.loop(), harness.memory(), backend);
  program.Start(console);
  for (int steps = 0; !input.empty() && steps < 400; ++steps) {
    const uint8_t step = input.Byte();
    if (step < 0xC0) {
      program.Step(console, step);
      continue;
    }
    switch (step % 4) {
      case 0:
        backend.Type(input.Number(2));
        break;
      case 1:
        backend.client().OnResize(static_cast<uint16_t>(input.Number(2)),
                                  static_cast<uint16_t>(input.Number(2)));
        break;
      case 2: {
        std::vector<uint8_t> bytes(input.Byte());
        console.ReadConfig(static_cast<uint32_t>(input.Number(input.Byte() % 5)), bytes);
        break;
      }
      case 3:
        console.WriteConfig(input.Byte(), input.Bytes(4));
        break;
    }
  }
  program.Finish(console);
  Counters counters = console.counters();
  CHECK(counters["tx_bytes"] == backend.written);
  CHECK(counters["rx_bytes"] + counters["rx_pending_bytes"] == backend.accepted);
  CHECK(counters["rx_pending_bytes"] <= ConsoleReceiveQueue::kMaxPendingBytes);
}

}  // namespace
}  // namespace virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::SetLogLevel(base::LogLevel::kFatal);
  virtio::Run(virtio::FuzzInput(data, size));
  return 0;
}
